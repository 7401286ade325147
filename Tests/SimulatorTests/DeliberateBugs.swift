import Platform
import Testing

/// Mistakes that a store or what it stands on could make, each put between the store and its disk. The random sequences have to find every
/// one of them.
enum DeliberateBug: String, CaseIterable, CustomTestStringConvertible {
  /// Acknowledges before the data is on the disk.
  case swallowsDataSyncs
  /// A renamed file may be empty after a power failure.
  case swallowsFileSyncs
  /// A new segment may be gone after a power failure, with all that is in it.
  case swallowsDirectorySyncs
  /// As a retry does: the second sync says that all is well.
  case hidesFailedSyncs
  case hidesFailedWrites
  /// Recovery believes the page cache, which shows what a failed sync lost.
  case recoversFromTheCache
  /// Every record says of itself that it is durable, so that recovery does not check the torn ones.
  case vouchesForWhatIsNotSynced
  /// Deletions are acknowledged and not written.
  case losesTombstones
  /// Gives back a page more than the deleted record had.
  case punchesTooFar
  /// Cuts a full segment a page too early.
  case truncatesTooFar

  var testDescription: String { rawValue }
}

/// A file system with a deliberate bug.
struct BuggyFileSystem: FileSystem {
  let inner: any FileSystem
  let bug: DeliberateBug

  func open(_ path: String, _ options: FileOpenOptions, mode: UInt32) throws(FileError) -> any OpenFile {
    var options = options
    if bug == .recoversFromTheCache { options.remove(.direct) }
    return BuggyFile(try inner.open(path, options, mode: mode), bug)
  }

  func rename(_ source: String, to destination: String) throws(FileError) { try inner.rename(source, to: destination) }
  func remove(_ path: String) throws(FileError) { try inner.remove(path) }
  func list(_ directory: String) throws(FileError) -> [String] { try inner.list(directory) }
  func createDirectory(_ path: String, mode: UInt32) throws(FileError) { try inner.createDirectory(path, mode: mode) }
  func syncDirectory(_ path: String) throws(FileError) { if bug != .swallowsDirectorySyncs { try inner.syncDirectory(path) } }
  func space(_ path: String) throws(FileError) -> FileSystemSpace { try inner.space(path) }
  func attributes(_ path: String) throws(FileError) -> FileAttributes? { try inner.attributes(path) }
}

private final class BuggyFile: OpenFile {
  private let inner: any OpenFile
  private let bug: DeliberateBug

  init(_ inner: any OpenFile, _ bug: DeliberateBug) {
    self.inner = inner
    self.bug = bug
  }

  var path: String { inner.path }

  func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
    try inner.pread(into: buffer, at: offset)
  }

  func preadv(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) throws(FileError) -> Int {
    try inner.preadv(into: buffers, at: offset)
  }

  func pwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) { try pwritev([bytes], at: offset) }

  func pwritev(_ pieces: [UnsafeRawBufferPointer], at offset: Int64) throws(FileError) {
    switch bug {
    case .losesTombstones, .vouchesForWhatIsNotSynced:
      let changed = pieces.map(changed)
      defer { withExtendedLifetime(changed) {} }
      try inner.pwritev(changed.map { $0.bytes(0..<$0.capacity) }, at: offset)
    case .hidesFailedWrites: do { try inner.pwritev(pieces, at: offset) } catch {}
    default: try inner.pwritev(pieces, at: offset)
    }
  }

  func fdatasync() throws(FileError) {
    switch bug {
    case .swallowsDataSyncs: return
    case .hidesFailedSyncs: do { try inner.fdatasync() } catch {}
    default: try inner.fdatasync()
    }
  }

  func fsync() throws(FileError) { if bug != .swallowsFileSyncs { try inner.fsync() } }

  func allocate(offset: Int64, length: Int64, keepSize: Bool) throws(FileError) {
    try inner.allocate(offset: offset, length: length, keepSize: keepSize)
  }

  func punchHole(offset: Int64, length: Int64) throws(FileError) {
    try inner.punchHole(offset: offset, length: length + (bug == .punchesTooFar ? 4096 : 0))
  }

  func truncate(to size: Int64) throws(FileError) { try inner.truncate(to: size - (bug == .truncatesTooFar && size > 8192 ? 4096 : 0)) }
  func size() throws(FileError) -> Int64 { try inner.size() }
  func lockExclusive() throws(FileError) -> Bool { try inner.lockExclusive() }

  /// A copy of a piece of a batch: a tombstone comes out as zeros, or a record's header says that its own sequence number is durable.
  private func changed(_ piece: UnsafeRawBufferPointer) -> IOBuffer {
    let copy = IOBuffer(capacity: piece.count)
    let bytes = copy.mutableBytes(0..<piece.count)
    bytes.copyMemory(from: piece)
    guard piece.count >= 128, piece.loadUnaligned(fromByteOffset: 0, as: UInt32.self) == 0x4c4e_5243 else { return copy }
    if bug == .losesTombstones {
      if piece[5] == 2 { bytes.initializeMemory(as: UInt8.self, repeating: 0) }
    } else {
      bytes.storeBytes(of: piece.loadUnaligned(fromByteOffset: 32, as: UInt64.self), toByteOffset: 48, as: UInt64.self)
      let sum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<60]))
      bytes.storeBytes(of: sum, toByteOffset: 60, as: UInt32.self)
    }
    return copy
  }
}
