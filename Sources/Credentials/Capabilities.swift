package import BlockModel
internal import Platform
internal import Synchronization

/// HMAC-SHA256 over the bytes of a text; the one signature of capabilities and receipts, written in lower-case hexadecimal.
enum Signature {
  static func make(_ text: [UInt8], key: SecretBytes) -> [UInt8] { HMACSHA256.authenticate(key: key, message: text) }

  /// Compares in constant time.
  static func matches(_ signature: [UInt8], _ text: [UInt8], key: SecretBytes) -> Bool {
    constantTimeEqual(signature, make(text, key: key))
  }
}

/// Derived node keys, remembered: deriving one costs two HKDF, signing with it one HMAC. Bounded by the nodes of a cluster.
private final class NodeKeyCache: Sendable {
  private static let bound = 16_384
  private let keys = Mutex<[NodeID: EpochKeys]>([:])

  func keys(of node: NodeID, derive: (NodeID) -> EpochKeys) -> EpochKeys {
    if let known = keys.withLock({ $0[node] }) { return known }
    let derived = derive(node)
    keys.withLock { keys in
      if keys.count >= NodeKeyCache.bound { keys.removeAll() }
      keys[node] = derived
    }
    return derived
  }
}

/// Signs capabilities with the current epoch of each node's key: clients' transfers, and where the command root is held, too, commands.
package final class CapabilitySigner: Sendable {
  /// The roots of one moment, with what was derived from them.
  private final class Roots: Sendable {
    let transfer: CapabilityRoot
    let command: CommandRoot?
    let transferKeys = NodeKeyCache()
    let commandKeys = NodeKeyCache()

    init(transfer: CapabilityRoot, command: CommandRoot?) {
      self.transfer = transfer
      self.command = command
    }

    func keys(for capability: Capability) -> EpochKeys {
      switch capability.operation.authority {
      case .transfer: return transferKeys.keys(of: capability.node, derive: transfer.nodeKeys)
      case .command:
        guard let command else { preconditionFailure("a gateway signs no commands") }
        return commandKeys.keys(of: capability.node, derive: command.nodeKeys)
      }
    }
  }

  private let roots: Rotating<Roots>

  /// A gateway's: signs transfers only.
  package init(root: CapabilityRoot) { roots = Rotating(Roots(transfer: root, command: nil)) }

  /// A coordinator's.
  package init(secret: ClusterSecret) { roots = Rotating(Roots(transfer: secret.capabilityRoot, command: secret.commandRoot)) }

  /// Signs with these from now on.
  package func replace(root: CapabilityRoot) { roots.replace(Roots(transfer: root, command: nil)) }
  package func replace(secret: ClusterSecret) { roots.replace(Roots(transfer: secret.capabilityRoot, command: secret.commandRoot)) }

  /// The epoch that `sign` uses; put it into a capability's `keyEpoch` before signing.
  package var currentEpoch: UInt32 { roots.current.transfer.keys.current.epoch }

  /// The signature, 64 hexadecimal digits. Under an epoch that was dropped in this very moment it is one that opens nothing, and whoever
  /// gets it asks anew.
  package func sign(_ capability: Capability) -> String {
    let keys = roots.current.keys(for: capability)
    return HexDigits.encode(Signature.make(capability.signedBytes, key: keys.key(capability.keyEpoch) ?? keys.current.key))
  }

  /// The whole signed URL. `address` is the node's base URL without a trailing slash.
  package func url(_ capability: Capability, address: String) -> String {
    address + capability.pathAndQuery(signature: sign(capability))
  }
}

/// Verifies capabilities at the node that they are for.
package struct CapabilityVerifier: Sendable {
  private let rotating: Rotating<NodeKeys>

  package init(keys: Rotating<NodeKeys>) { rotating = keys }
  package init(keys: NodeKeys) { self.init(keys: Rotating(keys)) }

  /// Reads and verifies a request's capability. The signature is checked before anything that it protects is acted on; expiry last, so that
  /// only a holder of a genuine URL learns that it is old.
  ///
  /// - Parameters:
  ///   - block: the path's last component.
  ///   - query: the decoded query, in order, repeats included.
  ///   - operations: what the request's method and route allow.
  package func verify(
    block: String, query: [(name: String, value: String)], operations: [CapabilityOperation], now: WallTime
  ) throws(CredentialError) -> Capability {
    try verify(operations: operations, now: now) { () throws(Capability.Malformed) in try Capability.parse(block: block, query: query) }
  }

  /// As above, for a block's name and parameters that stand in `text`, the request's target.
  package func verify(
    block: Range<Int>, parameters: [QueryParameter], of text: [UInt8], operations: [CapabilityOperation], now: WallTime
  ) throws(CredentialError) -> Capability {
    try verify(operations: operations, now: now) { () throws(Capability.Malformed) in
      try Capability.parse(block: block, parameters: parameters, of: text)
    }
  }

  private func verify(
    operations: [CapabilityOperation], now: WallTime,
    _ parse: () throws(Capability.Malformed) -> (capability: Capability, signature: [UInt8])
  ) throws(CredentialError) -> Capability {
    let parsed: (capability: Capability, signature: [UInt8])
    do throws(Capability.Malformed) { parsed = try parse() } catch { throw CredentialError(.malformed, error.description) }
    let capability = parsed.capability
    let keys = rotating.current
    guard capability.node == keys.node else { throw CredentialError(.wrongNode, "this URL is signed for another node") }
    guard let key = keys.keys(for: capability.operation).key(capability.keyEpoch) else {
      throw CredentialError(.unknownKey, "this URL is signed under a key that is no longer in use: ask for a fresh one")
    }
    guard Signature.matches(parsed.signature, capability.signedBytes, key: key) else {
      throw CredentialError(.badSignature, "the signature does not fit this URL")
    }
    guard operations.contains(capability.operation) else {
      throw CredentialError(.wrongOperation, "this URL is signed for another operation")
    }
    guard now.seconds < capability.expires else { throw CredentialError(.expired, "this URL has expired: ask for a fresh one") }
    return capability
  }
}
