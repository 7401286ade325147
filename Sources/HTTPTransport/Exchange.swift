internal import CMicroHTTPD
internal import Synchronization

/// One request and its response on a connection.
///
/// What must hold: `step` and `sendPiece` run only on the connection's network thread. A connection is suspended at most once at a
/// time; whoever turns `isSuspended` off, under the lock, resumes it exactly once. After `finish` nothing touches the connection.
final class Exchange: Sendable {
  enum Phase {
    /// The head has not come in whole.
    case head
    /// The body is coming.
    case body
    /// The whole request is there; the response is not.
    case waiting
    /// The response was handed to the library.
    case sending
    case over
  }

  struct Waiter {
    let threshold: Int
    let continuation: CheckedContinuation<Void, Never>
  }

  struct State {
    var phase = Phase.head
    var isSuspended = false
    var handle: ConnectionHandle
    var body = BodyIntake(declared: 0, drainLimit: 0)
    var waiter: Waiter?
    var task: Task<Void, Never>?
    var hasStarted = false
    var response: HTTPResponse?
    var status: Int?
    var stream: ResponseStream?
    var bodyBytesOut = 0
    /// Why this side is about to cut the connection.
    var cause: HTTPBodyError?
  }

  /// What the server's watch needs to know.
  struct Activity {
    var kind: ServerConnection.Watch.Kind
    var received: Int
  }

  let connection: ServerConnection
  private let core: ServerCore
  private let target: [UInt8]
  private let began = monotonicNow()
  // Proof: `admit` writes it, `end`, `send` and `finish` read it, all on the connection's network thread, one after the other; when the
  // server stops, `finish` is called by the thread that has joined that one.
  nonisolated(unsafe) private var admitted: AdmittedRequest?
  let state: Mutex<State>

  init(core: ServerCore, connection: ServerConnection, handle: ConnectionHandle, target: [UInt8]) {
    self.core = core
    self.connection = connection
    self.target = target
    state = Mutex(State(handle: handle))
  }

  // MARK: The network thread

  /// The library's call for a head, a piece of body, or the end. False closes the connection.
  func step(handle: ConnectionHandle, line: RequestLine, bytes: UnsafeRawBufferPointer, taken: inout Int) -> Bool {
    if core.isStopping { return false }
    let phase = state.withLock { $0.cause == nil ? $0.phase : .over }
    switch phase {
    case .head: return admit(handle, line)
    case .body where !bytes.isEmpty: return take(bytes, &taken)
    case .body, .waiting: return end(handle)
    case .sending, .over: return false
    }
  }

  private func admit(_ handle: ConnectionHandle, _ line: RequestLine) -> Bool {
    let admitted = AdmittedRequest(handle: handle, line: line, target: target, connection: connection, core: core)
    self.admitted = admitted
    state.withLock { state in
      state.phase = .body
      state.body = BodyIntake(declared: admitted.isChunked ? nil : admitted.contentLength ?? 0, drainLimit: core.configuration.drainLimit)
      if case .refuse = admitted.plan { state.body.discard() }
    }
    switch admitted.plan {
    case .refuse(let response, let atOnce):
      guard atOnce else { return true }
      connection.state.withLock { $0.lingers = true }
      return send(response, handle)
    case .inline: return true
    case .handle(let handler):
      // A small body is gathered first, so the handler finds it whole; without a body the final call comes right after this one.
      if admitted.hasBody, state.withLock({ !$0.body.isSmall }) { start(handler, admitted.head) }
      return true
    }
  }

  private func take(_ bytes: UnsafeRawBufferPointer, _ taken: inout Int) -> Bool {
    switch state.withLock({ $0.body.arrive(bytes) }) {
    case .consumed: break
    case .copy(let buffer, let placement, let offset, let count):
      // Outside of the lock: the consumer reads the count meanwhile, and nobody else writes there.
      placement.copy(bytes, at: offset, into: buffer)
      state.withLock { $0.body.placed(count) }
    case .hold:
      suspend { !$0.body.isUnclaimed }
      return true
    case .giveUp: return false
    }
    taken = bytes.count
    core.counters.bodyBytesIn.add(bytes.count, ordering: .relaxed)
    wakeConsumer()
    return true
  }

  private func end(_ handle: ConnectionHandle) -> Bool {
    let (response, mustStart, waiter) = state.withLock { state in
      state.phase = .waiting
      state.body.end()
      return (state.response, !state.hasStarted, state.takeWaiter())
    }
    waiter?.continuation.resume()
    guard let admitted else { return false }
    if let response { return send(response, handle) }
    if mustStart {
      switch admitted.plan {
      case .refuse(let response, _): return send(response, handle)
      case .inline(let inline, let handler):
        if let response = inline(admitted.head) { return send(response, handle) }
        start(handler, admitted.head)
      case .handle(let handler):
        start(handler, admitted.head, atOnce: admitted.head.startsAtOnce)
        if let response = state.withLock({ $0.response }) { return send(response, handle) }
      }
    }
    suspend { $0.response != nil }
    return true
  }

