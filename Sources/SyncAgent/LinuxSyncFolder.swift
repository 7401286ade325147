internal import BlockModel
package import ClusterLogic
internal import Glibc
internal import Platform
internal import Synchronization

/// A folder of this machine.
///
/// What must hold: below the root no symbolic link is followed, and what is replaced or removed was looked at after it had left its name,
/// so
/// that a change at the last moment is seen and undone.
package final class LinuxSyncFolder: SyncFolder {
  package let root: String
  /// Nil until it was tried.
  private let folding = Mutex<Bool?>(nil)
  private let pieces: HashedPieces

  /// - Parameters:
  ///   - root: absolute; may itself be a link to a folder.
  ///   - pieces: where what is hashed is kept for whoever uploads it.
  package init(root: String, pieces: HashedPieces = HashedPieces()) { (self.root, self.pieces) = (root, pieces) }

  private func absolute(_ path: String) -> String { path.isEmpty ? root : root + "/" + path }

  private static func answering<T>(_ body: () throws(FileError) -> T) throws(SyncError) -> T {
    do { return try body() } catch { throw Self.mapped(error) }
  }

  private static func mapped(_ error: FileError) -> SyncError {
    // ELOOP: a link where a file or folder was; it is not followed.
    if error.isNotFound || error.isDirectoryNotEmpty || [ENOTDIR, EISDIR, ELOOP, EINVAL].contains(error.errno) {
      return SyncError(.stale, error.description)
    }
    if error.isOutOfSpace { return SyncError(.refused, "\(error.description) Make room; it goes on by itself.") }
    if error.isPermissionDenied { return SyncError(.refused, "\(error.description) Check the permissions.") }
    return SyncError(.refused, error.description)
  }

  // MARK: - Looking

  private static func status(_ path: String, followingLinks: Bool = false) throws(FileError) -> stat? {
    var status = stat()
    if (followingLinks ? stat(path, &status) : lstat(path, &status)) == 0 { return status }
    if errno == ENOENT || errno == ENOTDIR { return nil }
    throw FileError(operation: "stat", path: path, errno: errno)
  }

  private static func nanoseconds(_ time: timespec) -> Int64 {
    let (whole, overflow) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
    return overflow ? (time.tv_sec < 0 ? .min / 2 : .max / 2) : whole &+ Int64(time.tv_nsec)
  }

  private static func identity(_ status: stat) -> LocalIdentity {
    LocalIdentity(
      inode: UInt64(status.st_ino), size: status.st_mode & S_IFMT == S_IFDIR ? 0 : Int64(status.st_size),
      modified: nanoseconds(status.st_mtim), changed: nanoseconds(status.st_ctim))
  }

  package func rootIdentity() throws(SyncError) -> String? {
    let root = root
    return try Self.answering { () throws(FileError) in
      guard let status = try Self.status(root, followingLinks: true), status.st_mode & S_IFMT == S_IFDIR else { return nil }
      var system = statvfs()
      guard statvfs(root, &system) == 0 else { throw FileError(operation: "statvfs", path: root, errno: errno) }
      return "\(system.f_fsid)-\(status.st_ino)"
    }
  }

  package func foldsCase() throws(SyncError) -> Bool {
    let known = folding.withLock { $0 }
    if let known { return known }
    let probe = "\(ReservedName.prefix)case-\(HexDigits.encode(SecureRandom.bytes(8)))"
    // Where nothing can be made, nothing can clash.
    guard (try? makeSymlink(probe, target: "probe")) != nil else { return false }
    defer { _ = try? Directory.remove(absolute(probe)) }
    let folds = try item(probe.uppercased()) != nil
    folding.withLock { $0 = folds }
    return folds
  }

  package func list(_ path: String) throws(SyncError) -> [FolderItem] {
    let folder = absolute(path)
    return try Self.answering { () throws(FileError) in
      // A link that took a folder's place leads elsewhere; the root may be one.
      let descriptor = Glibc.open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (path.isEmpty ? 0 : O_NOFOLLOW))
      guard descriptor >= 0 else { throw FileError(operation: "list", path: folder, errno: errno) }
      guard let stream = fdopendir(descriptor) else {
        let number = errno
        close(descriptor)
        throw FileError(operation: "list", path: folder, errno: number)
      }
      defer { closedir(stream) }
      var items: [FolderItem] = []
      while let item = try Self.next(in: stream, descriptor, folder) { items.append(item) }
      return items.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
    }
  }

  /// The next thing in a folder that is being read. What is gone again is left out.
  private static func next(in stream: OpaquePointer, _ descriptor: Int32, _ folder: String) throws(FileError) -> FolderItem? {
    while true {
      errno = 0
      guard let entry = readdir(stream) else {
        guard errno == 0 else { throw FileError(operation: "list", path: folder, errno: errno) }
        return nil
      }
      var status = stat()
      let (name, isText, result) = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) {
          let text = String(validatingCString: $0)
          return (text ?? String(cString: $0), text != nil, fstatat(descriptor, $0, &status, AT_SYMLINK_NOFOLLOW))
        }
      }
      if name == "." || name == ".." { continue }
      if result == 0, !isText { return FolderItem(name: name, kind: .misnamed, identity: identity(status)) }
      if result == 0 { return try item(name, status, at: folder + "/" + name) }
      guard errno == ENOENT else { throw FileError(operation: "stat", path: folder + "/" + name, errno: errno) }
    }
  }

  package func item(_ path: String) throws(SyncError) -> FolderItem? {
    let absolute = absolute(path)
    return try Self.answering { () throws(FileError) in
      guard let status = try Self.status(absolute) else { return nil }
      let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
      return try Self.item(slash.map { String(path[path.utf8.index(after: $0)...]) } ?? path, status, at: absolute)
    }
  }

  private static func item(_ name: String, _ status: stat, at absolute: @autoclosure () -> String) throws(FileError) -> FolderItem {
    let identity = identity(status)
    switch status.st_mode & S_IFMT {
    case S_IFDIR: return FolderItem(name: name, kind: .folder, identity: identity)
    case S_IFREG: return FolderItem(name: name, kind: .file, identity: identity, executable: status.st_mode & S_IXUSR != 0)
    case S_IFLNK: return FolderItem(name: name, kind: .symlink, identity: identity, target: try Directory.readSymbolicLink(absolute()))
    default: return FolderItem(name: name, kind: .special, identity: identity)
    }
  }

  private static func open(_ path: String) throws(FileError) -> File { try File(path, [.read, .noFollow]) }

  private static func identity(of file: File) throws(FileError) -> LocalIdentity {
    try file.withDescriptor { descriptor throws(FileError) in
      var status = stat()
      guard fstat(descriptor, &status) == 0 else { throw FileError(operation: "fstat", path: file.path, errno: errno) }
      return Self.identity(status)
    }
  }

  package func hasWriter(_ path: String) throws(SyncError) -> Bool? {
    let absolute = absolute(path)
    return try Self.answering { () throws(FileError) in try Self.open(absolute).hasWriter() }
  }

  package func contentHash(_ path: String, expecting: LocalIdentity) throws(SyncError) -> SyncContent {
    let absolute = absolute(path)
    return try Self.answering { () throws(FileError) in
      let stale = FileError(operation: "read", path: absolute, errno: ENOENT)
      let file = try Self.open(absolute)
      guard try Self.identity(of: file) == expecting else { throw stale }
      guard let hashes = try PieceHashes.of(file, size: expecting.size) else { throw stale }
      guard try Self.identity(of: file) == expecting else { throw stale }
      pieces.keep(hashes, of: expecting)
      var hasher = SHA256Hasher()
      for hash in hashes { hasher.update(hash.bytes) }
      return SyncContent(BlockID(words: hasher.finalize()).hex)
    }
  }

  package func text(_ path: String, limit: Int) throws(SyncError) -> String? {
    let absolute = absolute(path)
    let bytes = try Self.answering { () throws(FileError) in try AtomicFile.read(absolute, limit: limit) }
    return bytes.map { String(decoding: $0, as: UTF8.self) }
  }

  // MARK: - Changing

  package func makeFolder(_ path: String) throws(SyncError) {
    let absolute = absolute(path)
    guard mkdir(absolute, 0o777) == 0 else { throw Self.mapped(FileError(operation: "mkdir", path: absolute, errno: errno)) }
  }

  package func makeSymlink(_ path: String, target: String) throws(SyncError) {
    let absolute = absolute(path)
    try Self.answering { () throws(FileError) in try Directory.makeSymbolicLink(at: absolute, to: target) }
  }

  package func move(_ path: String, to other: String) throws(SyncError) {
    let (from, to) = (absolute(path), absolute(other))
    // Where case is folded, the target of a change of case alone is there: it is the thing itself.
    let isItself = CaseFolding.key(path) == CaseFolding.key(other)
    let mayBeThere = try isItself ? foldsCase() : false
    try Self.answering { () throws(FileError) in
      if mayBeThere { try Directory.rename(from, to: to) } else { try Directory.renameExclusively(from, to: to) }
    }
  }

  /// Whether it is the same but for the time at which its name changed.
  private static func isSame(_ item: FolderItem?, _ other: FolderItem) -> Bool {
    guard let item else { return false }
    return item.kind == other.kind && item.executable == other.executable && item.target == other.target
      && item.identity.inode == other.identity.inode && item.identity.size == other.identity.size
      && item.identity.modified == other.identity.modified
  }

  private static func changed(_ path: String) -> SyncError { SyncError(.stale, "\(path) changed at the last moment.") }

  package func place(_ part: String, at path: String, expecting: FolderItem?) throws(SyncError) {
    guard let expecting else { return try move(part, to: path) }
    guard try item(path)?.identity == expecting.identity else { throw Self.changed(path) }
    let (from, to) = (absolute(part), absolute(path))
    let isExchanged = try Self.answering { () throws(FileError) in try Directory.exchange(from, to) }
    guard isExchanged else { return try Self.answering { () throws(FileError) in try Directory.rename(from, to: to) } }
    guard Self.isSame(try item(part), expecting) else {
      // Somebody wrote to it after it was looked at: it gets its name back.
      _ = try Self.answering { () throws(FileError) in try Directory.exchange(from, to) }
      throw Self.changed(path)
    }
    try Self.answering { () throws(FileError) in try Directory.remove(from) }
  }

  package func setAttributes(_ path: String, executable: Bool, modified: Int64, expecting: FolderItem) throws(SyncError) {
    let absolute = absolute(path)
    try Self.answering { () throws(FileError) in
      let file = try Self.open(absolute)
      guard try Self.identity(of: file) == expecting.identity else { throw FileError(operation: "open", path: absolute, errno: ENOENT) }
      if executable != expecting.executable {
        let mode = try Self.status(absolute)?.st_mode ?? 0o644
        let bits = UInt32(mode & 0o777)
        // Where reading is allowed, so is running.
        try file.setMode(executable ? bits | (bits & 0o444) >> 2 : bits & ~0o111)
      }
      try file.setModified(nanoseconds: modified)
    }
  }

  package func remove(_ path: String, expecting: FolderItem) throws(SyncError) {
    let absolute = absolute(path)
    if expecting.kind == .folder {
      guard rmdir(absolute) == 0 else { throw Self.mapped(FileError(operation: "rmdir", path: absolute, errno: errno)) }
      return
    }
    guard try item(path)?.identity == expecting.identity else { throw Self.changed(path) }
    let aside = FolderScanner.join(
      FolderScanner.parent(of: path), "\(ReservedName.prefix)gone-\(HexDigits.encode(SecureRandom.bytes(8)))")
    try move(path, to: aside)
    guard Self.isSame(try item(aside), expecting) else {
      try move(aside, to: path)
      throw Self.changed(path)
    }
    let gone = self.absolute(aside)
    try Self.answering { () throws(FileError) in try Directory.remove(gone) }
  }

  package func sync() throws(SyncError) {
    let root = root
    try Self.answering { () throws(FileError) in try Directory.syncFileSystem(of: root) }
  }
}
