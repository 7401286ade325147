internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// The events of one stream. They say that something changed and never what: the client asks with its own cursor, so that a lost event
/// loses nothing.
actor ChangeStream {
  typealias Ask = @Sendable (String) async throws(Problem) -> ChangesPage

  /// Pages that one round may pass over before it tells.
  private static let pagesAtOnce = 16
  /// A comment is sent after this much silence, so that proxies keep the connection and a peer that is gone is noticed.
  private static let keepAlive = Duration.seconds(15)

  private let seat: WaitingRoom.Seat
  private let room: WaitingRoom
  private let bell: ChangeBell
  private let subscription: ChangeBell.Subscription
  private let configuration: GatewayConfiguration
  private let ask: Ask
  private var cursor: String
  /// What the first answer held is told at once. One without news is asked for again, now that the bell rings for what comes.
  private var pending: ChangesPage?
  private var hasGreeted = false
  private var isOver = false
  /// Since something was sent.
  private var silent = Duration.zero
  /// Since something changed.
  private var idle = Duration.zero

  init(
    seat: WaitingRoom.Seat, room: WaitingRoom, bell: ChangeBell, subscription: ChangeBell.Subscription,
    configuration: GatewayConfiguration, first: ChangesPage, ask: @escaping Ask
  ) {
    self.seat = seat
    self.room = room
    self.bell = bell
    self.subscription = subscription
    self.configuration = configuration
    self.ask = ask
    cursor = first.cursor
    pending = first.changes.isEmpty && !first.reset ? nil : first
  }

  /// The next piece of the stream; nil when the gateway stops, the token opens nothing any more, or nothing has changed for so long that
  /// the client had better poll.
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
      if idle >= configuration.streamIdleLimit {
        isOver = true
        return .bytes(ServerSentEvent(event: "poll", data: "{\"poll_seconds\":\(configuration.pollSeconds)}").encoded)
      }
      if silent >= ChangeStream.keepAlive {
        silent = .zero
        return .bytes(Array(":\n\n".utf8))
      }
      await pause()
    }
    return nil
  }

  private func pause() async {
    let limit = bell.isLive ? ChangeStream.keepAlive : room.interval(atLeast: configuration.changePollInterval)
    let begin = ContinuousClock.now
    await subscription.wait(atMost: min(limit, max(.milliseconds(1), configuration.streamIdleLimit - idle)))
    let passed = ContinuousClock.now - begin
    silent += passed
    idle += passed
  }

  private func poll() async throws(Problem) -> HTTPBodyPiece? {
    var hasChanged = false
    var wasReset = false
    for _ in 0..<ChangeStream.pagesAtOnce {
      let page: ChangesPage
      if let known = pending { page = known } else { page = try await ask(cursor) }
      pending = nil
      cursor = page.cursor
      subscription.follow(page.topics ?? [])
      hasChanged = hasChanged || !page.changes.isEmpty
      wasReset = wasReset || page.reset
      if !page.hasMore { break }
    }
    guard hasChanged || wasReset else { return nil }
    silent = .zero
    idle = .zero
    var data = JSONWriter(capacity: 128)
    data.object { $0.member("cursor") { $0.string(cursor) } }
    let event = ServerSentEvent(
      id: cursor, event: wasReset ? "reset" : "change", data: String(decoding: data.bytes, as: UTF8.self))
    return .bytes(event.encoded)
  }
}
