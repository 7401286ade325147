internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI

/// The events of one stream. They say that something changed and never what: the client asks with its own cursor, so that a lost event
/// loses nothing.
actor ChangeHints {
  typealias Ask = @Sendable (String) async throws(Problem) -> ChangesPage

  /// Pages that one round may pass over before it tells.
  private static let pagesAtOnce = 16
  /// A comment is sent after this much silence, so that proxies keep the connection and a peer that is gone is noticed.
  private static let keepAlive = Duration.seconds(15)

  private let seat: WaitingRoom.Seat
  private let room: WaitingRoom
  private let interval: Duration
  private let ask: Ask
  private var cursor: String
  /// What the first answer held is told at once.
  private var pending: ChangesPage?
  private var hasGreeted = false
  private var isOver = false
  private var silent = Duration.zero

  init(seat: WaitingRoom.Seat, room: WaitingRoom, interval: Duration, first: ChangesPage, ask: @escaping Ask) {
    self.seat = seat
    self.room = room
    self.interval = interval
    self.ask = ask
    cursor = first.cursor
    pending = first
  }

  /// The next piece of the stream; nil when the gateway stops or the token opens nothing any more.
  func next() async -> HTTPBodyPiece? {
    if !hasGreeted {
      hasGreeted = true
      return .bytes(ServerSentEvent(event: "hello", data: "{}", retry: .seconds(2)).encoded)
    }
    while !isOver, !room.isClosed, !Task.isCancelled {
      do throws(Problem) {
        if let event = try await poll() { return event }
      } catch {
        guard error.kind == .unavailable || error.kind == .busy else {
          isOver = true
          return .bytes(ServerSentEvent(event: "end", data: "{\"type\":\"\(error.type)\"}").encoded)
        }
      }
      if silent >= ChangeHints.keepAlive {
        silent = .zero
        return .bytes(Array(":\n\n".utf8))
      }
      let pause = room.interval(atLeast: interval)
      silent += pause
      await room.sleep(pause)
    }
    return nil
  }

  private func poll() async throws(Problem) -> HTTPBodyPiece? {
    var hasChanged = false
    var wasReset = false
    for _ in 0..<ChangeHints.pagesAtOnce {
      let page: ChangesPage
      if let known = pending { page = known } else { page = try await ask(cursor) }
      pending = nil
      cursor = page.cursor
      hasChanged = hasChanged || !page.changes.isEmpty
      wasReset = wasReset || page.reset
      if !page.hasMore { break }
    }
    guard hasChanged || wasReset else { return nil }
    silent = .zero
    var data = JSONWriter(capacity: 128)
    data.object { $0.member("cursor") { $0.string(cursor) } }
    let event = ServerSentEvent(
      id: cursor, event: wasReset ? "reset" : "change", data: String(decoding: data.bytes, as: UTF8.self))
    return .bytes(event.encoded)
  }
}
