import BlockModel
import BlockStore
import Platform

/// Blocks and records for tests, each determined by its seed.
enum Fixtures {
  static func ring(_ epochs: UInt32...) -> DataKeyring {
    DataKeyring(keys: epochs.map { epoch in (epoch, SecretBytes([UInt8](repeating: UInt8(truncatingIfNeeded: epoch), count: 32))) })
  }

  static func bytes(_ count: Int, seed: UInt64) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    var bytes = [UInt8](repeating: 0, count: count)
    var offset = 0
    while offset < count {
      var word = random.next()
      for _ in 0..<min(8, count - offset) {
        bytes[offset] = UInt8(truncatingIfNeeded: word)
        word >>= 8
        offset += 1
      }
    }
    return bytes
  }

  static func id(of plain: [UInt8]) -> BlockID { plain.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) } }

  /// A sealed record of `plain`, compressed when that pays and `compress` asks for it.
  /// `named` gives it another name than its hash.
  static func record(
    _ plain: [UInt8], named: BlockID? = nil, gcEpoch: UInt64 = 1, keys: DataKeyring?, compress: Bool = false
  ) throws -> SealedRecord {
    let compressed = compress ? plain.withUnsafeBytes { Zstandard.compress($0) } : nil
    let stored = compressed ?? plain
    let buffer = IOBuffer(capacity: RecordLayout.recordBytes(storedBytes: stored.count).roundedUpToPage)
    place(stored, in: buffer)
    let sealer = try RecordSealer(
      buffer: buffer, block: named ?? id(of: plain), plainBytes: plain.count, storedBytes: stored.count,
      encoding: compressed == nil ? .plain : .zstd, keys: keys)
    return try sealer.finish(gcEpoch: gcEpoch)
  }

  /// Puts a payload where a body's bytes arrive.
  static func place(_ payload: [UInt8], in buffer: IOBuffer) {
    for index in 0..<RecordLayout.frameCount(storedBytes: payload.count) {
      let piece = payload[(index * Limits.frameBytes)..<min(payload.count, (index + 1) * Limits.frameBytes)]
      let start = RecordLayout.frameStart(index)
      buffer.mutableBytes(start..<(start + piece.count)).copyBytes(from: piece)
    }
  }

  static func wire(_ record: SealedRecord) -> [UInt8] {
    Array(record.buffer.bytes(RecordLayout.wireRange(storedBytes: record.header.storedBytes)))
  }

  /// Gives `wire` to a verifier in pieces of `step` bytes.
  static func verify(_ wire: [UInt8], block: BlockID, keys: DataKeyring?, step: Int = 70_000) throws -> SealedRecord {
    let buffer = IOBuffer(capacity: max(RecordLayout.bufferBytes, RecordLayout.localBytes + wire.count))
    var verifier = RecordVerifier(buffer: buffer, block: block, keys: keys)
    var arrived = 0
    while arrived < wire.count {
      let next = min(wire.count, arrived + step)
      buffer.mutableBytes((64 + arrived)..<(64 + next)).copyBytes(from: wire[arrived..<next])
      arrived = next
      try verifier.receive(upTo: RecordLayout.localBytes + arrived)
    }
    return try verifier.finish(gcEpoch: 1)
  }

  static func pool(_ limit: Int = 4) -> BufferPool { BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: limit) }
}

extension Int {
  var roundedUpToPage: Int { (self + 4095) / 4096 * 4096 }
}

extension BlockStoreError.Code {
  /// The code of the error that `body` throws, nil when it throws none.
  static func thrown(by body: () throws -> Void) -> BlockStoreError.Code? {
    do { try body() } catch let error as BlockStoreError { return error.code } catch { return nil }
    return nil
  }

  static func thrown(by body: () async throws -> Void) async -> BlockStoreError.Code? {
    do { try await body() } catch let error as BlockStoreError { return error.code } catch { return nil }
    return nil
  }
}
