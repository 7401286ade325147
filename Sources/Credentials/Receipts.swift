package import BlockModel
internal import Platform
internal import Synchronization

/// Signs receipts at a node.
package struct ReceiptSigner: Sendable {
  private let keys: NodeKeys

  package init(keys: NodeKeys) { self.keys = keys }

  package var keyEpoch: UInt32 { keys.receipt.current.epoch }

  /// The receipt's text. Its key epoch is set to the one that signs.
  package func sign(_ receipt: Receipt) -> String {
    var receipt = receipt
    receipt.keyEpoch = keys.receipt.current.epoch
    let signed = receipt.signedBytes
    return Receipt.text(signedBytes: signed, signature: Signature.make(signed, key: keys.receipt.current.key))
  }
}

/// Verifies receipts of any node of the cluster.
package final class ReceiptVerifier: Sendable {
  private let root: ReceiptRoot
  private let cluster: ClusterID
  /// Deriving a node's key costs two HKDF; bounded, because the names come from outside.
  private let known = Mutex<[NodeID: EpochKeys]>([:])
  private static let bound = 16_384

  package init(root: ReceiptRoot, cluster: ClusterID) {
    self.root = root
    self.cluster = cluster
  }

  /// - Throws: `.malformed`, `.unknownKey`, `.badSignature`, or `.wrongNode` when the receipt is of another cluster.
  package func verify(_ text: String) throws(CredentialError) -> Receipt {
    guard let (receipt, signature) = try? Receipt.parse(text) else { throw CredentialError(.malformed, "this is no receipt") }
    guard receipt.cluster == cluster else { throw CredentialError(.wrongNode, "this receipt is of another cluster") }
    guard let key = keys(of: receipt.node).key(receipt.keyEpoch) else {
      throw CredentialError(.unknownKey, "this receipt is signed under a key that is no longer in use: put the block again")
    }
    guard Signature.matches(signature, receipt.signedBytes, key: key) else {
      throw CredentialError(.badSignature, "the receipt's signature does not fit")
    }
    return receipt
  }

  private func keys(of node: NodeID) -> EpochKeys {
    if let keys = known.withLock({ $0[node] }) { return keys }
    let derived = root.nodeKeys(node)
    known.withLock { known in
      if known.count >= ReceiptVerifier.bound { known.removeAll() }
      known[node] = derived
    }
    return derived
  }
}
