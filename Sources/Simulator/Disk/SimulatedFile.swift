internal import BlockModel
internal import Platform
internal import Synchronization

/// An open file of a simulated disk.
final class SimulatedFile: OpenFile {
  let path: String
  private let disk: SimulatedDisk
  private let inode: Int
  private let isDirect: Bool
  private let holdsLock = Mutex(false)

  init(_ disk: SimulatedDisk, _ path: String, _ inode: Int, _ options: FileOpenOptions) {
    self.disk = disk
    self.path = path
    self.inode = inode
    isDirect = options.contains(.direct)
  }

  deinit {
    if holdsLock.withLock({ $0 }) { disk.state.withLock { state in _ = state.locked.remove(inode) } }
  }

  func pread(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(FileError) -> Int {
    try preadv(into: [buffer], at: offset)
  }

  func preadv(into buffers: [UnsafeMutableRawBufferPointer], at offset: Int64) throws(FileError) -> Int {
    let wanted = Int(offset)..<(Int(offset) + buffers.reduce(0) { $0 + $1.count })
    checkAlignment(wanted.lowerBound, wanted.count, buffers.map { UnsafeRawPointer($0.baseAddress) })
    return try disk.perform("pread", path) { (state: inout SimulatedDisk.State) throws(SimulatedDisk.Errno) -> Int in
      guard let file = state.inodes[inode] else { throw .inputOutput }
      if state.readFails() || file.unreadable.contains(where: { $0.overlaps(wanted) }) { throw .inputOutput }
      var done = 0
      for buffer in buffers { done += file.read(into: buffer, at: wanted.lowerBound + done, isDirect: isDirect) }
      return done
    }
  }

  func pwrite(_ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(FileError) { try pwritev([bytes], at: offset) }

  func pwritev(_ pieces: [UnsafeRawBufferPointer], at offset: Int64) throws(FileError) {
    let count = pieces.reduce(0) { $0 + $1.count }
    checkAlignment(Int(offset), count, pieces.map(\.baseAddress))
    let bytes = [UInt8](unsafeUninitializedCapacity: count) { bytes, filled in
      for piece in pieces where !piece.isEmpty {
        UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(bytes)[filled...]).copyMemory(from: piece)
        filled += piece.count
      }
    }
    try disk.perform("pwrite", path) { (state: inout SimulatedDisk.State) throws(SimulatedDisk.Errno) -> Void in
      let done = state.writeFails() ? Int(state.random.next() % UInt64(count + 1)) : count
      let range = Int(offset)..<(Int(offset) + done)
      guard let file = state.inodes[inode] else { throw .inputOutput }
      let needed = Int64(file.newPages(in: range) * PagedBytes.pageBytes)
      if needed > 0, state.usedBytes + needed > state.faults.capacityBytes { throw .outOfSpace }
      bytes.withUnsafeBytes { state.inodes[inode]?.write(UnsafeRawBufferPointer(rebasing: $0[..<done]), at: Int(offset)) }
      if done < count { throw .inputOutput }
    }
  }

  func fdatasync() throws(FileError) {
    try disk.perform("fdatasync", path) { (state: inout SimulatedDisk.State) throws(SimulatedDisk.Errno) -> Void in
      if state.syncFails() {
        var loss = WriteLoss(state.random.fork())
        state.inodes[inode]?.failSync(&loss)
        throw .inputOutput
      }
      state.inodes[inode]?.sync()
    }
  }

  func fsync() throws(FileError) { try fdatasync() }

  func allocate(offset: Int64, length: Int64, keepSize: Bool) throws(FileError) {
    let range = Int(offset)..<Int(offset + length)
    try change("fallocate", range) { file in
      file.allocate(range)
      if !keepSize, range.upperBound > file.size { file.resize(to: range.upperBound) }
    }
  }

  func punchHole(offset: Int64, length: Int64) throws(FileError) {
    try change("punch hole", 0..<0) { $0.punch(Int(offset)..<Int(offset + length)) }
  }

  func truncate(to size: Int64) throws(FileError) { try change("ftruncate", 0..<0) { $0.resize(to: Int(size)) } }

  func size() throws(FileError) -> Int64 { disk.state.withLock { Int64($0.inodes[inode]?.size ?? 0) } }

  func lockExclusive() throws(FileError) -> Bool {
    let taken = try disk.perform("lock", path) { (state: inout SimulatedDisk.State) throws(SimulatedDisk.Errno) -> Bool in
      state.locked.insert(inode).inserted
    }
    if taken { holdsLock.withLock { $0 = true } }
    return taken
  }

  private func change(_ operation: String, _ taken: Range<Int>, _ body: (inout SimulatedInode) -> Void) throws(FileError) {
    try disk.perform(operation, path) { (state: inout SimulatedDisk.State) throws(SimulatedDisk.Errno) in
      if state.writeFails() { throw .inputOutput }
      guard var file = state.inodes.removeValue(forKey: inode) else { throw .inputOutput }
      defer { state.inodes[inode] = file }
      let needed = Int64(file.newPages(in: taken) * PagedBytes.pageBytes)
      if needed > 0, state.usedBytes + Int64(file.allocatedPages * PagedBytes.pageBytes) + needed > state.faults.capacityBytes {
        throw .outOfSpace
      }
      body(&file)
    }
  }

  /// What a real disk refuses: access past the cache that is not in whole pages.
  private func checkAlignment(_ offset: Int, _ count: Int, _ addresses: [UnsafeRawPointer?]) {
    guard isDirect else { return }
    let isAligned = offset % PagedBytes.pageBytes == 0 && count % PagedBytes.pageBytes == 0
    precondition(
      isAligned && addresses.allSatisfy { Int(bitPattern: $0) % PagedBytes.pageBytes == 0 }, "direct access of \(path) is in whole pages")
  }
}
