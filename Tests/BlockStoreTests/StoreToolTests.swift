import BlockModel
import BlockStore
import Platform
import Testing

/// What the tools say of damaged disks, and that looking changes nothing and mending loses nothing. On real files.
@Suite struct StoreToolTests {
  enum Damage: String, CaseIterable, CustomTestStringConvertible {
    case none, noCheckpoint, flippedCheckpoint, cutSegment, flippedPayload, flippedHeader, flippedFirstPage, foreignFile, foreignSegment,
      halfSegment, leftover, noIdentity, flippedIdentity

    var testDescription: String { rawValue }

    /// What is found, apart from what follows from it.
    var kind: StoreInspection.Kind? {
      switch self {
      case .none: nil
      case .noCheckpoint, .flippedCheckpoint: .checkpoint
      case .cutSegment: .cutRecord
      case .flippedPayload: .badCopy
      case .flippedHeader: .debris
      case .flippedFirstPage: .segmentHeader
      case .foreignFile: .foreignFile
      case .foreignSegment: .foreignSegment
      case .halfSegment, .leftover: .leftover
      case .noIdentity, .flippedIdentity: .identity
      }
    }

    /// Blocks of six that are not there afterwards, and whether the node starts with it as it is.
    var lost: Int { [.cutSegment, .flippedPayload, .flippedHeader].contains(self) ? 1 : 0 }
    var blocks: Bool { [.foreignSegment, .noIdentity, .flippedIdentity].contains(self) }
    var isSound: Bool { lost == 0 && !blocks && self != .flippedFirstPage }
  }

  private static let keys = Fixtures.ring(1)
  private static func plain(_ number: Int) -> [UInt8] { Fixtures.bytes(50_000 + number, seed: UInt64(number)) }

  private static func configuration(_ folder: String) -> SegmentStore.Configuration {
    var configuration = StoreKind.configuration(folder, keys: keys)
    configuration.segmentBytes = 256 << 10
    return configuration
  }

  /// A disk with six blocks in two segments, one more that is deleted and one that is quarantined.
  private func makeDisk(_ folder: String) async throws -> [BlockID] {
    let store = try SegmentStore.open(Self.configuration(folder))
    var ids: [BlockID] = []
    for number in 0..<8 {
      ids.append(try await store.append(Fixtures.record(Self.plain(number), keys: Self.keys)).block.id)
    }
    _ = try await store.delete(ids[7], ifEpochBelow: 9)
    _ = try await store.quarantine(ids[6], ifEpochBelow: 9, at: WallTime(seconds: 1_800_000_000))
    await store.close()
    return Array(ids.prefix(6))
  }

