package import BlockModel

/// One thing that the gateway, a node or an operator asks of the coordinator: `POST /v1/control/{name}`, JSON both ways, problems as
/// problem documents.
package protocol ControlOperation: Sendable, Codable {
  associatedtype Response: Sendable & Codable
  /// The last component of the URL.
  static var name: String { get }
  /// Who may call it.
  static var audience: ControlAudience { get }
  /// Changes nothing, so asking again after a lost answer is always safe.
  static var isRead: Bool { get }
  /// What an operator's operation is done to, for the audit log. Nothing secret stands in it.
  var auditSubject: String { get }
}

extension ControlOperation {
  package static var isRead: Bool { false }
  package var auditSubject: String { "" }
}

/// Who may call an operation; each kind of caller has a token of its own kind.
package enum ControlAudience: Sendable, Equatable {
  /// The gateway, for the user whose token comes along.
  case user
  /// The gateway, for nobody in particular (sign-up, log-in).
  case gateway
  case node
  case op
}

/// On whose behalf an operation runs: filled in by the coordinator's door, never by the caller.
package struct ControlContext: Sendable {
  /// The user's bearer token as the client sent it, with `ControlAudience.user`.
  package var userToken: String?
  /// Honoured for operations that create.
  package var idempotencyKey: String?
  package var requestID: String
  package var remoteAddress: String
  /// The calling node, with `ControlAudience.node`.
  package var node: NodeID?
  /// The calling operator, with `ControlAudience.op`.
  package var operatorName: String?
  package init(
    userToken: String? = nil, idempotencyKey: String? = nil, requestID: String, remoteAddress: String = "", node: NodeID? = nil,
    operatorName: String? = nil
  ) {
    self.userToken = userToken
    self.idempotencyKey = idempotencyKey
    self.requestID = requestID
    self.remoteAddress = remoteAddress
    self.node = node
    self.operatorName = operatorName
  }
}

/// The coordinator, in this process or behind HTTP.
package protocol ControlPlane: Sendable {
  /// - Throws: `Problem`; `.unavailable` when the coordinator cannot be reached, in which case the outcome of a mutation is unknown and
  ///   asking again with the same idempotency key is safe.
  func perform<Operation: ControlOperation>(_ operation: Operation, context: ControlContext) async throws(Problem) -> Operation.Response
}

/// An answer that says nothing but "done".
package struct Done: Sendable, Codable, Equatable {
  package init() {}
}

/// Header names between gateway and coordinator.
package enum ControlHeader {
  package static let userToken = "X-Cairn-User-Token"
  package static let idempotencyKey = "Idempotency-Key"
  package static let clientAddress = "X-Cairn-Client-Address"
}
