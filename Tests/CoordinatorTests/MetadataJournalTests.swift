import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import Journal
import MetadataStore
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

@Suite("The metadata's journal on the nodes", .serialized)
struct MetadataJournalTests {
  private func fresh(seed: UInt64 = 1) async throws -> JournalledStore {
    try await JournalledStore(try FakeJournals(seed: seed), folder: try TemporaryFolder(), secret: .generate(), layout: true)
  }

  private func again(_ old: JournalledStore) async throws -> JournalledStore {
    await old.stop()
    return try await JournalledStore(old.journals, folder: try old.copyOfFolder(), secret: old.secret)
  }

  private func restored(_ old: JournalledStore) async throws -> JournalledStore {
    await old.stop()
    let folder = try TemporaryFolder()
    _ = try await JournalledStore.recover(old.journals, into: folder, secret: old.secret)
    return try await JournalledStore(old.journals, folder: folder, secret: old.secret)
  }

  private func code(_ body: () async throws -> Void) async -> MetadataError.Code? {
    do {
      try await body()
      return nil
    } catch { return (error as? MetadataError)?.code }
  }

  @Test("with the coordinator's disk gone everything acknowledged is restored, also what came before the first layout")
  func restore() async throws {
    let first = try await fresh()
    for number in 0..<30 { try await first.sign("user-\(number)") }
    let before = try await first.names()
    let second = try await restored(first)
    #expect(try await second.names() == before)
    #expect(try await second.store.garbageRecord().hold != nil, "nothing is collected after a restore")
    #expect(try await second.store.gcEpoch() == 5, "above what nodes have seen")
    #expect(try await second.store.currentLayout().version == 2)
    #expect(try await second.store.raiseGeneration() > 9)
    try await second.sign("later")
    let third = try await restored(second)
    #expect(try await third.names().contains("later"))
    await third.stop()
  }

  @Test("with nodes of too few zones nothing is acknowledged, and all goes on when they are back", .timeLimit(.minutes(1)))
  func tooFewZones() async throws {
    let cluster = try await fresh()
    try await cluster.sign("before")
    cluster.journals.change("n1", "n4", "n2", "n5") { $0.isSilent = true }
    #expect(await code { try await cluster.sign("unknown") } == .unavailable)
    #expect(await code { try await cluster.sign("refused") } == .unavailable)
    #expect(try await cluster.names().contains("before"), "reading goes on")
    cluster.journals.change("n1") { $0.isSilent = false }
    try await eventually(within: .seconds(40), "writing goes on") { await code { try await cluster.sign("after") } == nil }
    let names = try await cluster.names()
    #expect(!names.contains("refused"))
    cluster.journals.change("n2", "n4", "n5") { $0.isSilent = false }
    let after = try await restored(cluster)
    #expect(try await after.names() == names, "what was unknown is there on both")
    await after.stop()
  }

  @Test("one silent zone stops nothing", arguments: [["n1", "n4"], ["n2", "n5"], ["n3", "n6"]])
  func oneZone(silent: [String]) async throws {
    let cluster = try await fresh()
    for name in silent { cluster.journals.change(name) { $0.isSilent = true } }
    for number in 0..<10 { try await cluster.sign("user-\(number)") }
    // The other zones' first node dies, too, one after the other: spares take over.
    let next = try await again(cluster)
    #expect(try await next.names().count == 10)
    try await next.sign("one-more")
    await next.stop()
  }

