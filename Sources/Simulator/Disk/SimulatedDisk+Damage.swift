package import BlockModel
internal import Platform
internal import Synchronization

/// What happens to a device without anybody being told: bits rot, a write lands in the wrong place, old contents come back, sectors become
/// unreadable. Only what was synced is damaged; what was not may be lost anyway.
extension SimulatedDisk {
  /// A part of a file that was damaged.
  package struct Damage: Sendable, Equatable {
    package var path: String
    package var range: Range<Int>
  }

  /// Flips one bit of what the device holds. `isCached`: reads through the page cache do not see it yet.
  @discardableResult
  package func flipBit(_ path: String, byte: Int, bit: Int, isCached: Bool = false) -> Damage? {
    damage(path, page: byte / PagedBytes.pageBytes, isCached: isCached) { page in
      page[byte % PagedBytes.pageBytes] ^= 1 << UInt8(bit & 7)
      return byte..<(byte + 1)
    }
  }

  /// Random bytes in place of one sector of 512.
  @discardableResult
  package func scramble(_ path: String, sector: Int, _ random: inout SeededRandom, isCached: Bool = false) -> Damage? {
    let start = sector * 512
    let bytes = (0..<64).flatMap { _ in withUnsafeBytes(of: random.next()) { Array($0) } }
    return damage(path, page: start / PagedBytes.pageBytes, isCached: isCached) { page in
      page.replaceSubrange((start % PagedBytes.pageBytes)..<(start % PagedBytes.pageBytes + 512), with: bytes)
      return start..<(start + 512)
    }
  }

  /// A page that was written to another place than it should have been: it is found there, and in its own place is what was there before.
  package func misdirect(_ path: String, page: Int, to other: String, page target: Int, isCached: Bool = false) -> [Damage] {
    let written = state.withLock { state in state.names.inode(path).flatMap { state.inodes[$0] }?.durable[page: page] } ?? PagedBytes.zeros
    let landed = damage(other, page: target, isCached: isCached) { page in
      page = written
      return target * PagedBytes.pageBytes..<(target + 1) * PagedBytes.pageBytes
    }
    return [landed, rollBack(path, page: page, sectors: 0..<8, isCached: isCached)].compactMap { $0 }
  }

  /// Some of a page's sectors are again what they were before they were synced last.
  @discardableResult
  package func rollBack(_ path: String, page: Int, sectors: Range<Int>, isCached: Bool = false) -> Damage? {
    let former = state.withLock { state in state.names.inode(path).flatMap { state.inodes[$0]?.formerPage(page) } }
    guard let former else { return nil }
    let part = (sectors.lowerBound * 512)..<(sectors.upperBound * 512)
    return damage(path, page: page, isCached: isCached) { bytes in
      bytes.replaceSubrange(part, with: (former ?? PagedBytes.zeros)[part])
      return (page * PagedBytes.pageBytes + part.lowerBound)..<(page * PagedBytes.pageBytes + part.upperBound)
    }
  }

  /// Reads of the range fail with `EIO`, until its pages are written or `makeReadable` is called.
  @discardableResult
  package func makeUnreadable(_ path: String, _ range: Range<Int>) -> Damage? {
    state.withLock { state in
      guard let inode = state.names.inode(path) else { return nil }
      state.inodes[inode]?.unreadable.append(range)
      return Damage(path: path, range: range)
    }
  }

  /// Everything can be read again.
  package func makeReadable() {
    state.withLock { state in for inode in state.inodes.keys { state.inodes[inode]?.unreadable = [] } }
  }

  /// The page cache lets go of what it need not write, and shows what is on the device from now on.
  package func evictCaches() {
    state.withLock { state in for inode in state.inodes.keys { state.inodes[inode]?.evict() } }
  }

  /// Some part cannot be read.
  package var hasUnreadableParts: Bool { state.withLock { $0.inodes.values.contains { !$0.unreadable.isEmpty } } }

  /// Names in a folder, as a program lists them that nobody has stopped.
  package func names(in directory: String) -> [String] { state.withLock { $0.names.list(directory) } }

  /// What is on the device, as a program reads it that nobody has stopped; nil when there is no such file.
  package func contents(_ path: String) -> [UInt8]? {
    state.withLock { state in
      guard let file = state.names.inode(path).flatMap({ state.inodes[$0] }) else { return nil }
      return [UInt8](unsafeUninitializedCapacity: file.size) { bytes, count in
        count = file.read(into: UnsafeMutableRawBufferPointer(bytes), at: 0, isDirect: true)
      }
    }
  }

  private func damage(
    _ path: String, page: Int, isCached: Bool, _ body: (inout PagedBytes.Page) -> Range<Int>
  ) -> Damage? {
    state.withLock { state in
      guard let inode = state.names.inode(path), let file = state.inodes[inode], page >= 0, page * PagedBytes.pageBytes < file.size else {
        return nil
      }
      var range = 0..<0
      state.inodes[inode]?.corrupt(page: page, isCached: isCached) { range = body(&$0) }
      return Damage(path: path, range: range)
    }
  }
}
