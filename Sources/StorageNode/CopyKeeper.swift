internal import BlockModel
internal import BlockStore
internal import Credentials
internal import Platform

/// Puts records on this node's disks and signs for what became durable.
///
/// What must hold: a receipt stands for a copy that was whole when it was signed. A copy that was here before is read back first: it may
/// have gone bad since, and the bytes that would replace it are at hand now, and maybe nowhere else later.
struct CopyKeeper: Sendable {
  let node: NodeID
  let cluster: ClusterID
  let disks: DiskSet
  /// For reading back.
  let buffers: BufferPools.Pair
  let signer: ReceiptSigner
  let durability: Receipt.Durability

  /// Stores a checked record and answers the receipt for it. A block that is here already is acknowledged as the copy that is here, if
  /// that is good.
  func store(
    _ record: SealedRecord, under capability: Capability, verification: Receipt.Verification
  ) async throws(BlockStoreError) -> String {
    let appended = try await keep(record)
    let block = appended.outcome.block
    return signer.sign(
      Receipt(
        cluster: cluster, upload: capability.upload, block: block.id, plainBytes: block.plainBytes, storedBytes: block.storedBytes,
        node: node,
        disk: appended.disk, layoutVersion: capability.layoutVersion, gcEpoch: block.gcEpoch, durability: durability,
        verification: verification, keyEpoch: signer.keyEpoch))
  }

  private func keep(_ record: SealedRecord) async throws(BlockStoreError) -> DiskSet.Appended {
    let appended = try await disks.append(record)
    if appended.outcome.wasNew { return appended }
    do throws(BlockStoreError) {
      try await disks.verify(record.header.block, using: buffers.pool(storedBytes: appended.outcome.block.storedBytes))
      return appended
    } catch {
      guard [.rotten, .notFound].contains(error.code) else { throw error }
    }
    // What was here is set aside by now, or was deleted meanwhile.
    return try await disks.append(record)
  }
}
