package import BlockModel
package import Platform

extension StoredBlock {
  init(_ header: RecordHeader, gcEpoch: UInt64) {
    self.init(
      id: header.block, plainBytes: header.plainBytes, storedBytes: header.storedBytes, encoding: header.encoding, gcEpoch: gcEpoch)
  }
}

extension BlockStoring {
  package func append(_ records: [SealedRecord]) async -> [Result<AppendOutcome, BlockStoreError>] {
    var outcomes: [Result<AppendOutcome, BlockStoreError>] = []
    for record in records {
      do throws(BlockStoreError) { outcomes.append(.success(try await append(record))) } catch { outcomes.append(.failure(error)) }
    }
    return outcomes
  }

  package func readCached(_ block: BlockID, into buffer: IOBuffer) -> Payload? { nil }
}

extension PartitionDigest {
  /// The digest of no blocks.
  package static let empty = PartitionDigest(count: 0, words: [0, 0, 0, 0])

  /// Adds one block; the order does not matter, adding one twice does.
  package mutating func add(_ id: BlockID) {
    count += 1
    words[0] &+= id.words.0
    words[1] &+= id.words.1
    words[2] &+= id.words.2
    words[3] &+= id.words.3
  }
}

extension SealedRecord {
  /// The buffer's header bytes say what `header` says: what is about to be written is what was checked.
  func checkHeader() throws(BlockStoreError) {
    let written = try RecordHeader(decoding: buffer.bytes(RecordLayout.localBytes..<RecordLayout.framesStart))
    guard written == header, buffer.capacity >= RecordLayout.recordBytes(storedBytes: header.storedBytes) else {
      throw BlockStoreError(.malformed, "The record of block \(header.block) is not what its buffer holds.")
    }
  }
}

extension BufferPool {
  /// How long a read waits for a buffer before it answers `.busy`.
  static let storePatience: Duration = .seconds(2)

  /// A buffer for a record of `bytes`.
  func acquireForStore(bytes: Int) async throws(BlockStoreError) -> IOBuffer {
    precondition(bytes <= bufferCapacity, "the pool's buffers are smaller than the record")
    if let buffer = tryAcquire() { return buffer }
    do { return try await acquire(patience: BufferPool.storePatience) } catch {
      throw BlockStoreError(.busy, "No buffer came free for the read; try again.")
    }
  }
}
