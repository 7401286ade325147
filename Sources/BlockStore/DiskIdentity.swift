internal import BlockModel
internal import Platform

/// The file `identity` of a disk's folder: which disk of which cluster this is (`docs/formats.md`, "Folder").
struct DiskIdentity: Equatable, Sendable {
  static let fileName = "identity"
  static let formatVersion = 1
  private static let limitBytes = 4096

  var cluster: ClusterID
  var disk: DiskID
  var created: WallTime

  /// Nil when there is no such file.
  ///
  /// - Throws: `.newerFormat`, `.malformed`, `.io`.
  static func load(_ fileSystem: any FileSystem, folder: String) throws(BlockStoreError) -> DiskIdentity? {
    let path = folder + "/" + fileName
    let bytes: [UInt8]?
    do { bytes = try SmallFile.read(fileSystem, path, limit: limitBytes) } catch { throw .io(error) }
    guard let bytes else { return nil }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    let first = lines.first?.split(separator: " ").map(String.init) ?? []
    guard first.count == 3, first[0] == "cairn", first[1] == "disk", let version = Int(first[2]) else {
      throw BlockStoreError(.malformed, "\(path) does not say which disk this is.")
    }
    guard version == formatVersion else {
      throw BlockStoreError(.newerFormat, "\(folder) has format \(version); this program knows format \(formatVersion).")
    }
    guard lines.count == 6, let cluster = value("cluster", lines[1]).flatMap(ClusterID.init(hex:)),
      let disk = value("disk", lines[2]).flatMap(DiskID.init(hex:)),
      let created = value("created", lines[3]).flatMap(WallTime.init(rfc3339:))
    else { throw BlockStoreError(.malformed, "\(path) is damaged: it does not say which disk this is.") }
    let identity = DiskIdentity(cluster: cluster, disk: disk, created: created)
    guard identity.text == lines.joined(separator: "\n") else {
      throw BlockStoreError(.malformed, "\(path) is damaged: its checksum does not fit.")
    }
    return identity
  }

  func save(_ fileSystem: any FileSystem, folder: String) throws(BlockStoreError) {
    do { try SmallFile.write(fileSystem, folder: folder, name: DiskIdentity.fileName, Array(text.utf8)) } catch { throw .io(error) }
  }

  private var text: String {
    let lines = "cairn disk \(DiskIdentity.formatVersion)\ncluster \(cluster)\ndisk \(disk)\ncreated \(created.rfc3339)\n"
    return lines + "crc \(CRC32C.checksum(Array(lines.utf8)))\n"
  }

  private static func value(_ name: String, _ line: String) -> String? {
    line.hasPrefix(name + " ") ? String(line.dropFirst(name.count + 1)) : nil
  }
}

/// Small files on a store's own file system, which may be a simulated one.
enum SmallFile {
  /// The whole file, nil when there is none.
  static func read(_ fileSystem: any FileSystem, _ path: String, limit: Int) throws(FileError) -> [UInt8]? {
    let file: any OpenFile
    do { file = try fileSystem.open(path, .read) } catch {
      if error.isNotFound { return nil }
      throw error
    }
    let buffer = IOBuffer(capacity: limit)
    let count = try file.pread(into: buffer.mutableBytes(0..<limit), at: 0)
    return Array(buffer.bytes(0..<count))
  }

  /// The old file or the new one, whatever happens in between; durable when this returns.
  static func write(_ fileSystem: any FileSystem, folder: String, name: String, _ bytes: [UInt8]) throws(FileError) {
    let temporary = folder + "/" + name + ".tmp"
    let file = try fileSystem.open(temporary, [.write, .create, .truncate])
    let result = bytes.withUnsafeBytes { bytes in Result { () throws(FileError) in try file.pwrite(bytes, at: 0) } }
    try result.get()
    try file.fsync()
    try fileSystem.rename(temporary, to: folder + "/" + name)
    try fileSystem.syncDirectory(folder)
  }
}
