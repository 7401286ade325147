internal import BlockModel
internal import Platform

/// The file `owner` of a disk's folder: which node's disk it is (`docs/formats.md`, "Folder"). A disk whose file is missing, such as one of an
/// earlier version, is nobody's, and the node that opens it claims it.
enum DiskOwner {
  static let fileName = "owner"
  private static let magic = "cairn disk owner 1"
  private static let limitBytes = 1024

  /// Nil when there is no such file.
  ///
  /// - Throws: `.malformed` for a file that is damaged, `.newerFormat`, `.io`.
  static func load(_ fileSystem: any FileSystem, folder: String) throws(BlockStoreError) -> NodeID? {
    let path = folder + "/" + fileName
    let bytes: [UInt8]?
    do { bytes = try SmallFile.read(fileSystem, path, limit: limitBytes) } catch { throw .io(error) }
    guard let bytes else { return nil }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    if let first = lines.first, first.hasPrefix("cairn disk owner "), first != magic {
      throw BlockStoreError(.newerFormat, "\(path) is of a newer version than this program.")
    }
    guard lines.count == 4, lines[1].hasPrefix("node "), let node = NodeID(String(lines[1].dropFirst(5))),
      text(of: node) == lines.joined(separator: "\n")
    else { throw BlockStoreError(.malformed, "\(path) is damaged: it does not say whose disk this is. Run “cairnd disk adopt” on it.") }
    return node
  }

  static func save(_ node: NodeID, _ fileSystem: any FileSystem, folder: String) throws(BlockStoreError) {
    do { try SmallFile.write(fileSystem, folder: folder, name: fileName, Array(text(of: node).utf8)) } catch { throw .io(error) }
  }

  private static func text(of node: NodeID) -> String {
    let lines = magic + "\nnode \(node)\n"
    return lines + "crc \(CRC32C.checksum(Array(lines.utf8)))\n"
  }
}
