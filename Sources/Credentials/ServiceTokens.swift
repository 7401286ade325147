package import BlockModel
internal import Platform

/// Who calls the coordinator.
package enum ServicePrincipal: Sendable, Equatable {
  case node(NodeID)
  case gateway(String)
  case op(String)

  var kind: String {
    switch self {
    case .node: "node"
    case .gateway: "gateway"
    case .op: "operator"
    }
  }

  var name: String {
    switch self {
    case .node(let node): node.text
    case .gateway(let name), .op(let name): name
    }
  }
}

/// Makes and verifies the bearer tokens of services and operators: `cs1.KIND.NAME.EPOCH.` and 64 hexadecimal digits. Held by coordinators.
package struct ControlRoot: Sendable {
  let keys: EpochKeys

  package func token(_ principal: ServicePrincipal) -> String {
    let (epoch, _) = keys.current
    return "cs1.\(principal.kind).\(principal.name).\(epoch).\(HexDigits.encode(secret(principal, epoch: epoch) ?? []))"
  }

  private func secret(_ principal: ServicePrincipal, epoch: UInt32) -> [UInt8]? {
    keys.key(epoch).map { KeyDerivation.child(of: $0, "token \(principal.kind) \(principal.name)").exposed }
  }
}

/// Verifies service tokens.
package struct ServiceTokenVerifier: Sendable {
  private let root: Rotating<ControlRoot>

  package init(root: Rotating<ControlRoot>) { self.root = root }
  package init(root: ControlRoot) { self.init(root: Rotating(root)) }

  /// Who bears this token; nil when nobody does.
  package func verify(_ bearer: String) -> ServicePrincipal? {
    guard bearer.utf8.count <= 256 else { return nil }
    let fields = bearer.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard fields.count == 5, fields[0] == "cs1", NameRule.accepts(fields[2]), let epoch = UInt32(fields[3]),
      let given = HexDigits.decode(fields[4]), let principal = principal(kind: fields[1], name: fields[2]),
      let key = root.current.keys.key(epoch)
    else { return nil }
    let secret = KeyDerivation.child(of: key, "token \(principal.kind) \(principal.name)").exposed
    return constantTimeEqual(given, secret) ? principal : nil
  }

  private func principal(kind: String, name: String) -> ServicePrincipal? {
    switch kind {
    case "node": NodeID(name).map(ServicePrincipal.node)
    case "gateway": .gateway(name)
    case "operator": .op(name)
    default: nil
    }
  }
}