  private func send(_ response: HTTPResponse, _ handle: ConnectionHandle) -> Bool {
    guard let admitted else { return false }
    let response = core.finished(response, for: admitted)
    let rendered = RenderedResponse(response, head: admitted.head, exchange: self)
    state.withLock { state in
      state.phase = .sending
      state.response = nil
      state.status = response.status
      state.stream = rendered.stream
      state.bodyBytesOut = rendered.fixedLength
    }
    return rendered.queue(on: handle)
  }

  /// Suspends, unless what is waited for came meanwhile or the server stops.
  private func suspend(unless isReady: (State) -> Bool) {
    let handle = state.withLock { $0.handle }
    handle.suspend()
    let goesOn = state.withLock { state in
      if isReady(state) || state.cause != nil || core.isStopping { return true }
      state.isSuspended = true
      return false
    }
    if goesOn { handle.resume() }
  }

  /// For the response's stream, from the library's read callback.
  func suspendUntilPiece(_ stream: ResponseStream) { suspend { _ in stream.isReady } }

  /// For the response's stream, from any thread.
  func resume() {
    state.withLock { $0.takeSuspended() }?.resume()
  }

  /// The library's last word on this request.
  func finish(_ code: ExchangeEnding) {
    let (ending, task, stream, status, received, sent, waiter) = state.withLock { state in
      let cause = state.cause ?? (core.isStopping ? .cancelled : .incomplete)
      state.phase = .over
      state.body.lose(cause)
      defer {
        state.task = nil
        state.stream = nil
        state.response = nil
      }
      return (
        code == .complete ? .complete : HTTPExchangeRecord.Ending(cause), state.task, state.stream, state.status, state.body.arrived,
        state.bodyBytesOut, state.takeWaiter()
      )
    }
    task?.cancel()
    stream?.cancel()
    waiter?.continuation.resume()
    let bytesOut = stream?.sent ?? sent
    core.counters.bodyBytesOut.add(bytesOut, ordering: .relaxed)
    core.finished(
      self,
      record: admitted.map { admitted in
        HTTPExchangeRecord(
          requestID: admitted.head.requestID, method: admitted.head.method, target: admitted.head.target, route: admitted.route,
          status: status, remoteAddress: connection.remoteAddress, bodyBytesIn: received, bodyBytesOut: bytesOut,
          duration: .nanoseconds(monotonicNow() - began), ending: ending)
      })
  }

  // MARK: The handler

  private func start(_ handler: @escaping HTTPHandler, _ head: HTTPRequestHead, atOnce: Bool = false) {
    state.withLock { $0.hasStarted = true }
    let run: @Sendable () async -> Void = { [self] in answer(await handler(head, self)) }
    let task = atOnce ? Task.immediate(operation: run) : Task(operation: run)
    let isLate = state.withLock { state in
      guard state.phase != .over else { return true }
      if state.response == nil { state.task = task }
      return false
    }
    if isLate { task.cancel() }
  }

  private func answer(_ response: HTTPResponse) {
    let handle = state.withLock { state -> ConnectionHandle? in
      state.task = nil
      guard state.phase != .over else { return nil }
      state.response = response
      state.body.discard()
      return state.takeSuspended()
    }
    handle?.resume()
  }

  // MARK: The server's watch

  var activity: Activity {
    state.withLock { state in
      let kind: ServerConnection.Watch.Kind =
        switch state.phase {
        case _ where state.isSuspended: .paused
        case .head: .head
        case .body: .receiving
        case .waiting, .over: .paused
        case .sending: .sending
        }
      return Activity(kind: kind, received: state.body.arrived)
    }
  }

  /// Ends the request from this side: the body fails with `cause`, the handler is cancelled, and the connection closes.
  func abort(_ cause: HTTPBodyError) {
    let (handle, task, stream) = state.withLock { state in
      if state.cause == nil { state.cause = cause }
      state.body.lose(cause)
      return (state.takeSuspended(), state.task, state.stream)
    }
    task?.cancel()
    stream?.cancel()
    wakeConsumer()
    handle?.resume()
    connection.cut()
  }

  /// Ends an event stream at its next piece, because the server wants to stop and such a stream never would.
  func endEventStream() {
    state.withLock { $0.stream }?.endIfEvents()
  }
}

extension Exchange.State {
  /// The body's consumer, when it waits and there is something for it to look at; the caller wakes it after the lock.
  mutating func takeWaiter() -> Exchange.Waiter? {
    guard let waiter, body.isWorthWaking(waiter.threshold) else { return nil }
    self.waiter = nil
    return waiter
  }

  /// The handle to resume, when the connection is suspended; the caller resumes it after the lock.
  mutating func takeSuspended(inBody: Bool = false) -> ConnectionHandle? {
    guard isSuspended, !inBody || phase == .body else { return nil }
    isSuspended = false
    return handle
  }
}

/// How the library ended a request.
enum ExchangeEnding: Equatable {
  case complete, broken
}

extension HTTPExchangeRecord.Ending {
  fileprivate init(_ cause: HTTPBodyError) {
    self =
      switch cause {
      case .incomplete, .tooLarge: .broken
      case .timedOut: .timedOut
      case .cancelled: .stopped
      }
  }
}
