import BlockModel
import Platform
import Simulator
import Testing

/// The simulated disk loses what real ones may lose, and nothing else.
@Suite struct SimulatedDiskTests {
  private static func write(_ file: any OpenFile, _ bytes: [UInt8], at offset: Int64 = 0) throws {
    try bytes.withUnsafeBytes { try file.pwrite($0, at: offset) }
  }

  private static func read(_ disk: SimulatedDisk, _ path: String, _ options: FileOpenOptions = .read) throws -> [UInt8]? {
    guard let size = try disk.attributes(path)?.size, size > 0 else { return try disk.attributes(path).map { _ in [] } }
    let buffer = IOBuffer(capacity: (Int(size) + 4095) / 4096 * 4096)
    let count = try disk.open(path, options).pread(into: buffer.mutableBytes(0..<buffer.capacity), at: 0)
    return Array(buffer.bytes(0..<count))
  }

  private static func page(_ byte: UInt8, _ count: Int = 1) -> [UInt8] { [UInt8](repeating: byte, count: 4096 * count) }

  /// A disk with a file of three synced pages of ones.
  private static func disk(seed: UInt64 = 1) throws -> (SimulatedDisk, any OpenFile) {
    let disk = SimulatedDisk(seed: seed)
    try disk.createDirectory("/d")
    let file = try disk.open("/d/f", [.read, .write, .create])
    try write(file, page(1, 3))
    try file.fdatasync()
    try disk.syncDirectory("/d")
    return (disk, file)
  }

  @Test("after a power failure each unsynced sector is old or new; all mixtures come up; what was synced stays")
  func sectors() throws {
    var found: Set<[UInt8]> = []
    for seed in 0..<300 as Range<UInt64> {
      let (disk, file) = try Self.disk()
      try Self.write(file, Self.page(2), at: 4096)
      try Self.write(file, Self.page(3), at: 4096)
      let bytes = try #require(try Self.read(disk.afterCrash(losesPower: true, seed: seed), "/d/f"))
      #expect(Array(bytes[..<4096]) == Self.page(1) && Array(bytes[8192...]) == Self.page(1))
      let sectors = stride(from: 4096, to: 8192, by: 512).map { start in
        let sector = Set(bytes[start..<(start + 512)])
        #expect(sector.count == 1)
        return sector.first ?? 0
      }
      found.insert(sectors)
      #expect(try Self.read(disk.afterCrash(losesPower: false, seed: seed), "/d/f") == Self.page(1) + Self.page(3) + Self.page(1))
    }
    #expect(found.contains([UInt8](repeating: 1, count: 8)) && found.contains([UInt8](repeating: 2, count: 8)))
    #expect(found.contains([UInt8](repeating: 3, count: 8)) && found.count > 10)
  }

  @Test("later writes may arrive and earlier ones not")
  func reordering() throws {
    var orders: Set<[Bool]> = []
    for seed in 0..<300 as Range<UInt64> {
      let (disk, file) = try Self.disk()
      for page in 0..<3 as Range<Int64> { try Self.write(file, Self.page(9), at: page * 4096) }
      let bytes = try #require(try Self.read(disk.afterCrash(losesPower: true, seed: seed), "/d/f"))
      orders.insert((0..<3).map { Array(bytes[($0 * 4096)..<($0 * 4096 + 4096)]) == Self.page(9) })
    }
    #expect(orders.contains([false, false, true]) && orders.contains([true, false, false]) && orders.contains([false, false, false]))
  }

  @Test("new names, renames and removals are lost or kept until their folder is synced, a rename as a whole")
  func names() throws {
    var found: Set<[String]> = []
    for seed in 0..<200 as Range<UInt64> {
      let (disk, _) = try Self.disk()
      try Self.write(try disk.open("/d/new", [.write, .create]), [5])
      try disk.rename("/d/new", to: "/d/renamed")
      try disk.remove("/d/f")
      found.insert(try disk.afterCrash(losesPower: true, seed: seed).list("/d"))
      try disk.syncDirectory("/d")
      #expect(try disk.afterCrash(losesPower: true, seed: seed).list("/d") == ["renamed"])
    }
    #expect(found.isSuperset(of: [["f"], ["f", "new"], ["f", "renamed"], ["renamed"], []]))
    #expect(!found.contains { $0.contains("new") && $0.contains("renamed") })
  }

