internal import HTTPTransport
internal import ServiceAPI

/// One route: what the router needs to answer it and what the API's description says of it, in one place, so that the two cannot part.
struct RouteDescription: Sendable {
  enum Access: Sendable {
    /// Needs nobody.
    case open
    /// Needs a user's token.
    case user
  }

  struct Parameter: Sendable {
    var name: String
    var schema: Schema
    var summary: String
    init(_ name: String, _ schema: Schema, _ summary: String) {
      self.name = name
      self.schema = schema
      self.summary = summary
    }
  }

  /// What a status means, and the document that comes with it.
  struct Answer: Sendable {
    enum Content: Sendable {
      case none
      case json(Schema)
      case other(String)
    }
    var status: Int
    var summary: String
    var content: Content
    init(_ status: Int, _ summary: String, _ content: Content = .none) {
      self.status = status
      self.summary = summary
      self.content = content
    }
    init(_ status: Int, _ summary: String, _ document: SchemaName) {
      self.init(status, summary, .json(.reference(document)))
    }
  }

  typealias Handler = @Sendable (GatewayCall) async throws(Problem) -> HTTPResponse

  let method: HTTPMethod
  let pattern: String
  /// Unique; names the operation in generated clients.
  let operation: String
  let summary: String
  var access = Access.user
  /// How the rates count it.
  var rate = RequestLimits.Kind.normal
  var parameters: [Parameter] = []
  /// Request headers that matter here.
  var headers: [Parameter] = []
  var request: SchemaName?
  var requestRequired = true
  var bodyLimit = 64 << 10
  let answers: [Answer]
  /// The kinds of problem that this route is known for; those that any route may answer are added for all.
  var problems: [Problem.Kind] = []
  let handler: Handler
}

extension RouteDescription.Parameter {
  static let limit = Self("limit", .integer(minimum: 1, maximum: 1000), "Entries of one page.")
  static let cursor = Self("cursor", .string, "The `next` of the page before.")
  static let version = Self("version", .integer(minimum: 1, maximum: nil), "A revision; the newest when absent.")
  static let ifMatch = Self("If-Match", .string, "The version that the change is conditional on, as `ETag` showed it.")
  static let ifNoneMatch = Self("If-None-Match", .string, "The versions that are known already.")
  static let idempotencyKey = Self("Idempotency-Key", .string, "Up to 256 characters: the same key takes effect once.")
}
