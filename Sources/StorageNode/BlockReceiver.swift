internal import BlockModel
internal import BlockStore
internal import Platform
internal import ServiceAPI

/// Hashes, decodes and seals a block while its bytes arrive in place in a record's buffer.
///
/// What must hold: bytes are hashed before they are sealed, because sealing overwrites them; the last frame is sealed only after the
/// hash of all plain bytes was found to be the block's name. So nothing that was not checked can be taken for a record anywhere.
struct BlockReceiver: ~Copyable {
  private let block: BlockID
  private let buffer: IOBuffer
  private let storedBytes: Int
  private var sealer: RecordSealer
  private var hasher = SHA256Hasher()
  private var decoder: Zstandard.StreamDecoder?
  private var hashed = 0

  /// - Throws: `.unavailable` when no record can be sealed now.
  init(_ put: AdmittedPut, buffer: IOBuffer, keys: DataKeyring?) throws(Problem) {
    let sealer = try BlockReceiver.sealer(put, buffer, keys)
    let decoder = try BlockReceiver.decoder(put)
    self.block = put.capability.block
    self.buffer = buffer
    self.storedBytes = put.bodyBytes
    self.sealer = sealer
    self.decoder = decoder
  }

  private static func sealer(_ put: AdmittedPut, _ buffer: IOBuffer, _ keys: DataKeyring?) throws(Problem) -> RecordSealer {
    do throws(BlockStoreError) {
      return try RecordSealer(
        buffer: buffer, block: put.capability.block, plainBytes: put.capability.size, storedBytes: put.bodyBytes, encoding: put.encoding,
        keys: keys)
    } catch { throw Problem(error) }
  }

  private static func decoder(_ put: AdmittedPut) throws(Problem) -> Zstandard.StreamDecoder? {
    guard put.encoding == .zstd else { return nil }
    do throws(ZstandardError) {
      return try Zstandard.StreamDecoder(plainSize: put.capability.size, storedSize: put.bodyBytes)
    } catch { throw problem(error) }
  }

  /// Takes note that the body is here up to `count`, hashes what is new, and seals what became whole.
  /// - Returns: the buffer offset below which the record may be sent to replicas.
  mutating func take(upTo count: Int) throws(Problem) -> Int {
    while hashed < count {
      let within = hashed % Limits.frameBytes
      let run = min(Limits.frameBytes - within, count - hashed)
      let start = RecordLayout.frameStart(hashed / Limits.frameBytes) + within
      try digest(buffer.bytes(start..<(start + run)))
      hashed += run
    }
    do throws(BlockStoreError) { return try sealer.seal(payloadBytes: hashed) } catch { throw Problem(error) }
  }

  private mutating func digest(_ bytes: UnsafeRawBufferPointer) throws(Problem) {
    guard decoder != nil else { return hasher.update(bytes) }
    do throws(ZstandardError) { try BlockReceiver.decode(bytes, with: &decoder!, into: &hasher) } catch {
      throw BlockReceiver.problem(error)
    }
  }

  private static func decode(
    _ bytes: UnsafeRawBufferPointer, with decoder: inout Zstandard.StreamDecoder, into hasher: inout SHA256Hasher
  ) throws(ZstandardError) {
    try decoder.feed(bytes) { hasher.update($0) }
  }

  /// The whole record, once all of the body was taken and is what it is named after.
  /// - Throws: `.hashMismatch`, also when a compressed body is not one whole frame of the right contents.
  consuming func finish(gcEpoch: UInt64) throws(Problem) -> SealedRecord {
    precondition(hashed == storedBytes, "the body is all there")
    if let decoder = decoder.take() {
      do throws(ZstandardError) { try decoder.finish() } catch { throw BlockReceiver.problem(error) }
    }
    let found = BlockID(words: hasher.finalize())
    guard found == block else {
      throw Problem(.hashMismatch, "The bytes have the SHA-256 \(found), not the block's name \(block): nothing was stored.")
    }
    do throws(BlockStoreError) { return try sealer.finish(gcEpoch: gcEpoch) } catch { throw Problem(error) }
  }

  private static func problem(_ error: ZstandardError) -> Problem {
    Problem(.hashMismatch, "The compressed body is not the block: \(error.description) Nothing was stored.")
  }
}
