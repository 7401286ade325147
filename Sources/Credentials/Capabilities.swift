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

/// Signs capabilities with the newest epoch of each node's key.
package final class CapabilitySigner: Sendable {
  private let root: CapabilityRoot
  private let cache = NodeKeyCache()

  package init(root: CapabilityRoot) { self.root = root }

  /// The epoch that `sign` uses; put it into a capability's `keyEpoch` before signing.
  package var currentEpoch: UInt32 { root.keys.current.epoch }

  /// The signature, 64 hexadecimal digits. The capability's key epoch must be one that the root holds.
  package func sign(_ capability: Capability) -> String {
    guard let key = cache.keys(of: capability.node, derive: root.nodeKeys).key(capability.keyEpoch) else {
      preconditionFailure("signing under a key epoch that is not held")
    }
    return HexDigits.encode(Signature.make(capability.signedBytes, key: key))
  }

  /// The whole signed URL. `address` is the node's base URL without a trailing slash.
  package func url(_ capability: Capability, address: String) -> String {
    address + capability.pathAndQuery(signature: sign(capability))
  }
}

/// Verifies capabilities at the node that they are for.
package struct CapabilityVerifier: Sendable {
  private let keys: NodeKeys

  package init(keys: NodeKeys) { self.keys = keys }

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
    guard capability.node == keys.node else { throw CredentialError(.wrongNode, "this URL is signed for another node") }
    guard let key = keys.capability.key(capability.keyEpoch) else {
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
