package import BlockModel
internal import Platform
internal import Synchronization

/// Signs receipts at a node.
package struct ReceiptSigner: Sendable {
  private let rotating: Rotating<NodeKeys>

  package init(keys: Rotating<NodeKeys>) { rotating = keys }
  package init(keys: NodeKeys) { self.init(keys: Rotating(keys)) }

  package var keyEpoch: UInt32 { rotating.current.receipt.current.epoch }

  /// The receipt's text. Its key epoch is set to the one that signs.
  package func sign(_ receipt: Receipt) -> String {
    var receipt = receipt
    let (epoch, key) = rotating.current.receipt.current
    receipt.keyEpoch = epoch
    let signed = receipt.signedBytes
    return Receipt.text(signedBytes: signed, signature: Signature.make(signed, key: key))
  }
}

/// Verifies receipts of any node of the cluster.
package final class ReceiptVerifier: Sendable {
  private struct State {
    var root: ReceiptRoot
    /// Deriving a node's key costs two HKDF; bounded, because the names come from outside.
    var known: [NodeID: EpochKeys] = [:]
  }
  private let state: Mutex<State>
  private let cluster: ClusterID
  private static let bound = 16_384

  package init(root: ReceiptRoot, cluster: ClusterID) {
    state = Mutex(State(root: root))
    self.cluster = cluster
  }

  /// Believes receipts under these epochs from now on.
  package func replace(root: ReceiptRoot) { state.withLock { $0 = State(root: root) } }

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
    state.withLock { state in
      if let keys = state.known[node] { return keys }
      if state.known.count >= ReceiptVerifier.bound { state.known.removeAll() }
      let derived = state.root.nodeKeys(node)
      state.known[node] = derived
      return derived
    }
  }
}
