import HTTPTransport
import Platform
import Synchronization

/// `/healthz` (the process answers), `/readyz` (it can do its work), and `/metrics` of a daemon.
struct HealthRoutes: Sendable {
  /// Nil when ready, else why not, in a sentence.
  let unready: @Sendable () -> String?
  let metrics: Metrics

  func add(to router: inout HTTPRouter) {
    router.add(.get, "/healthz", inline: { _ in Self.text(200, "ok\n") }, handler: { _, _ in Self.text(200, "ok\n") })
    router.add(.get, "/readyz") { [unready] _, _ in
      if let reason = unready() { return Self.text(503, reason + "\n") }
      return Self.text(200, "ready\n")
    }
    router.add(.get, "/metrics") { [metrics] _, _ in
      HTTPResponse(status: 200, headers: ["Content-Type": Metrics.contentType], body: .bytes(Array(metrics.render().utf8)))
    }
  }

  private static func text(_ status: Int, _ text: String) -> HTTPResponse {
    HTTPResponse(status: status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(Array(text.utf8)))
  }
}

/// Counts and times of a server's requests, and one log line for each that is not a success.
final class RequestObserver: Sendable {
  /// What finds the series of a request.
  private struct Kind: Hashable {
    let route: String
    let method: HTTPMethod
    let status: Int?
  }

  private struct Series {
    let requests: Counter
    let seconds: Histogram
  }

  private let metrics: Metrics
  private let logger: Logger
  /// Series found before: finding one by its labels takes several times as long. Bounded, because methods come from outside.
  private let known = Mutex<[Kind: Series]>([:])
  private static let knownLimit = 256

  init(metrics: Metrics, logger: Logger) {
    self.metrics = metrics
    self.logger = logger
  }

  private func series(of record: HTTPExchangeRecord) -> Series {
    let kind = Kind(route: record.route ?? "none", method: record.method, status: record.status)
    if let series = known.withLock({ $0[kind] }) { return series }
    let series = Series(
      requests: metrics.counter(
        "cairn_http_requests_total", help: "Requests answered, by route and status.",
        labels: ["route": kind.route, "method": kind.method.rawValue, "status": kind.status.map(String.init) ?? "none"]),
      seconds: metrics.histogram(
        "cairn_http_request_seconds", help: "From the request line to the last byte.", labels: ["route": kind.route]))
    known.withLock { known in
      if known.count < RequestObserver.knownLimit { known[kind] = series }
    }
    return series
  }

  /// Health checks and scrapes come every second and say nothing; they are counted and not logged.
  func observe(_ record: HTTPExchangeRecord) {
    let series = series(of: record)
    series.requests.increment()
    series.seconds.observe(record.duration)
    let failed = (record.status ?? 599) >= 500 || record.ending == .timedOut
    guard failed || logger.isEnabled(.debug), !["/healthz", "/readyz", "/metrics"].contains(record.rawPath) else { return }
    let fields: LogFields = [
      "method": .string(record.method.rawValue), "path": .string(record.rawPath), "status": .int(record.status ?? 0),
      "bytes_in": .int(record.bodyBytesIn), "bytes_out": .int(record.bodyBytesOut), "peer": .string(record.remoteAddress),
    ]
    let line = logger.request(record.requestID)
    if failed { line.warning("request", fields) } else { line.debug("request", fields) }
  }
}
