internal import BlockModel
internal import CLinux
internal import Glibc

/// Calls on folders and names. All of them block.
package enum Directory {
  /// Makes a folder and those above it that are missing; one that is there stays as it is. Each new name is synced into its parent.
  package static func create(_ path: String, mode: UInt32 = 0o700) throws(FileError) {
    if try makeIfMissing(path, mode: mode) { return }
    let parent = self.parent(of: path)
    if parent != path { try create(parent, mode: mode) }
    guard try makeIfMissing(path, mode: mode) else { throw FileError(operation: "mkdir", path: path, errno: ENOENT) }
  }

  /// False when the folder above is missing.
  private static func makeIfMissing(_ path: String, mode: UInt32) throws(FileError) -> Bool {
    do {
      try SystemCall.retrying("mkdir", path) { mkdir(path, mode) }
    } catch {
      if error.isNotFound { return false }
      if error.alreadyExists, try isDirectory(path) { return true }
      throw error
    }
    try sync(parent(of: path))
    return true
  }

  /// Names in a folder without `.` and `..`, in the order of their bytes. Names that are not UTF-8 are repaired, so they cannot be opened.
  package static func list(_ path: String) throws(FileError) -> [String] {
    guard let stream = opendir(path) else { throw FileError(operation: "opendir", path: path, errno: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw FileError(operation: "readdir", path: path, errno: errno) }
        break
      }
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
  }

  /// Makes what happened to the names in a folder durable.
  package static func sync(_ path: String) throws(FileError) {
    try File(path, .read).fsync()
  }

  /// Makes everything that was written to the file system of `path` durable: one call for many small files.
  package static func syncFileSystem(of path: String) throws(FileError) {
    let folder = try File(path, .read)
    try folder.withDescriptor { descriptor throws(FileError) in
      _ = try SystemCall.retrying("syncfs", path) { cairn_syncfs(descriptor) }
    }
  }

  /// Renames within or between folders and syncs both. Replaces `destination` when it is there.
  package static func renameDurably(_ source: String, to destination: String) throws(FileError) {
    try rename(source, to: destination)
    let (from, to) = (parent(of: source), parent(of: destination))
    try sync(to)
    if from != to { try sync(from) }
  }

  /// Renames without a sync.
  package static func rename(_ source: String, to destination: String) throws(FileError) {
    try SystemCall.retrying("rename to \(destination)", source) { Glibc.rename(source, destination) }
  }

  /// Removes a file, a symbolic link, or an empty folder.
  package static func remove(_ path: String) throws(FileError) {
    try SystemCall.retrying("remove", path) { Glibc.remove(path) }
  }

  /// Removes a folder with all that is in it, without following symbolic links; nothing when it is not there.
  package static func removeTree(_ path: String) throws(FileError) {
    guard let attributes = try attributes(path) else { return }
    if attributes.kind == .directory {
      for name in try list(path) { try removeTree(path + "/" + name) }
    }
    do { try remove(path) } catch  where error.isNotFound {}
  }

  package static func space(_ path: String) throws(FileError) -> FileSystemSpace {
    var status = statvfs()
    try SystemCall.retrying("statvfs", path) { statvfs(path, &status) }
    func bytes(_ blocks: fsblkcnt_t) -> Int64 {
      let (product, overflow) = UInt64(blocks).multipliedReportingOverflow(by: UInt64(status.f_frsize))
      return overflow ? .max : Int64(clamping: product)
    }
    return FileSystemSpace(total: bytes(status.f_blocks), free: bytes(status.f_bfree), available: bytes(status.f_bavail))
  }

  /// What is at `path` itself, without following a symbolic link; nil when nothing is.
  package static func attributes(_ path: String) throws(FileError) -> FileAttributes? {
    var status = stat()
    do {
      try SystemCall.retrying("lstat", path) { lstat(path, &status) }
    } catch {
      if error.errno == ENOENT || error.errno == ENOTDIR { return nil }
      throw error
    }
    let kind: FileAttributes.Kind
    switch status.st_mode & S_IFMT {
    case S_IFREG: kind = .file
    case S_IFDIR: kind = .directory
    case S_IFLNK: kind = .symbolicLink
    default: kind = .other
    }
    return FileAttributes(
      kind: kind, size: Int64(status.st_size), allocated: Int64(status.st_blocks) * 512,
      modifiedNanoseconds: nanoseconds(status.st_mtim), mode: UInt32(status.st_mode & 0o7777))
  }

  /// Makes a symbolic link that holds `target` as it is.
  package static func makeSymbolicLink(at path: String, to target: String) throws(FileError) {
    try SystemCall.retrying("symlink", path) { symlink(target, path) }
  }

  /// What a symbolic link holds.
  package static func readSymbolicLink(_ path: String) throws(FileError) -> String {
    // The system's limit for a path, with the zero that it does not write.
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = try SystemCall.retrying("readlink", path) {
      bytes.withUnsafeMutableBytes { readlink(path, $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count) }
    }
    return String(decoding: bytes.prefix(count), as: UTF8.self)
  }

  /// Makes a new folder `<parent>/<prefix>.<random>` that only this user may enter, and answers its path.
  package static func makeUnique(in parent: String, prefix: String) throws(FileError) -> String {
    let path = parent + "/" + prefix + "." + HexDigits.encode(SecureRandom.bytes(8))
    try SystemCall.retrying("mkdir", path) { mkdir(path, 0o700) }
    return path
  }

  /// The folder that holds the last component of `path`.
  package static func parent(of path: String) -> String {
    var end = path.utf8.endIndex
    let utf8 = path.utf8
    func isSlash(before index: String.Index) -> Bool { utf8[utf8.index(before: index)] == UInt8(ascii: "/") }
    while end > utf8.startIndex, isSlash(before: end) { end = utf8.index(before: end) }
    guard end > utf8.startIndex else { return path.isEmpty ? "." : "/" }
    while end > utf8.startIndex, !isSlash(before: end) { end = utf8.index(before: end) }
    guard end > utf8.startIndex else { return "." }
    while end > utf8.startIndex, isSlash(before: end) { end = utf8.index(before: end) }
    return end == utf8.startIndex ? "/" : String(path[..<end])
  }

  /// File systems keep times that do not fit, and users set them; those are moved to the ends.
  private static func nanoseconds(_ time: timespec) -> Int64 {
    let (whole, overflow) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
    guard !overflow else { return time.tv_sec < 0 ? .min : .max }
    let (sum, overflowSum) = whole.addingReportingOverflow(Int64(time.tv_nsec))
    return overflowSum ? .max : sum
  }

  private static func isDirectory(_ path: String) throws(FileError) -> Bool {
    var status = stat()
    try SystemCall.retrying("stat", path) { stat(path, &status) }
    return status.st_mode & S_IFMT == S_IFDIR
  }
}
