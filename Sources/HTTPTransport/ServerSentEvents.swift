internal import Synchronization

/// One event of a `text/event-stream` (HTML standard, 9.2).
package struct ServerSentEvent: Sendable, Equatable {
  /// Sent back as `Last-Event-ID` when the client connects again.
  package var id: String?
  package var event: String?
  package var data: String
  /// How long a client waits before it connects again.
  package var retry: Duration?

  package init(id: String? = nil, event: String? = nil, data: String, retry: Duration? = nil) {
    self.id = id
    self.event = event
    self.data = data
    self.retry = retry
  }

  /// The event as it goes over the wire. Line breaks in `data` start further data lines; in `id` and `event` they are left out.
  package var encoded: [UInt8] {
    var text = ""
    if let id { text += "id: \(ServerSentEvent.oneLine(id))\n" }
    if let event { text += "event: \(ServerSentEvent.oneLine(event))\n" }
    if let retry { text += "retry: \(retry.milliseconds)\n" }
    for line in data.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline) { text += "data: \(line)\n" }
    return Array((text + "\n").utf8)
  }

  private static func oneLine(_ text: String) -> String { String(text.filter { !$0.isNewline && $0 != "\0" }) }
}

/// The sending end of an event stream. Give `response` as the handler's answer and `send` from wherever events come up.
///
/// What must hold: at most `capacity` events wait for a slow reader; the stream of a reader that falls further behind is ended, and
/// the reader takes up again from its last id. Between events a comment goes out each `heartbeat`, so that dead connections are noticed.
package final class SSEWriter: Sendable {
  private struct State {
    var waiting: [ServerSentEvent] = []
    var isFinished = false
    var sleeper: CheckedContinuation<Void, Never>?
    var onClose: (@Sendable () -> Void)?
  }

  /// Closes the writer when the response lets go of it: the connection is over, whether or not a piece was being waited for.
  private final class Lifetime: Sendable {
    let writer: SSEWriter
    init(_ writer: SSEWriter) { self.writer = writer }
    deinit { writer.finish() }
  }

  private let capacity: Int
  private let heartbeat: Duration
  private let state: Mutex<State>

  /// - Parameter onClose: called once when the stream is over, from either side.
  package init(heartbeat: Duration = .seconds(15), capacity: Int = 256, onClose: (@Sendable () -> Void)? = nil) {
    self.heartbeat = heartbeat
    self.capacity = capacity
    state = Mutex(State(onClose: onClose))
  }

  /// The response that carries the stream. Take it once.
  package var response: HTTPResponse {
    let lifetime = Lifetime(self)
    return HTTPResponse(
      status: 200, headers: ["Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"],
      body: .stream(length: nil) { await lifetime.writer.next() })
  }

  /// Queues an event. False when the stream is over, also because this event found the queue full.
  @discardableResult
  package func send(_ event: ServerSentEvent) -> Bool {
    let isQueued = state.withLock { state in
      guard !state.isFinished, state.waiting.count < capacity else { return false }
      state.waiting.append(event)
      return true
    }
    if isQueued { wake() } else { finish() }
    return isQueued
  }

  /// Ends the stream after the events that are queued.
  package func finish() {
    let onClose = state.withLock { state in
      state.isFinished = true
      return state.onClose.take()
    }
    wake()
    onClose?()
  }

  /// Whether the stream is over.
  package var isFinished: Bool { state.withLock { $0.isFinished } }

  private func next() async -> HTTPBodyPiece? {
    if let piece = takeWaiting() { return piece }
    let isOver = await sleep()
    if let piece = takeWaiting() { return piece }
    return isOver ? nil : .bytes(Array(":\n\n".utf8))
  }

  private func takeWaiting() -> HTTPBodyPiece? {
    let events = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    return events.isEmpty ? nil : .bytes(events.flatMap(\.encoded))
  }

  /// Sleeps until an event, the end, or the heartbeat; says whether it is the end.
  private func sleep() async -> Bool {
    let timer = Task { [heartbeat, weak self] in
      try? await Task.sleep(for: heartbeat)
      if !Task.isCancelled { self?.wake() }
    }
    defer { timer.cancel() }
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isReady = state.withLock { state in
          if state.isFinished || !state.waiting.isEmpty || Task.isCancelled { return true }
          state.sleeper = continuation
          return false
        }
        if isReady { continuation.resume() }
      }
    } onCancel: {
      finish()
    }
    return state.withLock { $0.isFinished && $0.waiting.isEmpty }
  }

  private func wake() {
    state.withLock { $0.sleeper.take() }?.resume()
  }
}
