package import BlockModel
package import Platform

/// Seals and opens what is in one encrypted folder (`docs/encryption.md`).
///
/// What must hold: all of it is deterministic, so that equal blocks of a folder are one block and a name is found by sealing it; each kind
/// of thing has a key of its own; nothing is handed out that was not sealed with the folder's key.
package struct FolderCipher: Sendable {
  /// Of the folder; what it is wrapped from when it is shared.
  package let key: SecretBytes
  private let names: SecretBytes
  private let targets: SecretBytes
  private let contents: SecretBytes
  private let versions: SecretBytes

  /// - Parameter key: 32 bytes.
  package init(key: SecretBytes) {
    self.key = key
    func subkey(_ purpose: String) -> SecretBytes {
      SecretBytes(HKDFSHA256.derive(secret: key.exposed, salt: [], info: "cairn folder 1 \(purpose)", count: AESSIV.keySize))
    }
    names = subkey("names")
    targets = subkey("targets")
    contents = subkey("contents")
    versions = subkey("versions")
  }

  // MARK: Names and targets

  /// - Throws: `CairnError` `invalidArgument` for a name that is too long once it is sealed.
  package func sealed(_ name: EntryName) throws(CairnError) -> EntryName {
    let plain = Array(name.text.utf8)
    guard plain.count <= SealedForm.nameBytes else {
      throw CairnError(
        .invalidArgument,
        "“\(name)” has \(plain.count) bytes, and in an encrypted folder a name has at most \(SealedForm.nameBytes); rename it.")
    }
    guard let text = seal(plain, names), let sealed = try? EntryName(text) else { throw FolderCipher.unexpected }
    return sealed
  }

  /// Nil for what was not sealed here, and for what is no name: whoever sealed it may be no friend.
  package func opened(_ name: EntryName) -> EntryName? {
    guard let plain = open(name.text, names), let text = String(validating: plain, as: UTF8.self), let opened = try? EntryName(text),
      opened.text.utf8.elementsEqual(plain)
    else { return nil }
    return opened
  }

  /// A symlink's target.
  /// - Throws: `CairnError` `invalidArgument` for one that is too long once it is sealed.
  package func sealed(target: String) throws(CairnError) -> String {
    guard (1...SealedForm.targetBytes).contains(target.utf8.count) else {
      throw CairnError(.invalidArgument, "In an encrypted folder a link's target has at most \(SealedForm.targetBytes) bytes.")
    }
    guard let sealed = seal(Array(target.utf8), targets) else { throw FolderCipher.unexpected }
    return sealed
  }

  /// Nil for what was not sealed here.
  package func opened(target: String) -> String? {
    guard let plain = open(target, targets), !plain.contains(0) else { return nil }
    return String(validating: plain, as: UTF8.self)
  }

  // MARK: Blocks

  /// Seals `count` bytes that stand in the buffer behind room for the tag: `tagBytes` after `start`.
  /// - Returns: where the sealed block is, from `start` on.
  package func seal(_ count: Int, in buffer: IOBuffer, at start: Int = 0) throws(CryptoError) -> Range<Int> {
    let range = start..<(start + SealedForm.tagBytes + count)
    try AESSIV.seal(
      key: contents, associatedData: [], inPlace: buffer.mutableBytes((start + SealedForm.tagBytes)..<range.upperBound),
      tag: buffer.base + start)
    return range
  }

  /// Opens a block where it is.
  /// - Returns: where the plain bytes are.
  /// - Throws: `CairnError` `corrupted` for what was not sealed with this folder's key.
  package func open(_ block: Range<Int>, in buffer: IOBuffer) throws(CairnError) -> Range<Int> {
    let plain = (block.lowerBound + SealedForm.tagBytes)..<block.upperBound
    do {
      try AESSIV.open(key: contents, associatedData: [], inPlace: buffer.mutableBytes(plain), tag: buffer.base + block.lowerBound)
    } catch {
      throw FolderCipher.foreignBlock
    }
    return plain
  }

  /// As `open`, of a block by itself.
  package func opened(block: [UInt8]) throws(CairnError) -> [UInt8] {
    do { return try AESSIV.open(block, key: contents, associatedData: []) } catch { throw FolderCipher.foreignBlock }
  }

  // MARK: Versions

  /// What a version is to those who have the key.
  package struct Content: Equatable, Sendable {
    /// Plain bytes.
    package var size: Int64
    /// Of the plain bytes, 64 hexadecimal digits.
    package var contentHash: String

    /// Makes one from its parts.
    package init(size: Int64, contentHash: String) {
      self.size = size
      self.contentHash = contentHash
    }
  }

  /// Binds a plain size and content hash to the content hash of the sealed blocks, so that nobody without the key can put together a
  /// version of blocks that are in the folder.
  package func envelope(_ content: Content, of sealedHash: String) throws(CairnError) -> String {
    guard let hash = HexDigits.decode(content.contentHash), hash.count == 32, let sealed = HexDigits.decode(sealedHash), sealed.count == 32
    else { throw FolderCipher.unexpected }
    let size = (0..<8).map { UInt8(truncatingIfNeeded: content.size >> Int64(56 - 8 * $0)) }
    do { return Base64URL.encode(try AESSIV.seal(size + hash, key: versions, associatedData: [sealed])) } catch {
      throw FolderCipher.unexpected
    }
  }

  /// Nil for an envelope that was not made for this content hash with this folder's key.
  package func opened(envelope: String, of sealedHash: String) -> Content? {
    guard let bytes = Base64URL.decode(envelope), bytes.count == SealedForm.envelopeBytes, let sealed = HexDigits.decode(sealedHash),
      sealed.count == 32, let plain = try? AESSIV.open(bytes, key: versions, associatedData: [sealed])
    else { return nil }
    let size = plain[..<8].reduce(Int64(0)) { $0 << 8 | Int64($1) }
    return size < 0 ? nil : Content(size: size, contentHash: HexDigits.encode(Array(plain[8...])))
  }

  // MARK: Parts

  private func seal(_ plain: [UInt8], _ key: SecretBytes) -> String? {
    (try? AESSIV.seal(plain, key: key, associatedData: [])).map { Base64URL.encode($0) }
  }

  private func open(_ text: String, _ key: SecretBytes) -> [UInt8]? {
    Base64URL.decode(text).flatMap { try? AESSIV.open($0, key: key, associatedData: []) }
  }

  private static let unexpected = CairnError(.unexpected, "Something could not be encrypted; check this machine's memory.")
  private static let foreignBlock = CairnError(
    .corrupted, "A block was not sealed with the key of its encrypted folder: somebody without the key put it there.")
}

extension ContentDefinedChunking {
  /// `standard` with room for the tag, so that a sealed block is none too large.
  static let sealed = ContentDefinedChunking(
    minimumBytes: standard.minimumBytes, averageBytes: standard.averageBytes, maximumBytes: SealedForm.pieceBytes)
}
