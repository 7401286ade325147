internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// One request on its way through the gateway: reads what the route needs, and refuses in one sentence what it cannot use.
struct GatewayCall: Sendable {
  let head: HTTPRequestHead
  let body: any HTTPRequestBody
  let bodyLimit: Int

  /// Levels of arrays and objects in a request's document; ours need five.
  private static let depthLimit = 16
  private static let idempotencyKeyBytes = 256

  // MARK: Who asks

  /// The user's token, taken from `Authorization: Bearer …` without judging it; the coordinator does that.
  static func token(_ headers: HTTPHeaders) throws(Problem) -> String {
    guard let value = headers["Authorization"] else {
      throw Problem(.unauthenticated, "This needs a token: log in and send it as `Authorization: Bearer TOKEN`.")
    }
    let scheme = value.prefix(7)
    let token = value.dropFirst(7).drop { $0 == " " }
    guard scheme.lowercased() == "bearer ", (1...256).contains(token.utf8.count), token.utf8.allSatisfy({ (0x21...0x7e).contains($0) })
    else {
      throw Problem(.unauthenticated, "The Authorization header is not `Bearer` and a token.")
    }
    return String(token)
  }

  /// For an operation on behalf of the user who asks.
  func userContext() throws(Problem) -> ControlContext {
    var context = try anonymousContext()
    context.userToken = try GatewayCall.token(head.headers)
    return context
  }

  /// For an operation that needs nobody.
  func anonymousContext() throws(Problem) -> ControlContext {
    let key = head.headers["Idempotency-Key"]
    if let key {
      guard (1...GatewayCall.idempotencyKeyBytes).contains(key.utf8.count), key.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
        throw Problem(.malformed, "Idempotency-Key has to be 1 to 256 printable ASCII characters.")
      }
    }
    return ControlContext(idempotencyKey: key, requestID: head.requestID, remoteAddress: head.remoteAddress)
  }

  // MARK: Query and path

  /// A query parameter that may stand there once; nil when it does not, or is empty.
  func query(_ name: String) throws(Problem) -> String? {
    let values = head.query.filter { $0.name == name }
    guard values.count <= 1 else { throw Problem(.malformed, "The parameter `\(name)` is given more than once.") }
    return values.first.flatMap { $0.value.isEmpty ? nil : $0.value }
  }

  func integer<Number: FixedWidthInteger & Sendable>(_ name: String, in range: ClosedRange<Number>) throws(Problem) -> Number? {
    guard let text = try query(name) else { return nil }
    guard let number = Number(text), range.contains(number) else {
      throw Problem(.malformed, "The parameter `\(name)` has to be a number from \(range.lowerBound) to \(range.upperBound).")
    }
    return number
  }

  /// `1` or `true`, `0` or `false`; absent is false, present without a value is true.
  func flag(_ name: String) throws(Problem) -> Bool {
    guard let value = try query(name) else { return head.query.contains { $0.name == name } }
    switch value {
    case "1", "true": return true
    case "0", "false": return false
    default: throw Problem(.malformed, "The parameter `\(name)` has to be 1 or 0.")
    }
  }

  /// The page size: 1 to 1,000.
  func limit(default standard: Int = 1000) throws(Problem) -> Int { try integer("limit", in: 1...1000) ?? standard }

  func cursor() throws(Problem) -> String? {
    try query("cursor").map { text throws(Problem) in try GatewayCall.cursor(text) }
  }

  static func cursor(_ cursor: String) throws(Problem) -> String {
    guard cursor.utf8.count <= 2048 else { throw Problem(.invalidCursor, "This cursor was not made here; begin without one.") }
    return cursor
  }

  /// A place in the change feed, which names each namespace that the caller sees.
  func feedCursor() throws(Problem) -> String? {
    try query("cursor").map { text throws(Problem) in try GatewayCall.feedCursor(text) }
  }

  static func feedCursor(_ cursor: String) throws(Problem) -> String {
    guard cursor.utf8.count <= 12 << 10 else { throw Problem(.invalidCursor, "This cursor was not made here; begin without one.") }
    return cursor
  }

  /// The file, folder or symlink that the path's `{id}` names.
  func entry() throws(Problem) -> EntryReference {
    let text = head.parameters["id"] ?? ""
    guard let id = EntryID(hex: text) else { throw Problem(.notFound, "There is no file with this id; ids are 32 hexadecimal digits.") }
    return .id(id)
  }

  func upload() throws(Problem) -> UploadID {
    guard let id = UploadID(hex: head.parameters["id"] ?? "") else {
      throw Problem(.uploadNotFound, "There is no upload with this id; ids are 32 hexadecimal digits.")
    }
    return id
  }

  /// A path of the user's tree in the one form that is stored.
  static func path(_ text: String) throws(Problem) -> String {
    do { return try RemotePath(text).text } catch { throw Problem(.invalidName, "The path is not usable: \(error.description).") }
  }

  // MARK: The body

  /// The request's document. Members that the type does not know are ignored.
  func document<Value: Decodable>(_ type: Value.Type) async throws(Problem) -> Value {
    let bytes = try await bytes()
    guard !bytes.isEmpty else { throw Problem(.malformed, "The request needs a JSON document as its body.") }
    return try GatewayCall.decode(type, bytes)
  }

  /// As `document`, with `standard` when there is no body.
  func document<Value: Decodable>(_ type: Value.Type, default standard: Value) async throws(Problem) -> Value {
    let bytes = try await bytes()
    return bytes.isEmpty ? standard : try GatewayCall.decode(type, bytes)
  }

  private func bytes() async throws(Problem) -> [UInt8] {
    do { return try await body.collect(limit: bodyLimit) } catch {
      switch error {
      case .tooLarge: throw Problem(.tooLarge, "The document is longer than the \(bodyLimit) bytes that are taken here; send it in parts.")
      case .incomplete, .timedOut, .cancelled: throw Problem(.malformed, "The body ended before its declared length.")
      }
    }
  }

  private static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8]) throws(Problem) -> Value {
    do { return try JSONCoding.decode(type, from: bytes, maxDepth: depthLimit) } catch {
      throw Problem(error.code == .tooLarge ? .tooLarge : .malformed, error.message)
    }
  }
}
