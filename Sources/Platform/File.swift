internal import CLinux
internal import Glibc

/// A file of the machine. It closes when the last reference goes; it never survives `exec`.
package final class File: OpenFile {
  package let path: String
  private let descriptor: Int32

  /// - Parameter mode: permission bits of a file that is made, before the process's mask.
  package init(_ path: String, _ options: FileOpenOptions, mode: UInt32 = 0o600) throws(FileError) {
    precondition(options.contains(.read) || options.contains(.write), "a file is opened for something")
    let flags = File.flags(of: options)
    self.path = path
    self.descriptor = try SystemCall.retrying("open", path) {
      options.contains(.direct) ? cairn_open_direct(path, flags, mode) : Glibc.open(path, flags | O_CLOEXEC, mode)
    }
  }

  deinit { _ = Glibc.close(descriptor) }

  /// The descriptor, valid inside of `body` only.
  package func withDescriptor<R: ~Copyable, E: Error>(_ body: (Int32) throws(E) -> R) throws(E) -> R { try body(descriptor) }

  private static func flags(of options: FileOpenOptions) -> Int32 {
    var flags: Int32
    switch (options.contains(.read), options.contains(.write)) {
    case (true, true): flags = O_RDWR
    case (false, true): flags = O_WRONLY
    default: flags = O_RDONLY
    }
    if options.contains(.create) { flags |= O_CREAT }
    if options.contains(.exclusive) { flags |= O_EXCL }
    if options.contains(.truncate) { flags |= O_TRUNC }
    if options.contains(.append) { flags |= O_APPEND }
    if options.contains(.noFollow) { flags |= O_NOFOLLOW }
    return flags
  }

  package func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
    var done = 0
    while done < buffer.count {
      let count = try SystemCall.retrying("pread", path) {
        Glibc.pread(descriptor, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + off_t(done))
      }
      if count == 0 { break }
      done += count
    }
    return done
  }

  package func pwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) {
    var done = 0
    while done < bytes.count {
      let count = try SystemCall.retrying("pwrite", path) {
        Glibc.pwrite(descriptor, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + off_t(done))
      }
      guard count > 0 else { throw FileError(operation: "pwrite", path: path, errno: EIO) }
      done += count
    }
  }

  package func preadv(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) throws(FileError) -> Int {
    var list = VectorList(buffers.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) })
    var done = 0
    while !list.isEmpty {
      let count = try SystemCall.retrying("preadv", path) {
        list.withNext { Glibc.preadv(descriptor, $0, $1, off_t(offset) + off_t(done)) }
      }
      if count == 0 { break }
      list.advance(by: count)
      done += count
    }
    return done
  }

  package func preadvCached(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) -> Int? {
    let list = buffers.map { iovec(iov_base: $0.baseAddress, iov_len: $0.count) }
    let count = list.withUnsafeBytes { cairn_preadv_nowait(descriptor, $0.baseAddress, Int32(list.count), offset) }
    return count < 0 ? nil : Int(count)
  }

  package func pwritev(_ pieces: [UnsafeRawBufferPointer], at offset: Int64) throws(FileError) {
    // The vector's type has no constant pointer; the call only reads.
    var list = VectorList(pieces.map { iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) })
    var done = 0
    while !list.isEmpty {
      let count = try SystemCall.retrying("pwritev", path) {
        list.withNext { Glibc.pwritev(descriptor, $0, $1, off_t(offset) + off_t(done)) }
      }
      guard count > 0 else { throw FileError(operation: "pwritev", path: path, errno: EIO) }
      list.advance(by: count)
      done += count
    }
  }

  package func fdatasync() throws(FileError) {
    try SystemCall.retrying("fdatasync", path) { Glibc.fdatasync(descriptor) }
  }

  package func fsync() throws(FileError) {
    try SystemCall.retrying("fsync", path) { Glibc.fsync(descriptor) }
  }

  package func allocate(offset: Int64, length: Int64, keepSize: Bool = false) throws(FileError) {
    try SystemCall.retrying("fallocate", path) {
      keepSize
        ? cairn_fallocate_keep_size(descriptor, offset, length) : cairn_fallocate(descriptor, offset, length)
    }
  }

  package func punchHole(offset: Int64, length: Int64) throws(FileError) {
    try SystemCall.retrying("punch hole", path) { cairn_punch_hole(descriptor, offset, length) }
  }

  /// Begins to write a range to the disk, so that a sync that follows has less to wait for. What fails is told by that sync.
  package func beginWriteBack(offset: Int64, length: Int64) { _ = cairn_write_back(descriptor, offset, length) }

  /// Whether anybody has the file open for writing; nil where the system does not tell. The file is open for reading alone.
  package func hasWriter() -> Bool? {
    switch cairn_has_writer(descriptor) {
    case 0: false
    case 1: true
    default: nil
    }
  }

  package func truncate(to size: Int64) throws(FileError) {
    try SystemCall.retrying("ftruncate", path) { Glibc.ftruncate(descriptor, off_t(size)) }
  }

  package func size() throws(FileError) -> Int64 {
    var status = stat()
    try SystemCall.retrying("fstat", path) { fstat(descriptor, &status) }
    return Int64(status.st_size)
  }

  package func lockExclusive() throws(FileError) -> Bool {
    do {
      try SystemCall.retrying("lock", path) { cairn_lock_exclusive(descriptor) }
      return true
    } catch {
      if error.errno == EAGAIN || error.errno == EACCES { return false }
      throw error
    }
  }

  /// Reads from the file's own position, for streams such as a terminal or a pipe; 0 at the end.
  package func read(into buffer: UnsafeMutableRawBufferPointer) throws(FileError) -> Int {
    try SystemCall.retrying("read", path) { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
  }

  /// `UTIME_OMIT`, a macro that Swift does not see.
  private static let leaveAlone = (1 << 30) - 2

  /// Sets the time of the last change of the contents, in nanoseconds since 1970 in UTC; the time of the last access stays.
  package func setModified(nanoseconds: Int64) throws(FileError) {
    let seconds = nanoseconds >= 0 ? nanoseconds / 1_000_000_000 : (nanoseconds - 999_999_999) / 1_000_000_000
    let times = [
      timespec(tv_sec: 0, tv_nsec: File.leaveAlone),
      timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds - seconds * 1_000_000_000)),
    ]
    try SystemCall.retrying("futimens", path) { futimens(descriptor, times) }
  }

  /// Sets the permission bits.
  package func setMode(_ mode: UInt32) throws(FileError) {
    try SystemCall.retrying("fchmod", path) { fchmod(descriptor, mode) }
  }
}

/// What is left of a list of memory pieces while the system takes it in parts, at most 1,024 pieces (`IOV_MAX`) at a time.
private struct VectorList {
  private var vectors: [iovec]
  private var first = 0

  init(_ vectors: [iovec]) {
    self.vectors = vectors
    skipEmpty()
  }

  var isEmpty: Bool { first == vectors.count }

  func withNext<R>(_ body: (UnsafePointer<iovec>, Int32) -> R) -> R {
    vectors.withUnsafeBufferPointer { body($0.baseAddress! + first, Int32(min($0.count - first, 1024))) }
  }

  mutating func advance(by count: Int) {
    var left = count
    while left > 0 {
      let taken = min(left, vectors[first].iov_len)
      vectors[first].iov_base = vectors[first].iov_base.map { $0 + taken }
      vectors[first].iov_len -= taken
      left -= taken
      skipEmpty()
    }
  }

  private mutating func skipEmpty() {
    while first < vectors.count, vectors[first].iov_len == 0 { first += 1 }
  }
}
