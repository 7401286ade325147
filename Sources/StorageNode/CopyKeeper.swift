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

  /// Copies of one batch that are read back at once.
  private static let parallelChecks = 64

  /// Stores checked records, together, and answers the receipt for each, in their order. A block that is here already is acknowledged as
  /// the copy that is here, if that is good.
  func store(
    _ records: [(record: SealedRecord, capability: Capability)], verification: Receipt.Verification
  ) async -> [Result<String, BlockStoreError>] {
    var appended = await disks.append(records.map(\.record))
    var doubtful: [(number: Int, record: SealedRecord, there: DiskSet.Appended)] = []
    for (number, answer) in appended.enumerated() {
      if case .success(let there) = answer, !there.outcome.wasNew { doubtful.append((number, records[number].record, there)) }
    }
    let checked = await each(of: doubtful, atMost: CopyKeeper.parallelChecks) { item in
      (item.number, await whole(item.record, item.there))
    }
    for (number, answer) in checked { appended[number] = answer }
    return zip(records, appended).map { item, answer in answer.map { receipt(for: $0, under: item.capability, verification) } }
  }

  private func receipt(for appended: DiskSet.Appended, under capability: Capability, _ verification: Receipt.Verification) -> String {
    let block = appended.outcome.block
    return signer.sign(
      Receipt(
        cluster: cluster, upload: capability.upload, block: block.id, plainBytes: block.plainBytes, storedBytes: block.storedBytes,
        node: node,
        disk: appended.disk, layoutVersion: capability.layoutVersion, gcEpoch: block.gcEpoch, durability: durability,
        verification: verification, keyEpoch: signer.keyEpoch))
  }

  /// The copy that was here, once it was read back, or the record in its place.
  private func whole(_ record: SealedRecord, _ there: DiskSet.Appended) async -> Result<DiskSet.Appended, BlockStoreError> {
    do throws(BlockStoreError) {
      do throws(BlockStoreError) {
        try await disks.verify(record.header.block, using: buffers.pool(storedBytes: there.outcome.block.storedBytes))
        return .success(there)
      } catch {
        guard [.rotten, .notFound].contains(error.code) else { throw error }
      }
      // What was here is set aside by now, or was deleted meanwhile.
      return .success(try await disks.append(record))
    } catch { return .failure(error) }
  }
}
