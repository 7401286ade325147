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
    return try await keep(record, put)
  }

  /// The same for a record that is in memory already: the bytes `range` of a batch.
  func receive(_ put: AdmittedPut, _ range: Range<Int>, of batch: IOBuffer) async throws(Problem) -> [String] {
    let buffer = try await acquire(put)
    let end = RecordLayout.localBytes + range.count
    buffer.mutableBytes(RecordLayout.localBytes..<end).copyMemory(from: batch.bytes(range))
    var verifier = RecordVerifier(buffer: buffer, block: put.capability.block, keys: keys)
    let record: SealedRecord
    do throws(BlockStoreError) {
      try verifier.receive(upTo: end)
      record = try verifier.finish(gcEpoch: put.capability.gcEpoch)
    } catch { throw Problem(error) }
    return try await keep(record, put)
  }

  private func acquire(_ put: AdmittedPut) async throws(Problem) -> IOBuffer {
    let pool = pools.replica.pool(recordBytes: RecordLayout.localBytes + put.bodyBytes)
    if let buffer = pool.tryAcquire() { return buffer }
    do { return try await pool.acquire(patience: limits.replicaPatience) } catch { throw .noBuffer }
  }

  private func keep(_ received: SealedRecord, _ put: AdmittedPut) async throws(Problem) -> [String] {
    let record: SealedRecord
    do throws(BlockStoreError) { record = try RecordRewrap.rewrap(received, keys: keys) } catch { throw Problem(error) }
    guard record.header.plainBytes == put.capability.size else {
      throw Problem(.conflict, "The record is of a block of \(record.header.plainBytes) bytes, the URL for \(put.capability.size).")
    }
    do throws(BlockStoreError) {
      return [try await keeper.store(record, under: put.capability, verification: .tagged)]
    } catch {
      log.request(put.requestID).error(
        "a record was not stored", ["block": .string(put.capability.block.hex), "reason": .string(error.message)])
      throw Problem(error)
    }
  }
}
