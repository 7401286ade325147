internal import Glibc

/// How a file is opened.
package struct FileOpenOptions: OptionSet, Sendable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }

  package static let read = FileOpenOptions(rawValue: 1 << 0)
  package static let write = FileOpenOptions(rawValue: 1 << 1)
  /// Makes the file when it is not there.
  package static let create = FileOpenOptions(rawValue: 1 << 2)
  /// With `create`: fails with `EEXIST` when the file is there.
  package static let exclusive = FileOpenOptions(rawValue: 1 << 3)
  package static let truncate = FileOpenOptions(rawValue: 1 << 4)
  /// Past the page cache: offsets, lengths and memory are multiples of 4 KiB then. File systems without it answer `EINVAL`.
  package static let direct = FileOpenOptions(rawValue: 1 << 5)
  package static let append = FileOpenOptions(rawValue: 1 << 6)
  /// Fails with `ELOOP` when the last component is a symbolic link.
  package static let noFollow = FileOpenOptions(rawValue: 1 << 7)
}

/// Space of a file system, in bytes.
package struct FileSystemSpace: Sendable, Equatable {
  package var total: Int64
  /// Free, with what is kept back for the administrator.
  package var free: Int64
  /// Free for us.
  package var available: Int64
  package init(total: Int64, free: Int64, available: Int64) {
    self.total = total
    self.free = free
    self.available = available
  }
}

/// What a name in a folder stands for.
package struct FileAttributes: Sendable, Equatable {
  package enum Kind: Sendable, Equatable { case file, directory, symbolicLink, other }
  package var kind: Kind
  /// Bytes from start to end, holes included.
  package var size: Int64
  /// Bytes that the file takes on the disk.
  package var allocated: Int64
  /// The last change of the contents, in nanoseconds since 1970 in UTC.
  package var modifiedNanoseconds: Int64
  /// Permission bits, at most `0o7777`.
  package var mode: UInt32
  package init(kind: Kind, size: Int64, allocated: Int64, modifiedNanoseconds: Int64, mode: UInt32) {
    self.kind = kind
    self.size = size
    self.allocated = allocated
    self.modifiedNanoseconds = modifiedNanoseconds
    self.mode = mode
  }
}

/// The calls on a disk that a store makes, so that a simulated disk can stand in for the machine's.
///
/// All of them block. Paths are absolute or relative to the process's folder. What a rename, a removal or a new file did to a folder is
/// durable only after `syncDirectory` of that folder; a new folder is durable at once.
package protocol FileSystem: Sendable {
  /// - Parameter mode: permission bits of a file that is made, before the process's mask.
  func open(_ path: String, _ options: FileOpenOptions, mode: UInt32) throws(FileError) -> any OpenFile
  /// Replaces `destination` when it is there.
  func rename(_ source: String, to destination: String) throws(FileError)
  /// Removes a file, a symbolic link, or an empty folder.
  func remove(_ path: String) throws(FileError)
  /// Names in a folder without `.` and `..`, in the order of their bytes.
  func list(_ directory: String) throws(FileError) -> [String]
  /// Makes a folder and those above it that are missing, durably; one that is there stays as it is.
  func createDirectory(_ path: String, mode: UInt32) throws(FileError)
  func syncDirectory(_ path: String) throws(FileError)
  func space(_ path: String) throws(FileError) -> FileSystemSpace
  /// What is at `path` itself, without following a symbolic link; nil when nothing is.
  func attributes(_ path: String) throws(FileError) -> FileAttributes?
}

extension FileSystem {
  package func open(_ path: String, _ options: FileOpenOptions) throws(FileError) -> any OpenFile {
    try open(path, options, mode: 0o600)
  }

  package func createDirectory(_ path: String) throws(FileError) { try createDirectory(path, mode: 0o700) }
}

/// An open file. It closes when the last reference goes. Calls on one file may come from any threads at once.
package protocol OpenFile: AnyObject, Sendable {
  var path: String { get }
  /// Fills `buffer` from `offset`; fewer bytes than asked for mean the end of the file.
  func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int
  /// Writes all of `bytes` at `offset`.
  func pwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError)
  /// Fills the buffers one after the other from `offset`; fewer bytes than asked for mean the end of the file.
  func preadv(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) throws(FileError) -> Int
  /// As `preadv`, from memory alone: nil where it would have to wait for the disk, or cannot tell. Does not block.
  func preadvCached(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) -> Int?
  /// Writes all of the pieces, one after the other, at `offset`.
  func pwritev(_ pieces: [UnsafeRawBufferPointer], at offset: Int64) throws(FileError)
  /// Contents, and what is needed to read them back, are on the disk when it returns. After an error nothing is known of any
  /// write since the last success, and a second call proves nothing: do not retry.
  func fdatasync() throws(FileError)
  /// As `fdatasync`, with all attributes.
  func fsync() throws(FileError)
  /// Reserves space; the contents stay. The file grows to `offset + length` unless `keepSize`.
  func allocate(offset: Int64, length: Int64, keepSize: Bool) throws(FileError)
  /// Gives the whole file-system blocks inside of the range back; the size stays and the range reads as zeros.
  func punchHole(offset: Int64, length: Int64) throws(FileError)
  func truncate(to size: Int64) throws(FileError)
  func size() throws(FileError) -> Int64
  /// Takes the file's exclusive lock for as long as it is open; false when another open file has it.
  func lockExclusive() throws(FileError) -> Bool
}

extension OpenFile {
  package func preadvCached(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) -> Int? { nil }

  /// Fills all of `buffer`.
  /// - Throws: `FileError` with `errno` 0 when the file ends before.
  package func preadFully(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) {
    let count = try pread(into: buffer, at: offset)
    guard count == buffer.count else {
      throw FileError(operation: "pread", path: path, errno: 0, reason: "the file ends at \(offset + Int64(count))")
    }
  }
}
