internal import CMicroHTTPD
internal import Glibc
internal import Synchronization

/// What the library's callbacks, the listener and the watch share; lives as long as any of them.
final class ServerCore: Sendable {
  final class Counters: Sendable {
    let accepted = Atomic<Int>(0)
    let refused = Atomic<Int>(0)
    let timedOut = Atomic<Int>(0)
    let requests = Atomic<Int>(0)
    let activeRequests = Atomic<Int>(0)
    let bodyBytesIn = Atomic<Int>(0)
    let bodyBytesOut = Atomic<Int>(0)
  }

  private struct Tables {
    /// Accepted, and not yet taken over by a network thread; by descriptor.
    var arriving: [Int32: ServerConnection] = [:]
    var open: [ObjectIdentifier: ServerConnection] = [:]
    var perAddress: [String: Int] = [:]
    /// Connections that count as served: accepted and not above a limit.
    var served = 0
    var total = 0
  }

  /// Connections above the limit that are let in at once to be told so.
  static let politeReserve = 64

  let configuration: HTTPServer.Configuration
  let router: HTTPRouter
  let cors: CORSPolicy
  let counters = Counters()
  private let tables = Mutex(Tables())
  private let draining = Atomic<Bool>(false)
  private let stopping = Atomic<Bool>(false)
  private let lingering: LingeringSockets

  init(configuration: HTTPServer.Configuration, router: HTTPRouter, lingering: LingeringSockets) {
    self.configuration = configuration
    self.router = router
    self.lingering = lingering
    cors = CORSPolicy(origins: configuration.corsOrigins)
  }

  /// New requests are still answered, each on its connection's last turn.
  var isDraining: Bool { draining.load(ordering: .acquiring) }
  /// Nothing may be suspended any more.
  var isStopping: Bool { stopping.load(ordering: .sequentiallyConsistent) }

  var connectionCount: Int { tables.withLock { $0.total } }
  var connections: [ServerConnection] { tables.withLock { Array($0.open.values) } }

  // MARK: Connections

  /// What the listener does with an accepted socket; nil closes it.
  func admit(descriptor: Int32, address: String) -> ServerConnection? {
    let connection = tables.withLock { tables -> ServerConnection? in
      // A socket that the library dropped before taking it over left its entry behind; its descriptor is in use again now.
      if let lost = tables.arriving.removeValue(forKey: descriptor) { ServerCore.forget(lost, &tables) }
      let fromHere = tables.perAddress[address] ?? 0
      let isOverLimit = tables.served >= configuration.connectionLimit || fromHere >= configuration.perAddressLimit
      guard !isOverLimit || tables.total - tables.served < ServerCore.politeReserve else { return nil }
      let connection = ServerConnection(remoteAddress: address, isOverLimit: isOverLimit)
      tables.arriving[descriptor] = connection
      tables.total += 1
      if !isOverLimit {
        tables.served += 1
        tables.perAddress[address] = fromHere + 1
      }
      return connection
    }
    counters.accepted.add(1, ordering: .relaxed)
    if connection?.isOverLimit ?? true { counters.refused.add(1, ordering: .relaxed) }
    return connection
  }

  /// The library took no notice of a socket and closed it.
  func dropArriving(descriptor: Int32) {
    tables.withLock { tables in
      if let connection = tables.arriving.removeValue(forKey: descriptor) { ServerCore.forget(connection, &tables) }
    }
  }

  /// A network thread took the socket over.
  func opened(descriptor: Int32) -> ServerConnection? {
    let connection = tables.withLock { tables -> ServerConnection? in
      guard let connection = tables.arriving.removeValue(forKey: descriptor) else { return nil }
      tables.open[ObjectIdentifier(connection)] = connection
      return connection
    }
    connection?.state.withLock { $0.descriptor = descriptor }
    if isDraining { connection?.cut() }
    return connection
  }

  /// The library is about to close the socket.
  func closed(_ connection: ServerConnection) {
    let (descriptor, lingers) = connection.state.withLock { state in
      defer { state.descriptor = -1 }
      return (state.descriptor, state.lingers)
    }
    if lingers, descriptor >= 0, !isStopping { lingering.take(duplicateOf: descriptor) }
    tables.withLock { tables in
      tables.open[ObjectIdentifier(connection)] = nil
      ServerCore.forget(connection, &tables)
    }
  }

  private static func forget(_ connection: ServerConnection, _ tables: inout Tables) {
    tables.total -= 1
    guard !connection.isOverLimit else { return }
    tables.served -= 1
    let left = (tables.perAddress[connection.remoteAddress] ?? 1) - 1
    tables.perAddress[connection.remoteAddress] = left > 0 ? left : nil
  }

  // MARK: Requests

  func begin(_ connection: ServerConnection, handle: ConnectionHandle, target: [UInt8]) -> Exchange {
    let exchange = Exchange(core: self, connection: connection, handle: handle, target: target)
    connection.state.withLock { state in
      state.exchange = exchange
      state.watch = ServerConnection.Watch(since: monotonicNow(), bytes: 0, kind: .head)
    }
    counters.requests.add(1, ordering: .relaxed)
    counters.activeRequests.add(1, ordering: .relaxed)
    return exchange
  }

  /// Puts on what every response carries.
  func finished(_ response: consuming HTTPResponse, for admitted: AdmittedRequest) -> HTTPResponse {
    var response = ProblemDocument.withInstance(response, requestID: admitted.head.requestID)
    response.headers["X-Request-Id"] = admitted.head.requestID
    if let traceparent = admitted.head.headers["traceparent"], RequestID.traceID(traceparent) != nil {
      response.headers["traceparent"] = traceparent
    }
    if let name = configuration.serverName, response.headers["Server"] == nil { response.headers["Server"] = name }
    if isDraining { response.headers["Connection"] = "close" }
    cors.apply(to: &response, for: admitted.head)
    return response
  }

  func finished(_ exchange: Exchange, record: HTTPExchangeRecord?) {
    exchange.connection.state.withLock { state in
      state.exchange = nil
      state.watch = ServerConnection.Watch(since: monotonicNow(), bytes: 0, kind: .idle)
    }
    counters.activeRequests.subtract(1, ordering: .relaxed)
    if let record { configuration.observer?(record) }
    if isDraining { exchange.connection.cut() }
  }

  // MARK: Stopping

  /// Idle connections are closed, event streams ended, and from now on each response closes its connection.
  func drain() {
    draining.store(true, ordering: .releasing)
    for connection in connections {
      let exchange = connection.state.withLock { $0.exchange }
      if let exchange { exchange.endEventStream() } else { connection.cut() }
    }
  }

  /// Cancels what still runs and resumes every suspended connection, as the library demands before it is stopped.
  ///
  /// A callback that suspends after this looked at its connection sees `isStopping` and resumes by itself.
  func stop() {
    stopping.store(true, ordering: .sequentiallyConsistent)
    for connection in connections { connection.state.withLock { $0.exchange }?.abort(.cancelled) }
  }
}
