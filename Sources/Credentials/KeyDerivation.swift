package import BlockModel
package import Platform

/// The tree of keys below the cluster's secret. Each arrow is one HKDF-SHA256 (RFC 5869) with the salt `cairn v1`:
///
///     cluster secret of an epoch ── "root capability" ──▶ capability root ── "node NAME" ──▶ the node's capability key
///                                ├─ "root command"    ──▶ command root    ── "node NAME" ──▶ the node's command key
///                                ├─ "root receipt"    ──▶ receipt root    ── "node NAME" ──▶ the node's receipt key
///                                ├─ "root control"    ──▶ control root    ── "token KIND NAME" ──▶ a service's bearer token
///                                └─ "root journal"    ──▶ what the metadata's journal on the nodes is sealed under
///
/// The epoch is in the secret, so keys of two epochs have nothing in common. A node holds only its own leaves, a gateway only the
/// capability root, and only the coordinator can give commands and verify every receipt.
enum KeyDerivation {
  static let keyBytes = 32
  private static let salt = Array("cairn v1".utf8)

  static func child(of secret: SecretBytes, _ label: String) -> SecretBytes {
    SecretBytes(HKDFSHA256.derive(secret: secret.exposed, salt: salt, info: label, count: keyBytes))
  }
}

/// A key for each live epoch, newest last. Two epochs live at once while keys rotate: both are believed, one signs.
package struct EpochKeys: Sendable {
  package let epochs: [(epoch: UInt32, key: SecretBytes)]
  fileprivate let signing: Int

  /// - Parameter current: the epoch that signs; nil is the newest.
  /// - Throws: `.keyFile` when there is none, one stands twice, one has the wrong length, or the current one is not there.
  package init(_ keys: [(epoch: UInt32, key: SecretBytes)], current: UInt32? = nil) throws(CredentialError) {
    let sorted = keys.sorted { $0.epoch < $1.epoch }
    guard !sorted.isEmpty, sorted.allSatisfy({ $0.key.count == KeyDerivation.keyBytes }),
      zip(sorted, sorted.dropFirst()).allSatisfy({ $0.epoch < $1.epoch })
    else { throw CredentialError(.keyFile, "keys need at least one epoch, each once, of 32 bytes") }
    guard let signing = current == nil ? sorted.count - 1 : sorted.firstIndex(where: { $0.epoch == current }) else {
      throw CredentialError(.keyFile, "the epoch that signs has no key")
    }
    epochs = sorted
    self.signing = signing
  }

  fileprivate init(unchecked: [(epoch: UInt32, key: SecretBytes)], signing: Int) {
    epochs = unchecked
    self.signing = signing
  }

  /// The epoch that signs.
  package var current: (epoch: UInt32, key: SecretBytes) { epochs[signing] }

  package func key(_ epoch: UInt32) -> SecretBytes? { epochs.first { $0.epoch == epoch }?.key }

  /// The same derivation below each epoch's key.
  func children(_ label: String) -> EpochKeys {
    EpochKeys(unchecked: epochs.map { ($0.epoch, KeyDerivation.child(of: $0.key, label)) }, signing: signing)
  }
}

/// The secret that all else derives from; held by coordinators only.
package struct ClusterSecret: Sendable {
  package let keys: EpochKeys
  /// Journal keys of epochs that were taken out, oldest first: what is sealed under them has to be readable until it was written anew.
  package let formerJournalKeys: [(epoch: UInt32, key: SecretBytes)]
  /// A coordinator writes its journal anew when an epoch begins to seal, so one former key does; the rest is for those that were down.
  static let formerJournalKeysKept = 4

  /// - Parameter formerJournalKeys: of epochs before those of `keys`, each once, oldest first.
  package init(keys: EpochKeys, formerJournalKeys: [(epoch: UInt32, key: SecretBytes)] = []) {
    self.keys = keys
    let oldest = keys.epochs[0].epoch
    self.formerJournalKeys = Array(
      formerJournalKeys.filter { $0.epoch < oldest }.sorted { $0.epoch < $1.epoch }.suffix(ClusterSecret.formerJournalKeysKept))
  }

  package static func generate(epoch: UInt32 = 1) -> ClusterSecret {
    // One fresh epoch of the right length always passes the check.
    guard let keys = try? EpochKeys([(epoch, SecretBytes(randomCount: KeyDerivation.keyBytes))]) else {
      preconditionFailure("a fresh secret is well formed")
    }
    return ClusterSecret(keys: keys)
  }

  package var capabilityRoot: CapabilityRoot { CapabilityRoot(keys: keys.children("root capability")) }
  package var commandRoot: CommandRoot { CommandRoot(keys: keys.children("root command")) }
  package var receiptRoot: ReceiptRoot { ReceiptRoot(keys: keys.children("root receipt")) }
  /// What the metadata's journal is sealed under: with former epochs, which are not believed in anything else. Held by coordinators only.
  package var journalKeys: EpochKeys {
    let live = keys.children("root journal")
    return EpochKeys(unchecked: formerJournalKeys + live.epochs, signing: formerJournalKeys.count + live.signing)
  }
  package var controlRoot: ControlRoot { ControlRoot(keys: keys.children("root control")) }

  /// What one node is given.
  package func nodeKeys(_ node: NodeID, cluster: ClusterID) -> NodeKeys {
    NodeKeys(
      cluster: cluster, node: node, capability: capabilityRoot.nodeKeys(node), command: commandRoot.nodeKeys(node),
      receipt: receiptRoot.nodeKeys(node), token: controlRoot.token(.node(node)))
  }
}

/// Signs clients' transfers for every node; held by gateways and coordinators.
package struct CapabilityRoot: Sendable {
  package let keys: EpochKeys
  package init(keys: EpochKeys) { self.keys = keys }
  func nodeKeys(_ node: NodeID) -> EpochKeys { keys.children("node \(node.text)") }
}

/// Signs commands and record URLs for every node; held by coordinators.
package struct CommandRoot: Sendable {
  let keys: EpochKeys
  func nodeKeys(_ node: NodeID) -> EpochKeys { keys.children("node \(node.text)") }
}

/// Verifies receipts of every node; held by coordinators.
package struct ReceiptRoot: Sendable {
  let keys: EpochKeys
  func nodeKeys(_ node: NodeID) -> EpochKeys { keys.children("node \(node.text)") }
}

/// One node's own keys, and its bearer token for the coordinator. An object, because every request looks at it.
package final class NodeKeys: Sendable {
  package let cluster: ClusterID
  package let node: NodeID
  let capability: EpochKeys
  let command: EpochKeys
  let receipt: EpochKeys
  package let token: String
  init(cluster: ClusterID, node: NodeID, capability: EpochKeys, command: EpochKeys, receipt: EpochKeys, token: String) {
    self.cluster = cluster
    self.node = node
    self.capability = capability
    self.command = command
    self.receipt = receipt
    self.token = token
  }

  /// What verifies a capability for this operation.
  func keys(for operation: CapabilityOperation) -> EpochKeys {
    switch operation.authority {
    case .transfer: capability
    case .command: command
    }
  }
}
