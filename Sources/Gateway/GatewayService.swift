internal import BlockModel
internal import ControlClient
package import Credentials
package import HTTPTransport
package import Platform
package import ServiceAPI

/// The front tier: authenticates by asking the coordinator, plans transfers, signs URLs, and keeps no state of its own but the view of the
/// cluster. Any number of them stand side by side.
///
/// What must hold: every request ends in an answer or a problem document; nothing is signed for a plan that the coordinator did not give
/// for this very user; a broken block breaks a raw download and never reaches the client as bytes.
package final class GatewayService: Sendable {
  let control: any ControlPlane
  let views: ClusterViewCache
  let time: any TimeSource
  let configuration: GatewayConfiguration
  let logger: Logger
  let metrics: GatewayMetrics
  let blocks: BlockReader
  let waiting: WaitingRoom
  let bell: ChangeBell
  let openings = RequestJoiner<UploadRequest, UploadState>(exchanges: 2, widest: 64)
  let commits = RequestJoiner<BatchCompleteRequest.Item, FileEntry>(exchanges: 2, widest: 64)
  private let limits: RequestLimits
  /// By token, or by address for those without one.
  private let calls: FairGate<Int>
  private let signer: CapabilitySigner
  private let registry: Metrics

  /// - Parameter client: reads blocks from the nodes for raw content.
  package init(
    control: any ControlPlane, view: ClusterViewCache, signer: CapabilitySigner, client: any HTTPRequesting, time: any TimeSource,
    configuration: GatewayConfiguration, logger: Logger, metrics: Metrics
  ) {
    self.control = control
    self.views = view
    self.signer = signer
    self.time = time
    self.configuration = configuration
    self.logger = logger.component("gateway")
    self.registry = metrics
    self.metrics = GatewayMetrics(metrics, view: view)
    blocks = BlockReader(
      client: client, pool: BufferPool(bufferCapacity: Limits.blockBytes, limit: configuration.rawBuffers), time: time,
      logger: logger.component("raw"), metrics: self.metrics)
    waiting = WaitingRoom(limit: configuration.waitingLimit)
    limits = RequestLimits(configuration, time: time, metrics: metrics)
    calls = FairGate(limit: configuration.coordinatorCalls)
    bell = ChangeBell(control: control, logger: logger.component("changes"))
  }

  /// Begins to follow the coordinator.
  package func start() {
    views.start()
    bell.start()
  }

  /// Ends what waits: long-polls and event streams answer at once, so that the server can drain.
  package func stop() {
    waiting.close()
    bell.stop()
    views.stop()
  }

  /// All routes of the API and of operation, for a server of their own or beside others.
  package func addRoutes(to router: inout HTTPRouter) {
    for route in routes {
      let limits = limits
      let proxies = configuration.trustedProxies
      let gate: HTTPGate = { head in
        head.remoteAddress = proxies.client(of: head)
        if let refusal = limits.admit(&head, route.rate) { return refusal }
        guard route.access == .user else { return nil }
        return GatewayService.refuseStranger(head).map { limits.stamp($0, head) }
      }
      router.add(route.method, route.pattern, maxBodyBytes: route.bodyLimit, allowsChunked: true, gate: gate) { head, body in
        limits.stamp(await self.answer(GatewayCall(head: head, body: body, bodyLimit: route.bodyLimit), route.handler), head)
      }
    }
  }

  package func router() -> HTTPRouter {
    var router = HTTPRouter()
    addRoutes(to: &router)
    return router
  }

  var routes: [RouteDescription] {
    accountRoutes + uploadRoutes + batchRoutes + treeRoutes + revisionRoutes + downloadRoutes + shareRoutes + keyRoutes + linkRoutes
      + publicLinkRoutes
      + changeRoutes + operationRoutes
  }

  /// Turns a request without a readable token away before its body is read.
  private static func refuseStranger(_ head: HTTPRequestHead) -> HTTPResponse? {
    do throws(Problem) {
      _ = try GatewayCall.token(head.headers)
      return nil
    } catch { return .problem(error) }
  }

  private func answer(_ call: GatewayCall, _ handler: RouteDescription.Handler) async -> HTTPResponse {
    do throws(Problem) { return try await handler(call) } catch {
      if error.status >= 500 {
        logger.request(call.head.requestID).warning(
          "A request was not served.",
          ["path": .string(call.head.rawPath), "kind": .string(error.kind.rawValue), "detail": .string(error.detail)])
      }
      return .problem(error)
    }
  }

  // MARK: Asking and signing

  func perform<Operation: ControlOperation>(
    _ operation: Operation, _ call: GatewayCall
  ) async throws(Problem) -> Operation.Response {
    try await asking(operation, call) { control, context throws(Problem) in try await control.perform(operation, context: context) }
  }

  /// The coordinator's answer as JSON, where it is the client's as it stands: long lists are not read and written once more.
  func performEncoded<Operation: ControlOperation>(_ operation: Operation, _ call: GatewayCall) async throws(Problem) -> [UInt8] {
    try await asking(operation, call) { control, context throws(Problem) in
      try await control.encodedResponse(to: operation, context: context)
    }
  }

  private func asking<Operation: ControlOperation, Answer: Sendable>(
    _ operation: Operation, _ call: GatewayCall, _ ask: (any ControlPlane, ControlContext) async throws(Problem) -> Answer
  ) async throws(Problem) -> Answer {
    let context = Operation.audience == .user ? try call.userContext() : try call.anonymousContext()
    do throws(Problem) { return try await inTurn(context, ask) } catch {
      // The coordinator says that the layout moved on: what is signed next has to know it.
      if error.kind == .staleLayout || error.kind == .fenced { await views.refresh() }
      throw error
    }
  }

  /// Asks the coordinator when it is this caller's turn, so that a flood of one user's requests waits behind itself.
  private func inTurn<Answer: Sendable>(
    _ context: ControlContext, _ ask: (any ControlPlane, ControlContext) async throws(Problem) -> Answer
  ) async throws(Problem) -> Answer {
    let control = control
    do {
      return try await calls.run((context.userToken ?? RequestLimits.key(ofAddress: context.remoteAddress)).hashValue) {
        try await ask(control, context)
      }
    } catch let problem as Problem { throw problem } catch {
      throw Problem(.busy, "Too many requests of yours wait already: send fewer at once.", retryAfter: 1)
    }
  }

  /// A signer over the newest view.
  ///
  /// - Parameter age: asks the coordinator again when the view is older; a client that comes for fresh URLs has often met a node that knows
  ///   a newer layout than the URLs it had.
  func transferSigner(freshWithin age: Duration? = nil) async throws(Problem) -> TransferSigner {
    TransferSigner(
      signer: signer, planned: try await views.planned(freshWithin: age), zone: configuration.zone, now: time.wall(),
      lifetime: configuration.urlLifetime)
  }

  /// As `transferSigner`, of a view that knows all these nodes if any view does.
  func transferSigner(knowing nodes: some Sequence<NodeID>) async throws(Problem) -> TransferSigner {
    let planned = try await views.planned()
    if nodes.contains(where: { planned.member($0) == nil }) { await views.refresh() }
    return try await transferSigner()
  }

  func renderMetrics() -> String { registry.render() }
}
