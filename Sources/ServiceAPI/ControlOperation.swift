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
  package static let protocolVersion = "Cairn-Protocol"
  package static let userToken = "X-Cairn-User-Token"
  package static let idempotencyKey = "Idempotency-Key"
  package static let clientAddress = "X-Cairn-Client-Address"
}

/// What daemons of different versions may expect of each other, said with each control operation and each command to a node.
///
/// What must hold: members are only ever added, and what does not know them ignores them; whatever else changes raises `current`, and the
/// version after still takes the one before, so that a cluster is upgraded daemon by daemon: coordinators, then nodes, then gateways.
package enum ControlProtocol {
  /// What this version speaks.
  package static let current = 1
  /// The oldest that this version understands.
  package static let oldest = 1

  /// - Parameters:
  ///   - header: what came in `ControlHeader.protocolVersion`; versions before it was sent spoke 1.
  ///   - callee: who was asked, for the sentence.
  /// - Throws: `.unavailable`: another coordinator may be of a version that fits.
  package static func check(_ header: String?, callee: String) throws(Problem) {
    let spoken = header.map { Int($0) ?? -1 } ?? 1
    guard spoken < oldest || spoken > current else { return }
    throw Problem(
      .unavailable,
      "\(callee) speaks the control protocols \(oldest) to \(current), and this came in \(header?.prefix(20) ?? "1"): upgrade "
        + (spoken > current ? "what was asked first." : "who asks."), retryAfter: 5)
  }
}
