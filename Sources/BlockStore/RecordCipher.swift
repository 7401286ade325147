internal import BlockModel
internal import Platform

/// Seals and opens the frames of one record, with AES-256-GCM under the record's own key or with CRC-32C in the tags' place.
///
/// What must hold: a record key seals one record once, and each frame number of it once, so no nonce is used twice under a key.
/// A tag binds the frame to its block, to the lengths, to its number, and to being the last or not: frames cannot be swapped,
/// left out, added, or taken from another record.
struct RecordCipher: ~Copyable {
  private let header: RecordHeader
  /// Nil when the record is checksummed.
  private var context: AESGCMContext?

  private static let associatedBytes = 46

  /// - Parameter key: the record's key, nil for a checksummed one.
  init(header: RecordHeader, key: SecretBytes?) throws(BlockStoreError) {
    precondition((key != nil) == (header.sealing == .encrypted), "an encrypted record has a key, a checksummed one has none")
    self.header = header
    guard let key else {
      context = nil
      return
    }
    do throws(CryptoError) {
      context = try key.withBytes { (bytes: UnsafeRawBufferPointer) throws(CryptoError) in try AESGCMContext(key: bytes) }
    } catch {
      throw BlockStoreError(.io, "The record's cipher did not start: \(error)")
    }
  }

  /// Payload bytes of frame `index`.
  static func frameBytes(_ index: Int, storedBytes: Int) -> Int {
    min(Limits.frameBytes, storedBytes - index * Limits.frameBytes)
  }

  /// Seals a whole frame where it lies and writes its 16 bytes of tag.
  mutating func seal(frame index: Int, in frame: UnsafeMutableRawBufferPointer, tag: UnsafeMutableRawPointer) throws(BlockStoreError) {
    var failure: CryptoError?
    RecordCipher.withAssociatedData(of: index, header) { associated in
      guard context != nil else {
        RecordCipher.storeChecksum(of: UnsafeRawBufferPointer(frame), associated, to: tag)
        return
      }
      do throws(CryptoError) {
        try context!.seal(nonce: AESGCMNonce(frameNumber: UInt64(index)), associatedData: associated, inPlace: frame, tag: tag)
      } catch { failure = error }
    }
    if let failure { throw BlockStoreError(.io, "A frame could not be sealed: \(failure)") }
  }

  /// Opens a whole frame where it lies; false when the tag does not fit, and then the bytes are of no use.
  mutating func open(frame index: Int, inPlace frame: UnsafeMutableRawBufferPointer, tag: UnsafeRawPointer) -> Bool {
    RecordCipher.withAssociatedData(of: index, header) { associated in
      guard context != nil else { return RecordCipher.checksumFits(UnsafeRawBufferPointer(frame), associated, tag: tag) }
      do throws(CryptoError) {
        try context!.open(nonce: AESGCMNonce(frameNumber: UInt64(index)), associatedData: associated, inPlace: frame, tag: tag)
        return true
      } catch { return false }
    }
  }

  /// Whether the tag fits, with the frame left as it is. `scratch` has room for it and is overwritten.
  mutating func check(
    frame index: Int, _ frame: UnsafeRawBufferPointer, tag: UnsafeRawPointer, scratch: UnsafeMutableRawBufferPointer
  ) -> Bool {
    guard context != nil else {
      return RecordCipher.withAssociatedData(of: index, header) { RecordCipher.checksumFits(frame, $0, tag: tag) }
    }
    let copy = UnsafeMutableRawBufferPointer(rebasing: scratch[..<frame.count])
    copy.copyMemory(from: frame)
    return open(frame: index, inPlace: copy, tag: tag)
  }

  /// Block id, plain length, stored length, frame number, encoding, and whether it is the last (`docs/formats.md`, "Frames").
  private static func withAssociatedData<R>(of index: Int, _ header: RecordHeader, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    withUnsafeTemporaryAllocation(byteCount: RecordCipher.associatedBytes, alignment: 8) { bytes in
      header.block.store(into: bytes)
      bytes.put(UInt32(header.plainBytes), at: 32)
      bytes.put(UInt32(header.storedBytes), at: 36)
      bytes.put(UInt32(index), at: 40)
      bytes.put(header.encoding.rawValue, at: 44)
      bytes.put(UInt8(index == RecordLayout.frameCount(storedBytes: header.storedBytes) - 1 ? 1 : 0), at: 45)
      return body(UnsafeRawBufferPointer(bytes))
    }
  }

  private static func checksum(_ frame: UnsafeRawBufferPointer, _ associated: UnsafeRawBufferPointer) -> UInt32 {
    CRC32C.checksum(frame, continuing: CRC32C.checksum(associated))
  }

  private static func storeChecksum(of frame: UnsafeRawBufferPointer, _ associated: UnsafeRawBufferPointer, to tag: UnsafeMutableRawPointer)
  {
    let tag = UnsafeMutableRawBufferPointer(start: tag, count: Limits.frameTagBytes)
    tag.initializeMemory(as: UInt8.self, repeating: 0)
    tag.put(checksum(frame, associated), at: 0)
  }

  private static func checksumFits(_ frame: UnsafeRawBufferPointer, _ associated: UnsafeRawBufferPointer, tag: UnsafeRawPointer) -> Bool {
    let tag = UnsafeRawBufferPointer(start: tag, count: Limits.frameTagBytes)
    return tag.number(UInt32.self, at: 0) == checksum(frame, associated) && UnsafeRawBufferPointer(rebasing: tag[4...]).isZero
  }
}
