internal import BlockModel
internal import Glibc
internal import Platform

/// What tells one state of a local file from another without reading it.
struct FileIdentity: Sendable, Equatable {
  var device: UInt64
  var inode: UInt64
  var size: Int64
  var modifiedNanoseconds: Int64
  var changedNanoseconds: Int64
  var mode: UInt32

  /// One line for a journal.
  var text: String { "\(device)-\(inode)-\(size)-\(modifiedNanoseconds)-\(changedNanoseconds)" }

  var isRegular: Bool { mode & S_IFMT == S_IFREG }
  var isDirectory: Bool { mode & S_IFMT == S_IFDIR }
  var isSymbolicLink: Bool { mode & S_IFMT == S_IFLNK }
  var isExecutable: Bool { mode & S_IXUSR != 0 }

  fileprivate init(_ status: stat) {
    device = UInt64(status.st_dev)
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    modifiedNanoseconds = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
    changedNanoseconds = Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
    mode = UInt32(status.st_mode)
  }

  /// Of an open file. Blocks.
  static func of(_ file: File) throws(FileError) -> FileIdentity {
    try file.withDescriptor { descriptor throws(FileError) in
      var status = stat()
      guard fstat(descriptor, &status) == 0 else { throw FileError(operation: "fstat", path: file.path, errno: errno) }
      return FileIdentity(status)
    }
  }

  /// Of what `path` names, itself or what it leads to; nil when nothing is there. Blocks.
  static func at(_ path: String, followingLinks: Bool) throws(FileError) -> FileIdentity? {
    var status = stat()
    let result = followingLinks ? stat(path, &status) : lstat(path, &status)
    if result == 0 { return FileIdentity(status) }
    if errno == ENOENT || errno == ENOTDIR { return nil }
    throw FileError(operation: "stat", path: path, errno: errno)
  }
}

/// A local file that is read once, piece by piece, and must stay the same meanwhile.
final class SourceFile: Sendable {
  let file: File
  let identity: FileIdentity

  /// Blocks.
  init(_ path: String) throws(FileError) {
    file = try File(path, .read)
    identity = try FileIdentity.of(file)
  }

  var blockCount: Int { Int((identity.size + Int64(Limits.blockBytes) - 1) / Int64(Limits.blockBytes)) }

  func size(ofBlock index: Int) -> Int {
    Int(min(Int64(Limits.blockBytes), identity.size - Int64(index) * Int64(Limits.blockBytes)))
  }

  /// Reads one block to the start of `buffer` and answers its length. Blocks.
  func read(_ index: Int, into buffer: IOBuffer) throws -> Int {
    try read(size(ofBlock: index), at: Int64(index) * Int64(Limits.blockBytes), into: buffer)
  }

  /// Reads `size` bytes into `buffer`, from `start` on, and answers their number. Blocks.
  func read(_ size: Int, at offset: Int64, into buffer: IOBuffer, start: Int = 0) throws -> Int {
    let count = try file.pread(into: buffer.mutableBytes(start..<(start + size)), at: offset)
    guard count == size else { throw changed() }
    return count
  }

  /// Whether as many bytes can be read as the system says that there are. Files that the kernel makes up as they are read, as in /proc and
  /// /sys, have others; such a file is read as a stream. Only small files and empty ones are like that. Blocks.
  func hasItsSize() throws -> Bool {
    guard identity.size <= Int64(SourceFile.probeBytes) else { return true }
    let probe = UnsafeMutableRawBufferPointer.allocate(byteCount: SourceFile.probeBytes + 1, alignment: 16)
    defer { probe.deallocate() }
    let count = try file.pread(into: probe, at: 0)
    // One that somebody writes to right now is another matter.
    return Int64(count) == identity.size || (try? checkUnchanged()) == nil
  }

  /// A page: the size of all that /sys holds.
  private static let probeBytes = 4096

  /// Blocks.
  /// - Throws: `CairnError` `sourceChanged` when the file is not what it was when it was opened.
  func checkUnchanged() throws {
    let now = try FileIdentity.of(file)
    guard now.size == identity.size, now.modifiedNanoseconds == identity.modifiedNanoseconds,
      now.changedNanoseconds == identity.changedNanoseconds
    else { throw changed() }
  }

  func changed() -> CairnError {
    CairnError(.sourceChanged, "\(file.path) changed while it was read; upload it again once nobody writes to it.")
  }
}

/// Bytes whose end is not known before it is reached, such as standard input. One reader.
final class SourceStream: Sendable {
  private let file: File

  /// Opened once: a pipe's writer that sees its reader go does not begin again.
  init(_ file: File) { self.file = file }

  /// Fills `bytes`; fewer mean the end. Blocks for as long as the writer takes.
  func read(into bytes: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    var count = 0
    while count < bytes.count {
      let more = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: bytes[count...]))
      if more == 0 { break }
      count += more
    }
    return count
  }
}
