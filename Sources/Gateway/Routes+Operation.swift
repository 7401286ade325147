internal import HTTPTransport
internal import Platform
internal import ServiceAPI

extension GatewayService {
  var operationRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .get, pattern: "/healthz", operation: "isAlive", summary: "Whether the process answers.", access: .open, rate: .free,
        answers: [.init(200, "It does.", .other("text/plain"))], handler: isAlive),
      RouteDescription(
        method: .get, pattern: "/readyz", operation: "isReady", summary: "Whether requests can be served.", access: .open, rate: .free,
        answers: [.init(200, "They can.", .readiness), .init(503, "Not now.", .readiness)], handler: isReady),
      RouteDescription(
        method: .get, pattern: "/metrics", operation: "getMetrics", summary: "Prometheus metrics.", access: .open, rate: .free,
        answers: [.init(200, "Text format.", .other("text/plain"))], handler: metricsText),
      RouteDescription(
        method: .get, pattern: "/v1/openapi.json", operation: "getDescription", summary: "This description.", access: .open,
        answers: [.init(200, "OpenAPI 3.1.", .other("application/json"))], handler: description),
    ]
  }

  /// How long the coordinator may be silent before balancers should send requests elsewhere; above the long-poll's time.
  private static let silenceLimit = Duration.seconds(25)
  /// The same while its connection is refused or ends in errors: longer than a restart takes.
  private static let troubleLimit = Duration.seconds(3)

  private func isAlive(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    HTTPResponse(
      status: 200, headers: ["Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"], body: .bytes(Array("ok\n".utf8)))
  }

  private func isReady(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    struct Readiness: Encodable {
      var ready: Bool
      var reason: String?
    }
    guard views.current != nil, let silence = views.silence else {
      return try .json(Readiness(ready: false, reason: "The coordinator has not been reached yet."), status: 503)
    }
    guard silence < GatewayService.silenceLimit, (views.trouble ?? .zero) < GatewayService.troubleLimit else {
      return try .json(Readiness(ready: false, reason: "The coordinator does not answer."), status: 503)
    }
    return try .json(Readiness(ready: true))
  }

  private func metricsText(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    metrics.waiting.set(waiting.count)
    return HTTPResponse(
      status: 200, headers: ["Content-Type": Metrics.contentType, "Cache-Control": "no-store"], body: .bytes(Array(renderMetrics().utf8)))
  }

  private func description(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    .json(OpenAPIDocument.bytes(routes: routes, address: configuration.publicAddress), headers: ["Cache-Control": "public, max-age=300"])
  }
}
