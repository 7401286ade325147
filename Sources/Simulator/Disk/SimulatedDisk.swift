internal import BlockModel
package import Platform
internal import Synchronization

/// A disk with its file system in memory that fails as real ones do.
///
/// Whatever was not synced is kept, dropped, reordered or torn when the power fails: contents until a sync of the file, names until a sync
/// of their folder, sizes and holes too. Writes, syncs and reads fail when told to, a failed sync loses data and the next one says that
/// all is well, space runs out, and what lies on the device changes by itself (`SimulatedDisk+Damage.swift`).
///
/// What must hold: everything that happens follows from the calls and from the numbers given; nothing depends on threads or on time.
package final class SimulatedDisk: FileSystem {
  /// Failures that are waiting to happen. They are reported to the caller, as a disk reports them.
  package struct Faults: Sendable {
    /// So many syncs succeed and then one fails with `EIO`; nil for never. The one after it says that all is well.
    package var syncsUntilFailure: Int?
    /// So many changes of files (writes, sizes, holes) succeed and then one fails with `EIO`, after a part of it was done.
    package var writesUntilFailure: Int?
    package var readsUntilFailure: Int?
    /// The next changes of names fail with `EIO` after so many.
    package var nameChangesUntilFailure: Int?
    /// Bytes that all files may have together.
    package var capacityBytes = Int64.max
    package init() {}
  }

  struct State {
    var inodes: [Int: SimulatedInode] = [:]
    var names = SimulatedNames()
    var locked: Set<Int> = []
    var nextInode = 1
    var faults = Faults()
    var random: SeededRandom
    /// The process that uses the disk is dead, or the power off: every call fails.
    var isOff = false
  }

  let state: Mutex<State>
  /// Called before and after every call that may block, under no lock.
  private let passPoint: @Sendable () -> Void

  /// - Parameter passPoint: called before and after every call that may block, so that a scheduler can stop there.
  package convenience init(seed: UInt64, passPoint: @escaping @Sendable () -> Void = {}) {
    self.init(State(random: SeededRandom(seed: seed)), passPoint)
  }

  private init(_ state: sending State, _ passPoint: @escaping @Sendable () -> Void) {
    self.state = Mutex(state)
    self.passPoint = passPoint
  }

  /// Changes the failures to come.
  package func setFaults(_ body: (inout Faults) -> Void) { state.withLock { body(&$0.faults) } }

  /// Bytes that files take.
  package var usedBytes: Int64 { state.withLock { $0.usedBytes } }

  /// It was told to have less room than there could be.
  package var isLimited: Bool { state.withLock { $0.faults.capacityBytes < .max } }

  /// Takes the disk away from its process: from now on every call fails, and what the process does is of no consequence.
  package func switchOff() { state.withLock { $0.isOff = true } }

  /// What is there after the process was killed (everything that was written, synced or not, is still on its way to the device), or after
  /// the power failed too. Failures that were to come are gone; the old disk stays as it is.
  package func afterCrash(losesPower: Bool, seed: UInt64, passPoint: @escaping @Sendable () -> Void = {}) -> SimulatedDisk {
    var copied = state.withLock { $0 }
    copied.random = SeededRandom(seed: seed)
    copied.locked = []
    copied.faults = Faults()
    copied.isOff = false
    if losesPower { copied.losePower() }
    return SimulatedDisk(copied, passPoint)
  }

  // MARK: FileSystem

  package func open(_ path: String, _ options: FileOpenOptions, mode: UInt32) throws(FileError) -> any OpenFile {
    let inode = try perform("open", path) { (state: inout State) throws(Errno) -> Int in
      if let inode = state.names.inode(path) {
        if options.contains(.exclusive) { throw .alreadyExists }
        if options.contains(.truncate) { state.inodes[inode]?.resize(to: 0) }
        return inode
      }
      if state.names.isDirectory(path) { throw .isDirectory }
      guard options.contains(.create), state.names.isDirectory(SimulatedNames.folder(of: path)) else { throw .notFound }
      try state.failNameChange()
      let inode = state.nextInode
      state.nextInode += 1
      state.inodes[inode] = SimulatedInode()
      state.names.change(.link(path, inode))
      return inode
    }
    return SimulatedFile(self, path, inode, options)
  }

  package func rename(_ source: String, to destination: String) throws(FileError) {
    try perform("rename", source) { (state: inout State) throws(Errno) -> Void in
      guard let inode = state.names.inode(source) else { throw .notFound }
      try state.failNameChange()
      state.names.change(.rename(source, to: destination, inode))
    }
  }

  package func remove(_ path: String) throws(FileError) {
    try perform("remove", path) { (state: inout State) throws(Errno) -> Void in
      guard state.names.inode(path) != nil || state.names.isDirectory(path) && state.names.list(path).isEmpty else {
        throw .notFound
      }
      try state.failNameChange()
      state.names.change(.unlink(path))
    }
  }

  package func list(_ directory: String) throws(FileError) -> [String] {
    try perform("list", directory) { (state: inout State) throws(Errno) -> [String] in
      guard state.names.isDirectory(directory) else { throw .notFound }
      return state.names.list(directory)
    }
  }

  package func createDirectory(_ path: String, mode: UInt32) throws(FileError) {
    let folder = SimulatedNames.folder(of: path)
    if path != "/", !state.withLock({ $0.names.isDirectory(folder) }) { try createDirectory(folder, mode: mode) }
    let isNew = try perform("mkdir", path) { (state: inout State) throws(Errno) -> Bool in
      if state.names.inode(path) != nil { throw .alreadyExists }
      if state.names.isDirectory(path) { return false }
      state.names.change(.makeDirectory(path))
      return true
    }
    if isNew { try syncDirectory(folder) }
  }

  package func syncDirectory(_ path: String) throws(FileError) {
    try perform("sync", path) { (state: inout State) throws(Errno) -> Void in
      guard state.names.isDirectory(path) else { throw .notFound }
      if state.syncFails() { throw .inputOutput }
      state.names.sync(path)
    }
  }

  /// Answers from memory and is never a point to stop at.
  package func space(_ path: String) throws(FileError) -> FileSystemSpace {
    state.withLock { state in
      let total = min(state.faults.capacityBytes, 1 << 40)
      let free = max(0, total - state.usedBytes)
      return FileSystemSpace(total: total, free: free, available: free)
    }
  }

  package func attributes(_ path: String) throws(FileError) -> FileAttributes? {
    try perform("stat", path) { (state: inout State) throws(Errno) -> FileAttributes? in
      if state.names.isDirectory(path) {
        return FileAttributes(kind: .directory, size: 0, allocated: 0, modifiedNanoseconds: 0, mode: 0o700)
      }
      return
        (state.names.inode(path).flatMap { state.inodes[$0] }.map {
          FileAttributes(
            kind: .file, size: Int64($0.size), allocated: Int64($0.allocatedPages * PagedBytes.pageBytes), modifiedNanoseconds: 0,
            mode: 0o600)
        })
    }
  }

  // MARK: How calls are made

  /// A call that may block: a point to stop at before and behind it.
  func perform<R: Sendable>(
    _ operation: String, _ path: String, _ body: (inout State) throws(Errno) -> R
  ) throws(FileError) -> R {
    passPoint()
    let result = state.withLock { state in
      Result { () throws(Errno) -> R in
        if state.isOff { throw Errno.inputOutput }
        return try body(&state)
      }
    }
    passPoint()
    switch result {
    case .success(let value): return value
    case .failure(let number): throw FileError(operation: operation, path: path, errno: number.rawValue)
    }
  }

  /// The numbers that Linux gives.
  enum Errno: Int32, Error {
    case notFound = 2
    case inputOutput = 5
    case alreadyExists = 17
    case isDirectory = 21
    case outOfSpace = 28
  }
}

extension SimulatedDisk.State {
  var usedBytes: Int64 { names.inodes.reduce(0) { $0 + Int64(inodes[$1]?.allocatedPages ?? 0) } * Int64(PagedBytes.pageBytes) }

  mutating func losePower() {
    names.losePower(&random)
    for inode in inodes.keys.sorted() {
      var loss = WriteLoss(random.fork())
      inodes[inode]?.losePower(&loss)
    }
    let named = Set(names.inodes)
    inodes = inodes.filter { named.contains($0.key) }
  }

  /// Counts one of the calls that are to fail; true when this is it.
  private static func isDue(_ left: inout Int?) -> Bool {
    guard let count = left else { return false }
    left = count > 0 ? count - 1 : nil
    return count == 0
  }

  mutating func syncFails() -> Bool { Self.isDue(&faults.syncsUntilFailure) }
  mutating func writeFails() -> Bool { Self.isDue(&faults.writesUntilFailure) }
  mutating func readFails() -> Bool { Self.isDue(&faults.readsUntilFailure) }

  mutating func failNameChange() throws(SimulatedDisk.Errno) {
    if Self.isDue(&faults.nameChangesUntilFailure) { throw .inputOutput }
  }
}
