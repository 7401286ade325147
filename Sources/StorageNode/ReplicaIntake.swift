internal import BlockModel
internal import BlockStore
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// The replica's side of a PUT: takes a sealed record from another node, checks every tag, stores it, and signs for it.
///
/// What must hold: it waits for its own buffers and its own disk, and for no other node.
struct ReplicaIntake: Sendable {
  let pools: BufferPools
  let limits: NodeLimits
  let keys: DataKeyring?
  let keeper: CopyKeeper
  let log: Logger

  func receive(_ put: AdmittedPut, _ body: any HTTPRequestBody) async throws(Problem) -> [String] {
    let buffer = try await acquire(put)
    body.receive(
      into: buffer, placement: BodyPlacement(base: RecordLayout.localBytes, piece: .max / 2, stride: .max / 2), limit: put.bodyBytes)
    var verifier = RecordVerifier(buffer: buffer, block: put.capability.block, keys: keys)
    var taken = 0
    while true {
      let progress: (count: Int, ended: Bool)
      do throws(HTTPBodyError) { progress = try await body.received(beyond: taken) } catch { throw Problem(error) }
      taken = progress.count
      do throws(BlockStoreError) { try verifier.receive(upTo: RecordLayout.localBytes + taken) } catch { throw Problem(error) }
      if progress.ended { break }
    }
    let record: SealedRecord
    do throws(BlockStoreError) { record = try verifier.finish(gcEpoch: put.capability.gcEpoch) } catch { throw Problem(error) }
    return try await keep([try checked(record, put)])[0].get()
  }

  /// A record whose tags fit, and that is not stored yet.
  struct Checked: Sendable {
    fileprivate let put: AdmittedPut
    fileprivate let record: SealedRecord
  }

  /// Checks a record that is in memory already. `keep` has to follow.
  ///
  /// - Parameters:
  ///   - range: where the record is in the batch.
  ///   - buffer: of `pool(for:)`.
  func check(_ put: AdmittedPut, _ range: Range<Int>, of batch: IOBuffer, in buffer: IOBuffer) throws(Problem) -> Checked {
    let end = RecordLayout.localBytes + range.count
    buffer.mutableBytes(RecordLayout.localBytes..<end).copyMemory(from: batch.bytes(range))
    var verifier = RecordVerifier(buffer: buffer, block: put.capability.block, keys: keys)
    let record: SealedRecord
    do throws(BlockStoreError) {
      try verifier.receive(upTo: end)
      record = try verifier.finish(gcEpoch: put.capability.gcEpoch)
    } catch { throw Problem(error) }
    return try checked(record, put)
  }

  /// Where a record's buffer comes from.
  func pool(for put: AdmittedPut) -> BufferPool { pools.replica.pool(recordBytes: RecordLayout.localBytes + put.bodyBytes) }

  private func acquire(_ put: AdmittedPut) async throws(Problem) -> IOBuffer {
    let pool = pool(for: put)
    if let buffer = pool.tryAcquire() { return buffer }
    do { return try await pool.acquire(patience: limits.replicaPatience) } catch { throw .noBuffer }
  }

  private func checked(_ received: SealedRecord, _ put: AdmittedPut) throws(Problem) -> Checked {
    let record: SealedRecord
    do throws(BlockStoreError) { record = try RecordRewrap.rewrap(received, keys: keys) } catch { throw Problem(error) }
    guard record.header.plainBytes == put.capability.size else {
      throw Problem(.conflict, "The record is of a block of \(record.header.plainBytes) bytes, the URL for \(put.capability.size).")
    }
    return Checked(put: put, record: record)
  }

  /// Stores records; the receipt of each, in their order.
  func keep(_ records: [Checked]) async -> [Result<[String], Problem>] {
    let stored = await keeper.store(records.map { ($0.record, $0.put.capability) }, verification: .tagged)
    return zip(records, stored).map { item, result in
      result.map { [$0] }.mapError { error in
        log.request(item.put.requestID).error(
          "a record was not stored", ["block": .string(item.put.capability.block.hex), "reason": .string(error.message)])
        return Problem(error)
      }
    }
  }
}
