import BlockModel
import Platform
import Synchronization

/// A disk in memory that fails as disks do: unsynced sectors, names and sizes are lost with the power, syncs and writes fail when told
/// to, space runs out, bits rot.
final class SimulatedDisk: FileSystem {
  struct Faults {
    /// The next so many syncs succeed and then one fails; nil for never.
    var syncsUntilFailure: Int?
    var writesUntilFailure: Int?
    /// Bytes that all files may have together.
    var capacity = Int.max
    /// The machine stops in the next so manieth call that changes a file: what `afterCrash` gives is taken then. Whoever uses this disk
    /// goes on unseen.
    var callsUntilCrash: Int?
  }

  struct State {
    var inodes: [Int: SimulatedInode] = [:]
    /// Paths as the process sees them, and as they are after the power failed.
    var names: [String: Int] = [:]
    var durableNames: [String: Int] = [:]
    /// What was done to names since their folders were synced, in order.
    var pendingNames: [(path: String, inode: Int?)] = []
    var directories: Set<String> = []
    var locked: Set<Int> = []
    var nextInode = 1
    var faults = Faults()
    var random: SeededRandom
    /// Runs at the moment of the crash, under the disk's lock.
    var onCrash: (@Sendable () -> Void)?
    var crashed: Snapshot?
    /// Calls that read through the page cache, and past it.
    var cachedReads = 0
    var directReads = 0
  }

  /// The state at the moment of a crash.
  final class Snapshot: Sendable {
    let state: Mutex<State>
    init(_ state: sending State) { self.state = Mutex(state) }
  }

  private let state: Mutex<State>

  init(seed: UInt64) { state = Mutex(State(random: SeededRandom(seed: seed))) }

  private init(_ state: sending State) { self.state = Mutex(state) }

  func withState<R: Sendable>(_ body: (inout State) -> R) -> R { state.withLock { body(&$0) } }

  /// What is there after the process was killed (everything that was written, synced or not) or after the power failed: at the moment of
  /// the crash that was planned, or now.
  func afterCrash(losesPower: Bool) -> SimulatedDisk {
    var copied = withState { state in (state.crashed ?? state.snapshot()).state.withLock { $0 } }
    if losesPower { copied.losePower() }
    return SimulatedDisk(copied)
  }

  func open(_ path: String, _ options: FileOpenOptions, mode: UInt32) throws(FileError) -> any OpenFile {
    let result = withState { state -> Result<Int, FileError> in
      if let inode = state.names[path] {
        if options.contains(.exclusive) { return .failure(FileError(operation: "open", path: path, errno: 17)) }
        if options.contains(.truncate) { state.inodes[inode]?.change(.size(0)) }
        return .success(inode)
      }
      guard options.contains(.create) else { return .failure(FileError(operation: "open", path: path, errno: 2)) }
      let inode = state.nextInode
      state.nextInode += 1
      state.inodes[inode] = SimulatedInode()
      state.setName(path, inode)
      return .success(inode)
    }
    return SimulatedFile(self, path, try result.get(), isDirect: options.contains(.direct))
  }

  func rename(_ source: String, to destination: String) throws(FileError) {
    let done = withState { state in
      guard let inode = state.names[source] else { return false }
      state.setName(source, nil)
      state.setName(destination, inode)
      state.countCall()
      return true
    }
    if !done { throw FileError(operation: "rename", path: source, errno: 2) }
  }

  func remove(_ path: String) throws(FileError) {
    let done = withState { state in
      guard state.names[path] != nil else { return false }
      state.setName(path, nil)
      return true
    }
    if !done { throw FileError(operation: "remove", path: path, errno: 2) }
  }

  func list(_ directory: String) throws(FileError) -> [String] {
    withState { state in
      let prefix = directory + "/"
      let all = state.names.keys.map { $0 } + state.directories.map { $0 }
      return all.filter { $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains("/") }.map { String($0.dropFirst(prefix.count)) }
        .sorted()
    }
  }

  func createDirectory(_ path: String, mode: UInt32) throws(FileError) { withState { state in _ = state.directories.insert(path) } }

  func syncDirectory(_ path: String) throws(FileError) {
    withState { state in
      state.countCall()
      let prefix = path + "/"
      var left: [(path: String, inode: Int?)] = []
      for change in state.pendingNames {
        if change.path.hasPrefix(prefix), !change.path.dropFirst(prefix.count).contains("/") {
          state.durableNames[change.path] = change.inode
        } else {
          left.append(change)
        }
      }
      state.pendingNames = left
    }
  }

  func space(_ path: String) throws(FileError) -> FileSystemSpace {
    withState { state in
      let free = Int64(max(0, min(state.faults.capacity, 1 << 40) - state.usedBytes))
      return FileSystemSpace(total: 1 << 40, free: free, available: free)
    }
  }

  func attributes(_ path: String) throws(FileError) -> FileAttributes? {
    withState { state in
      if state.directories.contains(path) {
        return FileAttributes(kind: .directory, size: 0, allocated: 0, modifiedNanoseconds: 0, mode: 0o700)
      }
      return state.names[path].flatMap { state.inodes[$0] }.map {
        FileAttributes(kind: .file, size: Int64($0.cache.count), allocated: Int64($0.cache.count), modifiedNanoseconds: 0, mode: 0o600)
      }
    }
  }

  /// Flips one bit of a file, durably and unseen.
  func flipBit(_ path: String, byte: Int, bit: UInt8) {
    withState { state in
      guard let inode = state.names[path], byte < state.inodes[inode]!.disk.count else { return }
      state.inodes[inode]!.cache[byte] ^= 1 << bit
      state.inodes[inode]!.disk[byte] ^= 1 << bit
      if byte < state.inodes[inode]!.durable.count { state.inodes[inode]!.durable[byte] ^= 1 << bit }
    }
  }
}

