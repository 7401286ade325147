import Platform
import Synchronization

/// The machine's file system, with calls that fail as those of a broken disk do, from when a test says so.
final class FailingDisk: FileSystem {
  enum Fault: Sendable {
    /// Whatever is tried fails.
    case everything
    /// Writes and syncs fail, and what is there can be read.
    case writing
  }

  private let machine = LinuxFileSystem()
  private let fault = Mutex<Fault?>(nil)

  func fail(_ kind: Fault?) { fault.withLock { $0 = kind } }

  fileprivate func check(_ operation: String, _ path: String, isWrite: Bool) throws(FileError) {
    switch fault.withLock({ $0 }) {
    case nil: return
    case .writing where !isWrite: return
    case .everything, .writing: throw FileError(operation: operation, path: path, errno: 5)
    }
  }

  func open(_ path: String, _ options: FileOpenOptions, mode: UInt32) throws(FileError) -> any OpenFile {
    try check("open", path, isWrite: options.contains(.create))
    return Wrapped(try machine.open(path, options, mode: mode), self)
  }
  func rename(_ source: String, to destination: String) throws(FileError) {
    try check("rename", source, isWrite: true)
    try machine.rename(source, to: destination)
  }
  func remove(_ path: String) throws(FileError) {
    try check("remove", path, isWrite: true)
    try machine.remove(path)
  }
  func list(_ directory: String) throws(FileError) -> [String] {
    try check("list", directory, isWrite: false)
    return try machine.list(directory)
  }
  func createDirectory(_ path: String, mode: UInt32) throws(FileError) {
    try check("mkdir", path, isWrite: true)
    try machine.createDirectory(path, mode: mode)
  }
  func syncDirectory(_ path: String) throws(FileError) {
    try check("fsync", path, isWrite: true)
    try machine.syncDirectory(path)
  }
  func space(_ path: String) throws(FileError) -> FileSystemSpace { try machine.space(path) }
  func attributes(_ path: String) throws(FileError) -> FileAttributes? {
    try check("stat", path, isWrite: false)
    return try machine.attributes(path)
  }

  private final class Wrapped: OpenFile {
    private let file: any OpenFile
    private let disk: FailingDisk
    var path: String { file.path }

    init(_ file: any OpenFile, _ disk: FailingDisk) {
      self.file = file
      self.disk = disk
    }

    func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
      try disk.check("pread", path, isWrite: false)
      return try file.pread(into: buffer, at: offset)
    }
    func preadv(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) throws(FileError) -> Int {
      try disk.check("preadv", path, isWrite: false)
      return try file.preadv(into: buffers, at: offset)
    }
    func pwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) {
      try disk.check("pwrite", path, isWrite: true)
      try file.pwrite(bytes, at: offset)
    }
    func pwritev(_ pieces: [UnsafeRawBufferPointer], at offset: Int64) throws(FileError) {
      try disk.check("pwritev", path, isWrite: true)
      try file.pwritev(pieces, at: offset)
    }
    func fdatasync() throws(FileError) {
      try disk.check("fdatasync", path, isWrite: true)
      try file.fdatasync()
    }
    func fsync() throws(FileError) {
      try disk.check("fsync", path, isWrite: true)
      try file.fsync()
    }
    func allocate(offset: Int64, length: Int64, keepSize: Bool) throws(FileError) {
      try disk.check("fallocate", path, isWrite: true)
      try file.allocate(offset: offset, length: length, keepSize: keepSize)
    }
    func punchHole(offset: Int64, length: Int64) throws(FileError) {
      try disk.check("punch hole", path, isWrite: true)
      try file.punchHole(offset: offset, length: length)
    }
    func truncate(to size: Int64) throws(FileError) {
      try disk.check("ftruncate", path, isWrite: true)
      try file.truncate(to: size)
    }
    func size() throws(FileError) -> Int64 { try file.size() }
    func lockExclusive() throws(FileError) -> Bool { try file.lockExclusive() }
  }
}