  @Test("sizes, reserved space and holes may be lost until a sync")
  func attributes() throws {
    var sizes: Set<Int64> = []
    var holes = 0
    for seed in 0..<100 as Range<UInt64> {
      let (disk, file) = try Self.disk()
      try file.punchHole(offset: 100, length: 9000)
      try file.allocate(offset: 0, length: 40_960, keepSize: false)
      try file.truncate(to: 20_480)
      let after = disk.afterCrash(losesPower: true, seed: seed)
      sizes.insert(try #require(try after.attributes("/d/f")).size)
      let bytes = try #require(try Self.read(after, "/d/f"))
      if Array(bytes[4096..<8192]) == Self.page(0) { holes += 1 }
      #expect(Array(bytes[..<100]) == [UInt8](repeating: 1, count: 100))
      try file.fsync()
      #expect(try #require(try disk.afterCrash(losesPower: true, seed: seed).attributes("/d/f")).size == 20_480)
    }
    #expect(sizes == [12_288, 40_960, 20_480] && holes > 10 && holes < 90)
  }

  @Test("a sync that fails loses data while the cache still shows it, and the next sync says that all is well")
  func failedSync() throws {
    var lost = 0
    for seed in 0..<50 as Range<UInt64> {
      let (disk, file) = try Self.disk(seed: seed)
      try Self.write(file, Self.page(7), at: 4096)
      disk.setFaults { $0.syncsUntilFailure = 0 }
      #expect(throws: FileError.self) { try file.fdatasync() }
      try file.fdatasync()
      let cached = try #require(try Self.read(disk, "/d/f"))
      #expect(Array(cached[4096..<8192]) == Self.page(7))
      let onDisk = try #require(try Self.read(disk, "/d/f", [.read, .direct]))
      #expect(try Self.read(disk.afterCrash(losesPower: true, seed: seed), "/d/f") == onDisk)
      if Array(onDisk[4096..<8192]) != Self.page(7) { lost += 1 }
      disk.evictCaches()
      #expect(try Self.read(disk, "/d/f") == onDisk)
    }
    #expect(lost > 10)
  }

  @Test("writes, reads and changes of names fail when told to, and space runs out")
  func failures() throws {
    let (disk, file) = try Self.disk()
    disk.setFaults { $0.writesUntilFailure = 1 }
    try Self.write(file, Self.page(2))
    #expect(throws: FileError.self) { try Self.write(file, Self.page(3)) }
    try Self.write(file, Self.page(4))
    disk.setFaults { $0.readsUntilFailure = 0 }
    #expect(throws: FileError.self) { _ = try Self.read(disk, "/d/f") }
    #expect(try Self.read(disk, "/d/f")?.first == 4)
    disk.setFaults { $0.nameChangesUntilFailure = 0 }
    #expect(throws: FileError.self) { try disk.rename("/d/f", to: "/d/g") }
    disk.setFaults { $0.capacityBytes = 4 * 4096 }
    try Self.write(file, Self.page(5), at: 12_288)
    do {
      try Self.write(file, Self.page(5), at: 16_384)
      Issue.record("there was no room")
    } catch let error as FileError { #expect(error.isOutOfSpace) }
    try Self.write(file, Self.page(6), at: 0)
  }

  @Test("bits rot, writes go astray, old contents come back, sectors cannot be read; the cache may hide it for a while")
  func damage() throws {
    let (disk, file) = try Self.disk()
    try Self.write(file, Self.page(2), at: 4096)
    try file.fdatasync()
    disk.flipBit("/d/f", byte: 5, bit: 1, isCached: true)
    #expect(try Self.read(disk, "/d/f")?[5] == 1)
    #expect(try Self.read(disk, "/d/f", [.read, .direct])?[5] == 3)
    disk.evictCaches()
    #expect(try Self.read(disk, "/d/f")?[5] == 3)
    _ = disk.misdirect("/d/f", page: 1, to: "/d/f", page: 2)
    #expect(try Self.read(disk, "/d/f").map { Array($0[4096...]) } == Self.page(1) + Self.page(2))
    try Self.write(file, Self.page(8), at: 0)
    try file.fdatasync()
    disk.rollBack("/d/f", page: 0, sectors: 2..<8)
    let bytes = try #require(try Self.read(disk, "/d/f"))
    #expect(bytes[1023] == 8 && bytes[1024] == 1 && bytes[5] == 8)
    disk.makeUnreadable("/d/f", 600..<700)
    #expect(throws: FileError.self) { _ = try Self.read(disk, "/d/f") }
    try Self.write(file, Self.page(9), at: 0)
    #expect(try Self.read(disk, "/d/f")?.first == 9, "a page that is written can be read again")
    disk.makeUnreadable("/d/f", 600..<5000)
    disk.makeReadable()
    #expect(try Self.read(disk, "/d/f")?.count == bytes.count)
  }

  @Test("a process that is gone can do nothing more, and its lock is free")
  func switchedOff() throws {
    let (disk, file) = try Self.disk()
    #expect(try file.lockExclusive())
    let next = disk.afterCrash(losesPower: false, seed: 1)
    disk.switchOff()
    #expect(throws: FileError.self) { try Self.write(file, [1]) }
    #expect(throws: FileError.self) { _ = try disk.list("/d") }
    let again = try next.open("/d/f", [.read, .write])
    #expect(try again.lockExclusive())
    #expect(try Self.read(next, "/d/f") == Self.page(1, 3))
  }
}
