internal import BlockModel
internal import Platform

/// The file that holds a node's data keys, each wrapped by its master key (`docs/formats.md`, "Data keys").
enum DataKeyFile {
  struct Entry: Equatable {
    var epoch: UInt32
    var wrapped: [UInt8]
  }

  static let magic = "cairn data keys 1"
  private static let limitBytes = 1 << 20

  /// The entries in the order of their epochs; none when there is no file.
  static func load(_ path: String) throws(BlockStoreError) -> [Entry] {
    let bytes: [UInt8]?
    do { bytes = try AtomicFile.read(path, limit: limitBytes) } catch {
      throw BlockStoreError(.io, "The data keys cannot be read: \(error)")
    }
    guard let bytes else { return [] }
    guard let text = String(validating: bytes, as: UTF8.self), let entries = parse(text) else {
      throw BlockStoreError(.malformed, "\(path) is no file of data keys, or was damaged: restore it from another copy.")
    }
    return entries
  }

  static func save(_ keys: [(epoch: UInt32, key: SecretBytes)], to path: String, master: MasterKey) throws(BlockStoreError) {
    var text = magic + "\n"
    do {
      for (epoch, key) in keys {
        text += "\(epoch) \(HexDigits.encode(try KeyWrap.wrap(key.exposed, with: master.bytes.exposed)))\n"
      }
      text += "crc \(CRC32C.checksum(Array(text.utf8)))\n"
      try AtomicFile.write(path, Array(text.utf8), mode: 0o600)
    } catch {
      throw BlockStoreError(.io, "The data keys cannot be written to \(path): \(error)")
    }
  }

  /// Nil for anything that `save` does not write.
  static func parse(_ text: String) -> [Entry]? {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard lines.popLast() == "", let last = lines.popLast(), let first = lines.first, first == magic else { return nil }
    let checked = lines.joined(separator: "\n") + "\n"
    guard last == "crc \(CRC32C.checksum(Array(checked.utf8)))" else { return nil }
    var entries: [Entry] = []
    for line in lines.dropFirst() {
      let parts = line.split(separator: " ", omittingEmptySubsequences: false)
      guard parts.count == 2, let epoch = UInt32(parts[0]), epoch > entries.last?.epoch ?? 0,
        let wrapped = HexDigits.decode(String(parts[1])),
        wrapped.count == KeyWrap.wrappedSize
      else { return nil }
      entries.append(Entry(epoch: epoch, wrapped: wrapped))
    }
    return entries
  }
}
