internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

extension GatewayService {
  var changeRoutes: [RouteDescription] {
    [
      RouteDescription(
        method: .get, pattern: "/v1/changes", operation: "listChanges", summary: "What changed after a cursor, in commit order.",
        parameters: [.cursor, .limit, .init("wait", .integer(minimum: 0, maximum: 60), "Seconds to wait when nothing has changed yet.")],
        answers: [.init(200, "Changes, perhaps none.", .changesPage)], problems: [.invalidCursor, .busy], handler: changes),
      RouteDescription(
        method: .get, pattern: "/v1/changes/stream", operation: "followChanges",
        summary: "Server-sent events that say when to ask for changes.", parameters: [.cursor],
        headers: [.init("Last-Event-ID", .string, "The id of the last event, on reconnecting.")],
        answers: [.init(200, "Events without end.", .other("text/event-stream"))],
        problems: [.invalidCursor, .busy], handler: changeStream),
      RouteDescription(
        method: .get, pattern: "/v1/notifications", operation: "listNotifications",
        summary: "What others did to the caller's files and to what is shared with them, the newest first.",
        parameters: [.limit, .cursor], answers: [.init(200, "Notifications.", .notificationPage)], problems: [.invalidCursor],
        handler: notifications),
    ]
  }

  private func changes(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let limit = try call.limit()
    let wait = Duration.seconds(try call.integer("wait", in: 0...60) ?? 0)
    let cursor = try call.feedCursor()
    guard wait > .zero else { return try answer(try await perform(UserOperations.GetChanges(cursor: cursor, limit: limit), call)) }
    let subscription = bell.subscribe()
    var page = try await perform(UserOperations.GetChanges(cursor: cursor, limit: limit), call)
    guard page.changes.isEmpty, !page.reset else { return try answer(page) }
    let seat = try takeSeat()
    let end = time.monotonic() + wait
    while true {
      // Asked again after the bell rings for its topics, so that what changed in between is not missed; later rounds are the safety net.
      subscription.follow(page.topics ?? [])
      page = try await perform(UserOperations.GetChanges(cursor: page.cursor, limit: limit), call)
      let left = end - time.monotonic()
      guard page.changes.isEmpty, !page.reset, left > .zero, !waiting.isClosed, !Task.isCancelled else { break }
      let pause = bell.isLive ? Duration.seconds(15) : waiting.interval(atLeast: configuration.changePollInterval)
      await subscription.wait(atMost: min(left, pause))
    }
    withExtendedLifetime(seat) {}
    return try answer(page)
  }

  /// The page without what is ours alone, and with the word on how to go on: hold a stream while things change and there is room, else
  /// poll.
  private func answer(_ page: ChangesPage) throws(Problem) -> HTTPResponse {
    var page = page
    page.topics = nil
    let hasRoom = waiting.count < configuration.waitingLimit * 3 / 4
    page.follow = !page.changes.isEmpty && hasRoom ? .stream : .poll
    page.pollSeconds = configuration.pollSeconds
    return try .json(page)
  }

  private func changeStream(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    var cursor = try call.feedCursor()
    if let last = call.head.headers["Last-Event-ID"] { cursor = try GatewayCall.feedCursor(last) }
    // Asked before the head is sent, so that a wrong token or cursor gets a status.
    let subscription = bell.subscribe()
    let first = try await perform(UserOperations.GetChanges(cursor: cursor, limit: 1), call)
    subscription.follow(first.topics ?? [])
    let stream = ChangeStream(
      seat: try takeSeat(), room: waiting, bell: bell, subscription: subscription, configuration: configuration, first: first
    ) { (cursor: String) throws(Problem) -> ChangesPage in
      try await self.perform(UserOperations.GetChanges(cursor: cursor, limit: 1000), call)
    }
    return HTTPResponse(
      status: 200, headers: ["Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"],
      body: .stream(length: nil) { await stream.next() })
  }

  private func notifications(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    try .json(
      try await perform(UserOperations.ListNotifications(limit: try call.limit(default: 100), cursor: try call.cursor()), call))
  }

  private func takeSeat() throws(Problem) -> WaitingRoom.Seat {
    guard let seat = waiting.enter() else {
      throw Problem(.busy, "Too many clients wait for changes here; poll without `wait`.", retryAfter: 5)
    }
    return seat
  }
}