extension SimulatedDisk.State {
  mutating func snapshot() -> SimulatedDisk.Snapshot {
    var copied = self
    random = random.fork()
    copied.locked = []
    copied.faults = SimulatedDisk.Faults()
    copied.onCrash = nil
    copied.crashed = nil
    return SimulatedDisk.Snapshot(copied)
  }

  /// A call that changes a file is about to return, or a sync to begin.
  mutating func countCall() {
    guard let left = faults.callsUntilCrash else { return }
    faults.callsUntilCrash = left > 0 ? left - 1 : nil
    guard left == 0 else { return }
    crashed = snapshot()
    onCrash?()
  }

  mutating func losePower() {
    // A journal keeps the order of what was done to names.
    let kept = Int(random.next() % UInt64(pendingNames.count + 1))
    for change in pendingNames.prefix(kept) { durableNames[change.path] = change.inode }
    pendingNames = []
    names = durableNames
    for inode in inodes.keys.sorted() { inodes[inode]?.losePower(&random) }
  }

  mutating func setName(_ path: String, _ inode: Int?) {
    names[path] = inode
    pendingNames.append((path, inode))
  }

  var usedBytes: Int { names.values.reduce(0) { $0 + (inodes[$1]?.cache.count ?? 0) } }
}

/// An open file of a simulated disk.
final class SimulatedFile: OpenFile {
  let path: String
  private let fileSystem: SimulatedDisk
  private let inode: Int
  private let isDirect: Bool
  private let holdsLock = Mutex(false)

  init(_ fileSystem: SimulatedDisk, _ path: String, _ inode: Int, isDirect: Bool) {
    self.fileSystem = fileSystem
    self.path = path
    self.inode = inode
    self.isDirect = isDirect
  }

  deinit {
    if holdsLock.withLock({ $0 }) { fileSystem.withState { state in _ = state.locked.remove(inode) } }
  }

  func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
    try preadv(into: [buffer], at: offset)
  }

  func preadv(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) throws(FileError) -> Int {
    let wanted = Int(offset)..<(Int(offset) + buffers.reduce(0) { $0 + $1.count })
    let bytes = fileSystem.withState { state -> [UInt8]? in
      guard let file = state.inodes[inode] else { return [] }
      if isDirect { state.directReads += 1 } else { state.cachedReads += 1 }
      if file.unreadable.contains(where: { $0.overlaps(wanted) }) { return nil }
      let source = isDirect ? file.disk : file.cache
      return Array(source[min(wanted.lowerBound, source.count)..<min(wanted.upperBound, source.count)])
    }
    guard let bytes else { throw FileError(operation: "pread", path: path, errno: 5) }
    var done = 0
    for buffer in buffers {
      let count = min(buffer.count, bytes.count - done)
      bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[done..<(done + count)])) }
      done += count
    }
    return done
  }

  func pwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) { try pwritev([bytes], at: offset) }

  func pwritev(_ pieces: [UnsafeRawBufferPointer], at offset: Int64) throws(FileError) {
    let count = pieces.reduce(0) { $0 + $1.count }
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
      for piece in pieces {
        UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(bytes)[filled...]).copyMemory(from: piece)
        filled += piece.count
      }
    }
    try change(.write(offset: Int(offset), bytes: bytes), operation: "pwrite", growsTo: Int(offset) + bytes.count)
  }

  func fdatasync() throws(FileError) {
    let failed = fileSystem.withState { state in
      state.countCall()
      if let left = state.faults.syncsUntilFailure {
        state.faults.syncsUntilFailure = left > 0 ? left - 1 : nil
        if left == 0 {
          state.inodes[inode]?.failSync(&state.random)
          return true
        }
      }
      state.inodes[inode]?.sync()
      return false
    }
    if failed { throw FileError(operation: "fdatasync", path: path, errno: 5) }
  }

  func fsync() throws(FileError) { try fdatasync() }

  func allocate(offset: Int64, length: Int64, keepSize: Bool) throws(FileError) {
    let size = try self.size()
    if !keepSize, offset + length > size { try change(.size(Int(offset + length)), operation: "fallocate", growsTo: Int(offset + length)) }
  }

  func punchHole(offset: Int64, length: Int64) throws(FileError) {
    try change(.punch(Int(offset)..<Int(offset + length)), operation: "punch", growsTo: 0)
  }

  func truncate(to size: Int64) throws(FileError) { try change(.size(Int(size)), operation: "ftruncate", growsTo: Int(size)) }

  func size() throws(FileError) -> Int64 { fileSystem.withState { Int64($0.inodes[inode]?.cache.count ?? 0) } }

  func lockExclusive() throws(FileError) -> Bool {
    let taken = fileSystem.withState { $0.locked.insert(inode).inserted }
    if taken { holdsLock.withLock { $0 = true } }
    return taken
  }

  private func change(_ change: SimulatedInode.Change, operation: String, growsTo size: Int) throws(FileError) {
    let errno = fileSystem.withState { state -> Int32? in
      if let left = state.faults.writesUntilFailure {
        state.faults.writesUntilFailure = left > 0 ? left - 1 : nil
        if left == 0 { return 5 }
      }
      let grows = max(0, size - (state.inodes[inode]?.cache.count ?? 0))
      if grows > 0, state.usedBytes + grows > state.faults.capacity { return 28 }
      state.inodes[inode]?.change(change)
      state.countCall()
      return nil
    }
    if let errno { throw FileError(operation: operation, path: path, errno: errno) }
  }
}
