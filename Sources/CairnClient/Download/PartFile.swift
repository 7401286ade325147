internal import BlockModel
internal import Glibc
internal import Platform
internal import Synchronization

/// A file under a reserved name beside its destination, until it is whole: the destination is the old file or the new one, never half of
/// it.
final class PartFile: Sendable {
  let path: String
  let destination: String
  let file: File
  /// The same past the page cache: a large file would only push out what is in it, and costs more time to copy there than to write.
  private let direct: File?
  private let edges = Mutex(Edges())

  /// What shares its page with other writes.
  private struct Edges {
    var pieces: [(offset: Int64, bytes: [UInt8])] = []
    var bytes = 0
  }

  /// Of some five hundred blocks.
  private static let mostEdgeBytes = 2 << 20
  /// Bytes of a file that is written past the page cache.
  private static let large: Int64 = 64 << 20
  /// What direct writes are aligned to, in memory and in the file. A file system that wants more refuses, and gets its bytes the other way.
  static let alignment = 4096
  /// A smaller write is worth no call of its own.
  private static let smallestDirect = 64 << 10

  /// Makes a new one. Blocks, as all here do.
  ///
  /// - Parameter size: that it will have, in bytes; 0 where that is not known.
  /// - Throws: also where a device, a pipe or a socket has the destination's name: no file takes the place of one.
  init(beside destination: String, executable: Bool, size: Int64 = 0) throws(FileError) {
    if let there = try FileIdentity.at(destination, followingLinks: true), !there.isRegular, !there.isDirectory {
      throw FileError(
        operation: "replace", path: destination, errno: EINVAL, reason: "it is a device, a pipe or a socket; use “cairn cat”")
    }
    self.destination = destination
    path = Directory.parent(of: destination) + "/" + PartFile.name(for: PartFile.lastComponent(of: destination))
    // The process's mask takes from these what the user does not want to give.
    file = try File(path, [.read, .write, .create, .exclusive, .noFollow], mode: executable ? 0o777 : 0o666)
    direct = PartFile.direct(path, size)
  }

  private static func direct(_ path: String, _ size: Int64) -> File? {
    size >= large ? try? File(path, [.write, .direct, .noFollow]) : nil
  }

  /// Opens the one that a former run left.
  init?(named name: String, beside destination: String) {
    guard name.hasPrefix("."), name.contains(PartFile.mark), !name.contains("/") else { return nil }
    self.destination = destination
    path = Directory.parent(of: destination) + "/" + name
    guard let file = try? File(path, [.read, .write, .noFollow]), let identity = try? FileIdentity.of(file), identity.isRegular else {
      return nil
    }
    self.file = file
    direct = PartFile.direct(path, identity.size)
  }

  var name: String { PartFile.lastComponent(of: path) }

  /// Gives it its size. A large one has its place on the disk from the start: a disk that is too small for it says so now, and writes past
  /// the page cache take two thirds of the time that they take where each has to find its place.
  func makeRoom(_ size: Int64) throws(FileError) {
    try file.truncate(to: size)
    guard size >= PartFile.large else { return }
    do { try file.allocate(offset: 0, length: size) } catch { guard error.isNotSupported else { throw error } }
  }

  /// Writes, and has the disk begin with it: at the end all of it has to be there.
  ///
  /// Whole pages go past the page cache when they are at the same place within a page in memory as in the file. What is before the first
  /// one and after the last one shares its page with other writes and is kept for `flush`: a write through the page cache waits for all of
  /// those past it that are under way. Until then it cannot be read, and is lost with the process, as what was not synced may be.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) {
    let start = (PartFile.alignment - Int(offset % Int64(PartFile.alignment))) % PartFile.alignment
    let end = bytes.count - (bytes.count - start) % PartFile.alignment
    guard let direct, end - start >= PartFile.smallestDirect,
      (Int(bitPattern: bytes.baseAddress) + start) % PartFile.alignment == 0
    else { return try writeThroughCache(bytes, at: offset) }
    do throws(FileError) {
      try direct.pwrite(UnsafeRawBufferPointer(rebasing: bytes[start..<end]), at: offset + Int64(start))
    } catch {
      guard error.errno == EINVAL else { throw error }
      return try writeThroughCache(bytes, at: offset)
    }
    let isFull = edges.withLock { edges in
      for part in [0..<start, end..<bytes.count] where !part.isEmpty {
        edges.pieces.append((offset + Int64(part.lowerBound), Array(bytes[part])))
        edges.bytes += part.count
      }
      return edges.bytes >= PartFile.mostEdgeBytes
    }
    if isFull { try flush() }
  }

  /// Writes what `write` kept.
  func flush() throws(FileError) {
    let kept = edges.withLock { edges in
      defer { edges = Edges() }
      return edges.pieces
    }
    for (offset, bytes) in kept {
      let written = bytes.withUnsafeBytes { bytes in Result { () throws(FileError) in try file.pwrite(bytes, at: offset) } }
      try written.get()
    }
  }

  private func writeThroughCache(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) {
    try file.pwrite(bytes, at: offset)
    file.beginWriteBack(offset: offset, length: Int64(bytes.count))
  }

  /// Gives the file its time and its place.
  ///
  /// - Parameter durably: syncs the contents and the folder, so that it is there after a loss of power as well.
  func finish(modified: FileTime, executable: Bool, durably: Bool) throws(FileError) {
    try flush()
    let identity = try FileIdentity.of(file)
    let mode = identity.mode & 0o777
    // Where reading is allowed, so is running.
    let wanted = executable ? mode | (mode & 0o444) >> 2 : mode & ~0o111
    if wanted != mode { try file.setMode(wanted) }
    try file.setModified(nanoseconds: modified.nanoseconds)
    if durably { try file.fsync() }
    try Directory.rename(path, to: destination)
    if durably { try Directory.sync(Directory.parent(of: destination)) }
  }

  func discard() { try? Directory.remove(path) }

  // MARK: Names

  private static let mark = ".cairn-part-"

  /// `.name.cairn-part-XXXXXXXX`, the name cut so that all of it fits.
  private static func name(for name: String) -> String {
    var kept = ""
    for character in name.unicodeScalars where kept.utf8.count + 4 <= 200 { kept.unicodeScalars.append(character) }
    return ".\(kept)\(mark)\(HexDigits.encode(SecureRandom.bytes(4)))"
  }

  static func lastComponent(of path: String) -> String {
    path.split(separator: "/", omittingEmptySubsequences: true).last.map(String.init) ?? path
  }
}