  @Test("a coordinator that starts sends again what the nodes do not have")
  func databaseAhead() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    first.journals.change("n1", "n2", "n3", "n4", "n5", "n6") { $0.isSilent = true }
    let waiting = Task { await code { try await first.sign("bob") } }
    try await eventually("it is in the database") { try await first.names().contains("bob") }
    await first.stop()
    #expect(await waiting.value == .unavailable)
    first.journals.change("n1", "n2", "n3", "n4", "n5", "n6") { $0.isSilent = false }
    let second = try await JournalledStore(first.journals, folder: try first.copyOfFolder(), secret: first.secret)
    let third = try await restored(second)
    #expect(try await third.names() == ["ada", "bob"])
    await third.stop()
  }

  @Test("a database that is an old copy is brought forward by the nodes' records")
  func databaseBehind() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    let copy = first.folder.path("copy")
    try await first.store.backUp(to: copy)
    try await first.sign("bob")
    await first.stop()
    let folder = try TemporaryFolder()
    try Directory.rename(copy, to: folder.path("metadata.db"))
    let second = try await JournalledStore(first.journals, folder: folder, secret: first.secret)
    #expect(try await second.names() == ["ada", "bob"])
    try await second.sign("cid")
    let third = try await restored(second)
    #expect(try await third.names() == ["ada", "bob", "cid"])
    await third.stop()
  }

  @Test("the former coordinator makes nothing safe after a restore, and its database is refused when it starts, which disturbs nobody")
  func fencedOut() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    let folder = try TemporaryFolder()
    _ = try await JournalledStore.recover(first.journals, into: folder, secret: first.secret)
    let second = try await JournalledStore(first.journals, folder: folder, secret: first.secret)
    try await second.sign("bob")
    #expect(await code { try await first.sign("cid") } == .unavailable)
    await first.stop()
    let old = try first.copyOfFolder()
    #expect(await code { _ = try await JournalledStore(first.journals, folder: old, secret: first.secret) } == .unusable)
    try await second.sign("dan")
    #expect(try await second.names() == ["ada", "bob", "dan"])
    let third = try await restored(second)
    #expect(try await third.names() == ["ada", "bob", "dan"])
    await third.stop()
  }

  @Test("a copy of the database of a coordinator that runs is not started beside it, and disturbs nothing", arguments: [false, true])
  func twin(isBehind: Bool) async throws {
    let first = try await fresh()
    try await first.sign("ada")
    let copy = try await first.copyWhileRunning()
    if isBehind { try await first.sign("bob") }
    let refused = await code {
      _ = try await JournalledStore(first.journals, folder: copy, secret: first.secret, quiet: .seconds(50))
    }
    #expect(refused == .unavailable)
    try await first.sign("cid")
    let second = try await restored(first)
    #expect(try await second.names().contains("cid"))
    await second.stop()
  }

  @Test("a former coordinator whose nodes have all left hears of the present ones from them, and is refused")
  func formerNodes() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    let folder = try TemporaryFolder()
    _ = try await JournalledStore.recover(first.journals, into: folder, secret: first.secret)
    // The restored cluster's journal is on one node of each zone, the former one knew the others.
    let (present, former) = (["n4", "n5", "n6"], ["n1", "n2", "n3"])
    let others = JournalledStore.everyone.filter { present.contains($0.node.text) }
    for name in former { first.journals.change(name) { $0.isSilent = true } }
    let second = try await JournalledStore(first.journals, folder: folder, secret: first.secret)
    second.journal.follow { others }
    try await second.sign("bob")
    for name in former { first.journals.change(name) { $0.isSilent = false } }
    await first.stop()
    let old = try first.copyOfFolder()
    let store = try await SQLMetadataStore.open(path: old.path("metadata.db"), identity: JournalledStore.identity)
    let journal = MetadataJournal(
      secret: first.secret, http: first.journals, time: SystemTime(), folder: old.path, logger: .none, quiet: .zero)
    let known = JournalledStore.everyone.filter { former.contains($0.node.text) }
    #expect(await code { try await journal.establish(store) { known } } == .unusable)
    await store.close()
    try await second.sign("cid")
    await second.stop()
  }

  @Test("a coordinator with a new database does not put its journal over the one that is there")
  func newDatabase() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    await first.stop()
    let folder = try TemporaryFolder()
    let refused = await code { _ = try await JournalledStore(first.journals, folder: folder, secret: first.secret, layout: true) }
    #expect(refused == .unusable)
    let second = try await restored(first)
    #expect(try await second.names() == ["ada"])
    await second.stop()
  }

  @Test("what was changed while the journal was off is in it when it is on again")
  func offAndOn() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    await first.stop()
    let folder = try first.copyOfFolder()
    let store = try await SQLMetadataStore.open(path: folder.path("metadata.db"), identity: JournalledStore.identity)
    try await store.leaveJournal()
    _ = try await store.createUser(name: "bob", password: "x", quota: nil)
    await store.close()
    let again = try TemporaryFolder()
    for name in ["metadata.db", "metadata.db-wal"] {
      if let bytes = try AtomicFile.read(folder.path(name), limit: 64 << 20) { try AtomicFile.write(again.path(name), bytes) }
    }
    let second = try await JournalledStore(first.journals, folder: again, secret: first.secret)
    try await second.sign("cid")
    let third = try await restored(second)
    #expect(try await third.names() == ["ada", "bob", "cid"])
    await third.stop()
  }

  @Test("what is sealed under an epoch that was taken out is restored with the newest keys, and soon nothing is")
  func rotation() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    let both = try first.secret.begun().advanced()
    let finished = try both.finished()
    let folder = try TemporaryFolder()
    _ = try await JournalledStore.recover(first.journals, into: folder, secret: finished)
    await first.stop()
    let second = try await JournalledStore(first.journals, folder: folder, secret: first.secret)
    second.journal.replace(secret: finished)
    try await second.sign("bob")
    let newest = ClusterSecret(keys: finished.keys)
    try await eventually(within: .seconds(60), "all is under the new epoch") {
      second.journals.nodes.withLock { $0.values.map(\.store) }.allSatisfy { store in
        (store.status().files ?? []).filter(\.isSnapshot).allSatisfy { file in
          guard let bytes = try? store.read(file.name, offset: 0, limit: 4 << 20) else { return false }
          var reader = SnapshotFormat.Reader(JournalCipher(keys: [(2, newest.journalKeys.current.key)]))
          return (try? reader.take(bytes) { _ in }) != nil
        }
      }
    }
    await second.stop()
    let after = try TemporaryFolder()
    _ = try await JournalledStore.recover(first.journals, into: after, secret: newest)
    let third = try await JournalledStore(first.journals, folder: after, secret: newest)
    #expect(try await third.names() == ["ada", "bob"])
    await third.stop()
  }

  @Test("a backup is restored while nodes have all that it names, and an older one only when a loss is accepted")
  func backupAge() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    let backup = first.folder.path("backup")
    try await first.store.backUp(to: backup)
    try await first.sign("bob")
    await first.stop()
    let seeds = FakeJournals.names.map { MetadataRecovery.Seed(node: NodeID($0)!, zone: nil, address: "http://\($0)") }
    func restore(hours: Int64, acceptsLoss: Bool) async throws -> TemporaryFolder {
      let folder = try TemporaryFolder()
      let later = ManualTime(wall: SystemTime().wall() + .seconds(hours * 3600))
      let recovery = MetadataRecovery(
        secret: first.secret, cluster: FakeJournals.cluster, folder: folder.path, http: first.journals, time: later,
        backupWindow: .seconds(24 * 3600))
      _ = try await recovery.run(.backup(backup), seeds: seeds, acceptsLoss: acceptsLoss)
      return folder
    }
    await #expect(throws: MetadataRecovery.Refused.self) { _ = try await restore(hours: 25, acceptsLoss: false) }
    _ = try await restore(hours: 25, acceptsLoss: true)
    let second = try await JournalledStore(first.journals, folder: try await restore(hours: 23, acceptsLoss: false), secret: first.secret)
    #expect(try await second.names() == ["ada"])
    #expect(try await second.store.garbageRecord().isUndoDue)
    try await second.store.finishGarbageUndo()
    #expect(try await second.store.garbageRecord().isUndoDue == false)
    await second.stop()
  }

  @Test("a node that leaves the layout is needed until others have what it had", .timeLimit(.minutes(2)))
  func leaving() async throws {
    let cluster = try await fresh()
    try await cluster.sign("ada")
    let member = try #require(FakeJournals.names.first { cluster.journal.needs(NodeID($0)!) })
    let left = JournalledStore.everyone.map { node in
      JournalNode(
        node: node.node, zone: FakeJournals.zone(node.node.text), address: "http://\(node.node)", isAlive: true,
        isInLayout: node.node.text != member)
    }
    cluster.journal.follow { left }
    try await eventually(within: .seconds(60), "it may go") { !cluster.journal.needs(NodeID(member)!) }
    cluster.journals.change(member) { $0.isSilent = true }
    let next = try await restored(cluster)
    #expect(try await next.names() == ["ada"])
    await next.stop()
  }

  @Test("nothing is restored while nodes of too many zones are silent, unless a loss is accepted")
  func silentNodes() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    await first.stop()
    first.journals.change("n1", "n2") { $0.isSilent = true }
    let folder = try TemporaryFolder()
    await #expect(throws: MetadataRecovery.Refused.self) {
      _ = try await JournalledStore.recover(first.journals, into: folder, secret: first.secret)
    }
    #expect(try Directory.attributes(folder.path("metadata.db")) == nil)
    _ = try await JournalledStore.recover(first.journals, into: folder, secret: first.secret, acceptsLoss: true)
    #expect(try Directory.attributes(folder.path("metadata.db")) != nil)
  }

  @Test("a database that is there is not replaced, and another cluster's secret opens nothing")
  func refusals() async throws {
    let first = try await fresh()
    try await first.sign("ada")
    await first.stop()
    await #expect(throws: MetadataRecovery.Refused.self) {
      _ = try await JournalledStore.recover(first.journals, into: first.folder, secret: first.secret)
    }
    let folder = try TemporaryFolder()
    await #expect(throws: (any Error).self) {
      _ = try await JournalledStore.recover(first.journals, into: folder, secret: .generate())
    }
    #expect(try Directory.attributes(folder.path("metadata.db")) == nil)
  }

  @Test("what lies on the nodes tells no names")
  func sealed() async throws {
    let cluster = try await fresh()
    try await cluster.sign("very-secret-name")
    await cluster.stop()
    for name in FakeJournals.names {
      let store = cluster.journals.nodes.withLock { $0[name]!.store }
      for file in store.status().files ?? [] {
        let bytes = try store.read(file.name, offset: 0, limit: 4 << 20)
        #expect(!bytes.contains(Array("very-secret-name".utf8)))
      }
    }
  }

  @Test("whatever messages, nodes and coordinators get lost, no acknowledged user is missing after the disk is gone", arguments: 0..<4)
  func random(round: Int) async throws {
    var random = Seeds.random("random \(round)")
    let journals = try FakeJournals(seed: random.next())
    let secret = ClusterSecret.generate()
    var cluster = try await JournalledStore(journals, folder: try TemporaryFolder(), secret: secret, layout: true)
    let acknowledged = Names()
    for step in 0..<12 {
      let victims = FakeJournals.names.filter { _ in Int.random(in: 0..<4, using: &random) == 0 }
      for name in FakeJournals.names {
        let (answers, messages) = (Int.random(in: 0...20, using: &random), Int.random(in: 0...20, using: &random))
        journals.change(name) { node in
          node.lostAnswers = answers
          node.lostMessages = messages
          node.isSilent = victims.first == name
        }
      }
      let present = cluster
      await withTaskGroup(of: Void.self) { group in
        for writer in 0..<6 {
          group.addTask {
            for number in 0..<5 {
              let name = "u-\(step)-\(writer)-\(number)"
              if (try? await present.sign(name)) != nil { acknowledged.add(name) }
            }
          }
        }
      }
      for name in FakeJournals.names {
        journals.change(name) { node in
          node.lostAnswers = 0
          node.lostMessages = 0
          node.isSilent = false
        }
      }
      for name in victims { journals.change(name) { $0.isSilent = true } }
      try await Task.sleep(for: .milliseconds(50))
      for name in victims { try journals.restartNode(name) }
      switch Int.random(in: 0..<3, using: &random) {
      case 0: cluster = try await again(cluster)
      case 1:
        let zone = ["a", "b", "c"][Int.random(in: 0..<3, using: &random)]
        let silent = FakeJournals.names.filter { FakeJournals.zone($0).text == zone }
        for name in silent { journals.change(name) { $0.isSilent = true } }
        await cluster.stop()
        let folder = try TemporaryFolder()
        _ = try await JournalledStore.recover(journals, into: folder, secret: secret)
        cluster = try await JournalledStore(journals, folder: folder, secret: secret)
        for name in silent { journals.change(name) { $0.isSilent = false } }
      default: break
      }
      let found = Set(try await cluster.names())
      let missing = acknowledged.all.filter { !found.contains($0) }
      #expect(missing.isEmpty, "step \(step)")
    }
    #expect(acknowledged.all.count > 100)
    await cluster.stop()
  }
}

/// Names that were acknowledged.
private final class Names: Sendable {
  private let names = Mutex<[String]>([])
  func add(_ name: String) { names.withLock { $0.append(name) } }
  var all: [String] { names.withLock { $0 } }
}
