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
    ]
  }

  private func changes(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    let limit = try call.limit()
    let wait = Duration.seconds(try call.integer("wait", in: 0...60) ?? 0)
    var page = try await perform(UserOperations.GetChanges(cursor: try call.cursor(), limit: limit), call)
    guard wait > .zero, page.changes.isEmpty, !page.reset else { return try .json(page) }
    let seat = try takeSeat()
    let end = time.monotonic() + wait
    while page.changes.isEmpty, !page.reset, !waiting.isClosed, !Task.isCancelled {
      let left = end - time.monotonic()
      guard left > .zero else { break }
      await waiting.sleep(min(left, waiting.interval(atLeast: configuration.changePollInterval)))
      page = try await perform(UserOperations.GetChanges(cursor: page.cursor, limit: limit), call)
    }
    withExtendedLifetime(seat) {}
    return try .json(page)
  }

  private func changeStream(_ call: GatewayCall) async throws(Problem) -> HTTPResponse {
    var cursor = try call.cursor()
    if let last = call.head.headers["Last-Event-ID"] { cursor = try GatewayCall.cursor(last) }
    // Asked before the head is sent, so that a wrong token or cursor gets a status.
    let first = try await perform(UserOperations.GetChanges(cursor: cursor, limit: 1), call)
    let hints = ChangeHints(seat: try takeSeat(), room: waiting, interval: configuration.changePollInterval, first: first) {
      (cursor: String) throws(Problem) -> ChangesPage in
      try await self.perform(UserOperations.GetChanges(cursor: cursor, limit: 1000), call)
    }
    return HTTPResponse(
      status: 200, headers: ["Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"],
      body: .stream(length: nil) { await hints.next() })
  }

  private func takeSeat() throws(Problem) -> WaitingRoom.Seat {
    guard let seat = waiting.enter() else {
      throw Problem(.busy, "Too many clients wait for changes here; poll without `wait`.", retryAfter: 5)
    }
    return seat
  }
}
