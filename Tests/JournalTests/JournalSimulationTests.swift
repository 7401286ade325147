import BlockModel
import ClusterLogic
import Journal
import Platform
import Simulator
import TestSupport
import Testing

/// A coordinator that writes, and nodes that keep its journal on simulated disks; messages, processes, disks and commits fail by seed. What
/// was acknowledged has to be there after the coordinator's disk is gone.
private struct World {
  struct Node {
    var id: NodeID
    var zone: ZoneID
    var disk: SimulatedDisk
    var store: JournalStore?
  }

  static let zones = 2
  var random: SeededRandom
  var nodes: [Node]
  var now = MonotonicTime(nanoseconds: 1)
  /// The coordinator's own disk: the history as far as it committed, and how much of it is in the last snapshot.
  var local: [JournalRecord] = []
  var quorum = JournalQuorum(stored: 0, zones: World.zones)
  var term: JournalTerm
  var baseSequence: UInt64 = 0
  /// Records up to this one are before the last restore: they are in a snapshot to come, and are not sent again.
  var restoredThrough: UInt64 = 0
  /// Whether a snapshot is safe that the present history follows on: before it nothing is acknowledged.
  var hasBase = true
  var acknowledged: [BlockID] = []
  /// Disks of coordinators that a restore took the place of, and how much was acknowledged by then.
  var formers: [(history: [JournalRecord], acknowledged: Int)] = []
  var refusals = 0
  /// What each snapshot is of.
  var snapshots: [BlockID: [JournalRecord]] = [:]

  init(seed: UInt64) throws {
    random = SeededRandom(seed: seed)
    nodes = []
    for index in 0..<5 {
      let disk = SimulatedDisk(seed: random.next())
      nodes.append(
        Node(
          id: NodeID("node-\(index)")!, zone: ZoneID(["a", "b", "c", "a", "b"][index])!, disk: disk,
          store: try JournalStore(fileSystem: disk, folder: "/j")))
    }
    term = .test(1, writer: random.next())
    update()
  }

  mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &random) < percent }

  mutating func update() {
    _ = quorum.update(nodes.map { .init(node: $0.id, zone: $0.zone, isAlive: $0.store != nil) }, now: now)
  }

  mutating func write() {
    let record = JournalRecord(
      term: term, sequence: quorum.head + 1, previous: local.last?.hash ?? .zero, payload: [UInt8](repeating: 1, count: 50))
    quorum.append(record.sequence, zones: World.zones)
    let commits = !chance(10)
    var pending = local + [record]
    // The nodes may have it before the commit is known.
    if chance(50) { deliver(&pending) }
    if commits {
      local = pending
    } else {
      quorum.retract(record.sequence)
      term.attempt += 1
    }
    acknowledge()
  }

  mutating func acknowledge() {
    while hasBase, acknowledged.count < min(Int(quorum.stored), local.count) { acknowledged.append(local[acknowledged.count].hash) }
  }

  mutating func deliver(_ history: inout [JournalRecord]) {
    for index in nodes.indices where chance(70) {
      guard let range = quorum.toSend(nodes[index].id) else { continue }
      let records = range.map { history[Int($0) - 1] }
      let era = quorum.era
      guard let store = nodes[index].store, !chance(10), (try? store.append(records, term: term)) != nil else {
        _ = quorum.node(nodes[index].id, failedAt: now)
        continue
      }
      if chance(10) {
        _ = quorum.node(nodes[index].id, failedAt: now)
      } else {
        _ = quorum.node(nodes[index].id, has: range.upperBound, era: era)
      }
    }
  }

  /// A snapshot of what is committed; its content stands for itself.
  mutating func snapshot() throws {
    guard let last = local.last, quorum.stored == last.sequence else { return }
    let position = JournalPosition(term: last.term, sequence: last.sequence, hash: last.hash)
    snapshots[last.hash] = local
    var zones: [ZoneID] = []
    for member in quorum.members {
      guard let store = nodes.first(where: { $0.id == member.node })?.store, !chance(10) else { continue }
      guard (try? store.addSnapshot(position, offset: 0, bytes: [1], isLast: true, term: term)) != nil else { continue }
      if !zones.contains(member.zone) { zones.append(member.zone) }
    }
    guard zones.count >= World.zones else { return }
    baseSequence = last.sequence
    hasBase = true
    acknowledge()
    for node in nodes where !chance(20) { try? node.store?.cut(through: last.sequence, term: term) }
  }

  mutating func crash(_ index: Int) {
    nodes[index].disk.switchOff()
    nodes[index].disk = nodes[index].disk.afterCrash(losesPower: chance(50), seed: random.next())
    nodes[index].store = nil
  }

  mutating func restart(_ index: Int) throws {
    nodes[index].store = try JournalStore(fileSystem: nodes[index].disk, folder: "/j")
  }

  /// The coordinator's process ends and starts again with its own disk.
  mutating func restartCoordinator() throws {
    for index in nodes.indices where nodes[index].store == nil { try restart(index) }
    let entries = try entries()
    let position = local.last.map { ($0.hash, $0.term, $0.sequence) } ?? (.zero, .test(0, writer: 0), 0)
    let more = try #require(
      JournalHistory.continuation(of: position.0, term: position.1, sequence: position.2, in: entries.map(\.0), try bases()),
      "the nodes have no other history than the coordinator's")
    local += more.map { entries[$0.place].1 }
    try begin(stored: UInt64(acknowledged.count))
  }

  /// A new term: all nodes that live are told, and what may not be stored is sent again.
  mutating func begin(stored: UInt64) throws {
    let highest = nodes.compactMap { $0.store?.status().promised?.generation }.max() ?? 0
    term = .test(max(highest, term.generation) + 1, writer: random.next())
    for node in nodes { try node.store?.promise(term) }
    let stored = max(stored, restoredThrough)
    quorum = JournalQuorum(stored: stored, zones: World.zones)
    for record in local where record.sequence > stored { quorum.append(record.sequence, zones: World.zones) }
    update()
  }

  func entries() throws -> [(JournalHistory.Entry, JournalRecord)] {
    var found: [(JournalHistory.Entry, JournalRecord)] = []
    for node in nodes {
      for record in try node.store?.records() ?? [] {
        found.append(
          (
            JournalHistory.Entry(
              term: record.term, sequence: record.sequence, hash: record.hash, previous: record.previous, place: found.count),
            record
          ))
      }
    }
    return found
  }

  /// Snapshots on the nodes that live.
  func bases() throws -> [JournalHistory.Base] {
    var found: [JournalHistory.Base] = []
    for node in nodes {
      for file in node.store?.status().files ?? [] where file.isSnapshot {
        let parts = file.name.split(separator: "-")
        let hash = BlockID(hex: String(parts[2]))!
        let last = try #require(snapshots[hash]?.last, "a snapshot is of something that was written")
        found.append(.init(term: last.term, sequence: last.sequence, hash: hash, place: 0))
      }
    }
    return found
  }

  /// A coordinator that a restore took the place of is started by mistake, while nodes of one zone may be silent.
  mutating func startFormer() throws {
    guard let former = formers.randomElement(using: &random), let last = former.history.last else { return }
    let silent = ZoneID(["a", "b", "c"][Int.random(in: 0..<3, using: &random)])!
    for index in nodes.indices where nodes[index].store == nil && nodes[index].zone != silent { try restart(index) }
    let stores = nodes.map(\.store)
    for index in nodes.indices where nodes[index].zone == silent { nodes[index].store = nil }
    let chain = JournalHistory.continuation(
      of: last.hash, term: last.term, sequence: last.sequence, in: try entries().map(\.0), try bases())
    for index in nodes.indices { nodes[index].store = stores[index] ?? nodes[index].store }
    guard acknowledged.count > former.acknowledged else { return }
    #expect(chain == nil, "a former coordinator is refused before it asks for anything")
    refusals += 1
  }

  /// The coordinator's disk is gone, and with it one zone's nodes; what is found on the others has to have all that was acknowledged.
  mutating func restore() throws {
    let silent = ZoneID(["a", "b", "c"][Int.random(in: 0..<3, using: &random)])!
    for index in nodes.indices where nodes[index].store == nil && nodes[index].zone != silent { try restart(index) }
    let before = local
    let stores = nodes.map(\.store)
    for index in nodes.indices where nodes[index].zone == silent { nodes[index].store = nil }
    let entries = try entries()
    // Before the first snapshot the history begins with nothing; afterwards it does not.
    let nothing = JournalHistory.Base(term: .test(0, writer: 0), sequence: 0, hash: .zero, place: 0)
    let history = try #require(JournalHistory.newest(entries.map(\.0), (baseSequence > 0 ? [] : [nothing]) + bases()))
    var restored = snapshots[history.base.hash] ?? []
    #expect(restored.last?.hash ?? .zero == history.base.hash)
    restored += history.records.map { entries[$0.place].1 }
    #expect(restored.count >= acknowledged.count)
    #expect(Array(restored.prefix(acknowledged.count)).map(\.hash) == acknowledged)
    for index in nodes.indices { nodes[index].store = stores[index] ?? nodes[index].store }
    formers.append((before, acknowledged.count))
    local = restored
    restoredThrough = UInt64(restored.count)
    try begin(stored: UInt64(acknowledged.count))
    // A restore changes the database: what follows goes back to a snapshot of it and to nothing before.
    let fresh = BlockID(words: (random.next(), random.next(), random.next(), random.next()))
    let beginning = JournalRecord(term: term, sequence: quorum.head + 1, previous: fresh, payload: [])
    hasBase = false
    quorum.append(beginning.sequence, zones: World.zones)
    local.append(beginning)
  }
}

@Suite("Journals of simulated clusters")
struct JournalSimulationTests {
  @Test(
    """
    nothing acknowledged is lost with the coordinator's disk and any one zone, whatever crashed, tore or got lost before, and no former \
    coordinator goes on from its own disk
    """)
  func nothingIsLost() throws {
    var seeds = Seeds.random()
    var refusals = 0
    var acknowledged = 0
    for _ in 0..<40 {
      let seed = seeds.next()
      do {
        let world = try run(seed: seed)
        refusals += world.refusals
        acknowledged += world.acknowledged.count
      } catch { Issue.record("seed \(seed): \(error)") }
    }
    #expect(refusals > 0, "former coordinators were started and refused")
    #expect(acknowledged > 400)
  }

  private func run(seed: UInt64) throws -> World {
    var world = try World(seed: seed)
    for _ in 0..<300 {
      world.now += .milliseconds(50)
      switch Int.random(in: 0..<100, using: &world.random) {
      case 0..<45: world.write()
      case 45..<75:
        var local = world.local
        world.deliver(&local)
        world.acknowledge()
      case 75..<80: try world.snapshot()
      case 80..<85:
        let index = Int.random(in: 0..<5, using: &world.random)
        if world.nodes[index].store != nil { world.crash(index) }
      case 85..<93:
        for index in world.nodes.indices where world.nodes[index].store == nil { try world.restart(index) }
      case 93..<95: try world.restartCoordinator()
      case 95..<97: try world.startFormer()
      default: try world.restore()
      }
      world.update()
    }
    try world.restore()
    #expect(!world.acknowledged.isEmpty, "seed \(seed) acknowledged nothing")
    return world
  }
}