  private func inflict(_ damage: Damage, on disk: String) async throws {
    let names = try Directory.list(disk + "/segments")
    let first = disk + "/segments/" + (try #require(names.first))
    switch damage {
    case .none: break
    case .noCheckpoint: try Directory.remove(disk + "/index.checkpoint")
    case .flippedCheckpoint: try Self.flip(disk + "/index.checkpoint", at: 300)
    case .cutSegment:
      let size = try #require(try Directory.attributes(first)).size
      try File(first, [.write]).truncate(to: size - 8192)
    case .flippedPayload: try Self.flip(first, at: 4096 + 20_000)
    case .flippedHeader: try Self.flip(first, at: 4096 + 70)
    case .flippedFirstPage: try Self.flip(first, at: 20)
    case .foreignFile: try AtomicFile.write(disk + "/segments/holiday.jpg", [1, 2, 3])
    case .foreignSegment:
      let other = try Directory.makeUnique(in: "/tmp", prefix: "cairn-other")
      defer { try? Directory.removeTree(other) }
      var configuration = Self.configuration(other)
      configuration.keys = nil
      let name = try await makeForeignSegment(configuration)
      try Self.copy(configuration.folder + "/segments/" + name, to: disk + "/segments/" + "00000050" + name.dropFirst(8))
    case .halfSegment:
      try AtomicFile.write(disk + "/segments/00000099-00000000000000000000000000000001.seg", [UInt8](repeating: 0, count: 65_536))
    case .leftover: try AtomicFile.write(disk + "/index.checkpoint.tmp", [1])
    case .noIdentity: try Directory.remove(disk + "/identity")
    case .flippedIdentity: try Self.flip(disk + "/identity", at: 30)
    }
  }

  private func makeForeignSegment(_ configuration: SegmentStore.Configuration) async throws -> String {
    let store = try SegmentStore.open(configuration)
    _ = try await store.append(Fixtures.record([1], keys: nil))
    await store.close()
    return try #require(try Directory.list(configuration.folder + "/segments").first)
  }

  private static func flip(_ path: String, at offset: Int64) throws {
    let file = try File(path, [.read, .write])
    var byte: [UInt8] = [0]
    try byte.withUnsafeMutableBytes { try file.preadFully(into: $0, at: offset) }
    byte[0] ^= 4
    try byte.withUnsafeBytes { try file.pwrite($0, at: offset) }
  }

  private static func copy(_ source: String, to destination: String) throws {
    try AtomicFile.write(destination, try #require(try AtomicFile.read(source, limit: 1 << 24)))
  }

  /// Every file's path and content.
  private static func contents(_ folder: String) throws -> [String: [UInt8]] {
    var all: [String: [UInt8]] = [:]
    for place in ["", "segments/"] {
      for name in try Directory.list(folder + "/" + place) where try Directory.attributes(folder + "/" + place + name)?.kind == .file {
        all[place + name] = try AtomicFile.read(folder + "/" + place + name, limit: 1 << 26)
      }
    }
    return all
  }

  @Test("check and dump say what is wrong and change nothing", arguments: Damage.allCases)
  func check(damage: Damage) async throws {
    try await withFolder { folder in
      let disk = folder + "/disk-1"
      _ = try await makeDisk(folder)
      try await inflict(damage, on: disk)
      let before = try Self.contents(disk)
      let found = try StoreInspector(folder: disk, keys: Self.keys).inspect()
      #expect(try Self.contents(disk) == before)
      #expect(found.findings.contains { $0.kind == damage.kind } == (damage.kind != nil), "\(found.findings)")
      #expect(damage.kind != nil || found.findings.isEmpty, "\(found.findings)")
      #expect(found.isSound == damage.isSound, "\(found.findings)")
      #expect(found.checkedBlocks == 7 - damage.lost, "the six and the quarantined one")
      var records: [InspectedRecord] = []
      _ = try StoreInspector(folder: disk).inspect { records.append($0) }
      #expect(try Self.contents(disk) == before)
      #expect(records.count { $0.kind == "tombstone" } == 1 && records.count { $0.state == "quarantined" } == 1)
    }
  }

  @Test("repair makes a disk that the store starts with, and every block that was good is there", arguments: Damage.allCases)
  func repair(damage: Damage) async throws {
    try await withFolder { folder in
      let disk = folder + "/disk-1"
      let ids = try await makeDisk(folder)
      try await inflict(damage, on: disk)
      let before = try Self.contents(disk)
      if damage.blocks { #expect(throws: BlockStoreError.self) { try SegmentStore.open(Self.configuration(folder)) } }
      let report = try await StoreRepair(StoreInspector(folder: disk, keys: Self.keys)).run()
      #expect(report.left.isEmpty, "\(report.left)")
      #expect(!report.after.findings.contains { $0.severity == .blocking || $0.kind == .checkpoint }, "\(report.after.findings)")
      if damage == .none { #expect(report.actions.isEmpty && report.before == report.after) }
      // Whatever is not where it was lies aside, byte for byte.
      let after = try Self.contents(disk)
      let asides = try Directory.list(disk).filter { $0.hasPrefix("aside-") }
      for (path, bytes) in before where after[path] == nil {
        let kept = try asides.compactMap { try AtomicFile.read(disk + "/\($0)/" + path.replacing("/", with: "-"), limit: 1 << 26) }
        #expect(kept == [bytes], "\(path)")
      }
      let store = try SegmentStore.open(Self.configuration(folder))
      var missing = 0
      for (number, id) in ids.enumerated() {
        if store.status(of: id) == nil { missing += 1 } else { #expect(try await store.bytes(id) == Self.plain(number)) }
      }
      #expect(missing == damage.lost)
      #expect(store.quarantined(after: nil, limit: 9).count == 1 && store.space().blockCount == 6 - damage.lost)
      await store.close()
    }
  }

  @Test("a disk in use, a newer one and a folder that is not there are refused")
  func refusals() async throws {
    try await withFolder { folder in
      let store = try SegmentStore.open(Self.configuration(folder))
      #expect(BlockStoreError.Code.thrown { _ = try StoreInspector(folder: folder + "/disk-1").inspect() } == .locked)
      #expect(await BlockStoreError.Code.thrown { _ = try await StoreRepair(StoreInspector(folder: folder + "/disk-1")).run() } == .locked)
      await store.close()
      #expect(BlockStoreError.Code.thrown { _ = try StoreInspector(folder: folder + "/disk-2").inspect() } == .notFound)
      try AtomicFile.write(folder + "/disk-1/identity", Array("cairn disk 2\n".utf8))
      let before = try Self.contents(folder + "/disk-1")
      #expect(
        await BlockStoreError.Code.thrown { _ = try await StoreRepair(StoreInspector(folder: folder + "/disk-1")).run() } == .newerFormat)
      #expect(try Self.contents(folder + "/disk-1") == before)
    }
  }

  @Test("without the data keys nothing is condemned", arguments: [Damage.none, .flippedPayload])
  func noKeys(damage: Damage) async throws {
    try await withFolder { folder in
      let disk = folder + "/disk-1"
      let ids = try await makeDisk(folder)
      try await inflict(damage, on: disk)
      let report = try await StoreRepair(StoreInspector(folder: disk)).run()
      #expect(report.before.findings.map(\.kind) == [.unchecked] && report.before.checkedBlocks == 0)
      #expect(report.actions.isEmpty)
      let store = try SegmentStore.open(Self.configuration(folder))
      #expect(ids.allSatisfy { store.status(of: $0) != nil })
      await store.close()
    }
  }
}
