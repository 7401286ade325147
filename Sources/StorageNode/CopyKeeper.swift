internal import BlockModel
internal import BlockStore
internal import Credentials
internal import Platform

/// Puts records on this node's disks and signs for what became durable.
struct CopyKeeper: Sendable {
  let node: NodeID
  let cluster: ClusterID
  let disks: DiskSet
  let signer: ReceiptSigner
  let durability: Receipt.Durability

  /// Stores a checked record and answers the receipt for it. A block that is here already is acknowledged as the copy that is here.
  func store(
    _ record: SealedRecord, under capability: Capability, verification: Receipt.Verification
  ) async throws(BlockStoreError) -> String {
    let appended = try await disks.append(record)
    let block = appended.outcome.block
    return signer.sign(
      Receipt(
        cluster: cluster, upload: capability.upload, block: block.id, plainBytes: block.plainBytes, storedBytes: block.storedBytes,
        node: node,
        disk: appended.disk, layoutVersion: capability.layoutVersion, gcEpoch: block.gcEpoch, durability: durability,
        verification: verification, keyEpoch: signer.keyEpoch))
  }
}
