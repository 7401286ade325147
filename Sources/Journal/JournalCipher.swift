package import Platform
internal import Synchronization

/// Seals what lies on the nodes: it holds names, hashes of tokens and passwords. Bytes are compressed, then sealed by AES-256-GCM under a
/// key that the cluster's secret, sixteen random bytes of this process and nothing else give.
///
/// What must hold: no two pieces are sealed under one key and nonce: the salt is random for each cipher, its pieces are counted.
///
/// A piece: key epoch (4 bytes), salt (16), number (8), plain length (4), flags (1: compressed), the sealed bytes, the tag (16).
/// Associated data is what the caller names the piece by, so that none can stand for another.
package final class JournalCipher: Sendable {
  private static let headBytes = 33
  /// Plain bytes of a piece.
  package static let pieceLimit = 256 << 20
  private static let saltBytes = 16
  private static let fastLevel = 1

  private let keys: [(epoch: UInt32, key: SecretBytes)]
  private let salt = SecureRandom.bytes(JournalCipher.saltBytes)
  /// The epoch that seals, and what is derived from its key.
  package let epoch: UInt32
  private let sealing: SecretBytes
  private let pieces = Atomic<UInt64>(0)

  /// - Parameters:
  ///   - keys: of each epoch of the cluster's secret that something may be sealed under, oldest first.
  ///   - epoch: the one that seals; the last when it is nil.
  package init(keys: [(epoch: UInt32, key: SecretBytes)], sealing epoch: UInt32? = nil) {
    guard let newest = keys.last(where: { epoch == nil || $0.epoch == epoch }) else { preconditionFailure("a cipher has a key that seals") }
    self.keys = keys
    self.epoch = newest.epoch
    sealing = JournalCipher.derive(newest.key, salt)
  }

  private static func derive(_ key: SecretBytes, _ salt: [UInt8]) -> SecretBytes {
    SecretBytes(HKDFSHA256.derive(secret: key.exposed, salt: salt, info: "journal pieces", count: 32))
  }

  /// - Throws: `.io` when the library has no memory.
  package func seal(_ plain: [UInt8], as name: [UInt8]) throws(JournalError) -> [UInt8] {
    precondition(plain.count <= JournalCipher.pieceLimit, "what is sealed at once is bounded")
    let packed = plain.withUnsafeBytes { Zstandard.compress($0, level: JournalCipher.fastLevel) }
    let number = pieces.wrappingAdd(1, ordering: .relaxed).newValue
    var bytes = JournalBytes(reserving: plain.count + JournalCipher.headBytes + AESGCMContext.tagSize)
    bytes.number(epoch)
    bytes.raw(salt)
    bytes.number(number)
    bytes.number(UInt32(plain.count))
    bytes.number(UInt8(packed == nil ? 0 : 1))
    let data = bytes.bytes + name
    var body = packed ?? plain
    var tag = [UInt8](repeating: 0, count: AESGCMContext.tagSize)
    do {
      try sealing.withBytes { key throws(CryptoError) in
        try JournalCipher.run(&body, &tag) { (body, tag) throws(CryptoError) in
          try JournalCipher.reading(data) { data throws(CryptoError) in
            try FrameCipher.seal(
              key: key, nonce: AESGCMNonce(frameNumber: number), associatedData: data, inPlace: body, tag: tag)
          }
        }
      }
    } catch { throw JournalError(.io, "The journal cannot be sealed: \(error)") }
    bytes.raw(body)
    bytes.raw(tag)
    return bytes.bytes
  }

  /// - Throws: `.unreadable`, `.malformed`.
  package func open(_ sealed: [UInt8], as name: [UInt8]) throws(JournalError) -> [UInt8] {
    var reader = JournalReader(sealed)
    let epoch = try reader.number(UInt32.self)
    let salt = try reader.raw(JournalCipher.saltBytes)
    let number = try reader.number(UInt64.self)
    let count = Int(try reader.number(UInt32.self))
    let flags = try reader.number(UInt8.self)
    guard reader.remaining >= AESGCMContext.tagSize, count <= JournalCipher.pieceLimit, flags <= 1 else {
      throw JournalError(.malformed, "A sealed piece of the journal is damaged.")
    }
    guard let key = keys.first(where: { $0.epoch == epoch })?.key else {
      throw JournalError(.unreadable, "The journal is sealed under epoch \(epoch) of the cluster's secret, which is not in the key file.")
    }
    let data = Array(sealed[..<JournalCipher.headBytes]) + name
    var body = try reader.raw(reader.remaining - AESGCMContext.tagSize)
    var tag = try reader.raw(AESGCMContext.tagSize)
    do {
      try JournalCipher.derive(key, salt).withBytes { key throws(CryptoError) in
        try JournalCipher.run(&body, &tag) { (body, tag) throws(CryptoError) in
          try JournalCipher.reading(data) { data throws(CryptoError) in
            try FrameCipher.open(
              key: key, nonce: AESGCMNonce(frameNumber: number), associatedData: data, inPlace: body, tag: UnsafeRawPointer(tag))
          }
        }
      }
    } catch { throw JournalError(.unreadable, "A piece of the journal was changed, or the cluster's secret is another one.") }
    guard flags == 1 else {
      guard body.count == count else { throw JournalError(.malformed, "A sealed piece of the journal is damaged.") }
      return body
    }
    return try JournalCipher.unpack(body, count)
  }

  private static func unpack(_ packed: [UInt8], _ count: Int) throws(JournalError) -> [UInt8] {
    var plain = [UInt8](repeating: 0, count: count)
    do throws(ZstandardError) {
      try run(&plain) { plain throws(ZstandardError) in
        try reading(packed) { packed throws(ZstandardError) in try Zstandard.decode(packed, into: plain) }
      }
    } catch { throw JournalError(.malformed, "A sealed piece of the journal cannot be unpacked: \(error)") }
    return plain
  }

  private static func run<E: Error>(
    _ body: inout [UInt8], _ tag: inout [UInt8], _ work: (UnsafeMutableRawBufferPointer, UnsafeMutableRawPointer) throws(E) -> Void
  ) throws(E) {
    try run(&body) { body throws(E) in
      try run(&tag) { tag throws(E) in
        guard let start = tag.baseAddress else { preconditionFailure("a tag has bytes") }
        try work(body, start)
      }
    }
  }

  private static func run<E: Error>(_ bytes: inout [UInt8], _ work: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
    let result = bytes.withUnsafeMutableBytes { bytes in Result { () throws(E) in try work(bytes) } }
    try result.get()
  }

  private static func reading<E: Error>(_ bytes: [UInt8], _ work: (UnsafeRawBufferPointer) throws(E) -> Void) throws(E) {
    let result = bytes.withUnsafeBytes { bytes in Result { () throws(E) in try work(bytes) } }
    try result.get()
  }
}
