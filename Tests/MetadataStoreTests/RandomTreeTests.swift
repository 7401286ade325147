import BlockModel
import MetadataStore
import ServiceAPI
import TestSupport
import Testing

@Suite("Random trees")
struct RandomTreeTests {
  /// A tree as a dictionary: what the store has to agree with.
  private struct Model {
    enum Node: Equatable { case folder, file(UInt64) }
    var nodes: [String: Node] = [:]

    func isFolder(_ path: String) -> Bool { path == "/" || nodes[path] == .folder }
    static func parent(_ path: String) -> String {
      let cut = path.lastIndex(of: "/")!
      return cut == path.startIndex ? "/" : String(path[..<cut])
    }
    func below(_ path: String) -> [String] { nodes.keys.filter { $0.hasPrefix(path + "/") } }

    /// Makes missing folders above `path`; false when something else is in the way.
    mutating func makeParents(_ path: String) -> Bool {
      let parent = Model.parent(path)
      if isFolder(parent) { return true }
      guard nodes[parent] == nil, makeParents(parent) else { return false }
      nodes[parent] = .folder
      return true
    }

    mutating func put(_ path: String, _ content: UInt64) -> Bool {
      if nodes[path] == .folder { return false }
      var copy = self
      guard copy.makeParents(path) else { return false }
      copy.nodes[path] = .file(content)
      self = copy
      return true
    }

    mutating func makeFolder(_ path: String) -> Bool {
      if let node = nodes[path] { return node == .folder }
      var copy = self
      guard copy.makeParents(path) else { return false }
      copy.nodes[path] = .folder
      self = copy
      return true
    }

    mutating func transfer(_ from: String, _ to: String, keeping: Bool) -> Bool {
      guard let node = nodes[from] else { return false }
      if !keeping, from == to { return true }
      guard isFolder(Model.parent(to)), nodes[to] == nil, !(node == .folder && (to + "/").hasPrefix(from + "/")) else { return false }
      for path in below(from) { nodes[to + path.dropFirst(from.count)] = nodes[path] }
      nodes[to] = node
      if !keeping { _ = delete(from) }
      return true
    }

    mutating func delete(_ path: String) -> Bool {
      guard nodes[path] != nil else { return false }
      for path in below(path) { nodes[path] = nil }
      nodes[path] = nil
      return true
    }
  }

  @Test(
    "any sequence of operations does what a dictionary would, and replaying the feed gives the listing", arguments: Engine.allCases,
    0..<6)
  func agreement(engine: Engine, round: Int) async throws {
    var random = Seeds.random("agreement \(round)")
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    var model = Model()
    for step in 0..<150 {
      let (path, other) = (Self.path(&random), Self.path(&random))
      let (expected, operation) = Self.draw(&random, path, other, &model)
      var succeeded = true
      do { try await operation(fixture, ada) } catch let error as MetadataError where error.problem != nil { succeeded = false }
      #expect(succeeded == expected, "step \(step): \(path) \(other)")
      if step % 50 == 49 { try await compare(model, fixture, ada) }
    }
  }

  private typealias Operation = @Sendable (Fixture, Principal) async throws -> Void

  private static func path(_ random: inout SeededRandom) -> String {
    (0..<Int.random(in: 1...4, using: &random)).map { _ in "/" + ["a", "b", "caf\u{e9}"].randomElement(using: &random)! }.joined()
  }

  private static func draw(
    _ random: inout SeededRandom, _ path: String, _ other: String, _ model: inout Model
  ) -> (Bool, Operation) {
    let content = UInt64.random(in: 1...8, using: &random)
    switch Int.random(in: 0..<10, using: &random) {
    case 0...3:
      return (
        model.put(path, content),
        { fixture, ada in
          try await fixture.put(
            path, content < 6 ? [Fixture.block(content)] : Fixture.blocks(Array(1...content)), as: ada, policy: .overwrite)
        }
      )
    case 4: return (model.makeFolder(path), { fixture, ada in _ = try await fixture.folder(path, as: ada) })
    case 5, 6:
      return (
        model.transfer(path, other, keeping: false),
        { fixture, ada in
          _ = try await fixture.store.updateEntry(
            .init(entry: .path(path), newPath: other, modifiedAt: nil, executable: nil, ifVersion: nil), for: ada)
        }
      )
    case 7:
      return (
        model.transfer(path, other, keeping: true),
        { fixture, ada in _ = try await fixture.store.copyEntry(.init(entry: .path(path), newPath: other), for: ada, once: nil) }
      )
    default:
      let forever = Bool.random(using: &random)
      return (
        model.delete(path),
        { fixture, ada in
          try await fixture.store.deleteEntry(
            .init(entry: .path(path), forever: forever, recursive: true, ifVersion: nil), for: ada)
        }
      )
    }
  }

  private func compare(_ model: Model, _ fixture: Fixture, _ ada: Principal) async throws {
    let listed = try await fixture.entries(of: ada, pageSize: 5)
    #expect(Set(listed.map(\.path)) == Set(model.nodes.keys))
    for entry in listed { #expect((entry.kind == .folder) == (model.nodes[entry.path] == .folder), "\(entry.path)") }
    let replayed = try await replay(fixture, ada)
    #expect(replayed == Dictionary(uniqueKeysWithValues: listed.map { ($0.path, $0) }))
    try await fixture.expectSound()
  }

  /// What a client does that knows nothing but the feed.
  private func replay(_ fixture: Fixture, _ ada: Principal) async throws -> [String: FileEntry] {
    var entries: [String: FileEntry] = [:]
    var cursor: String?
    var next: Int64 = 1
    while true {
      let page = try await fixture.store.changes(since: cursor, limit: 7, for: ada)
      for change in page.changes {
        #expect(change.sequence == next, "the feed is gapless")
        next += 1
        Self.apply(change, to: &entries)
      }
      cursor = page.cursor
      if !page.hasMore { return entries }
    }
  }

  private static func apply(_ change: Change, to entries: inout [String: FileEntry]) {
    switch change.action {
    case .created, .modified, .entered: entries[change.entry.path] = change.entry
    case .deleted, .left:
      for path in entries.keys where path == change.entry.path || path.hasPrefix(change.entry.path + "/") { entries[path] = nil }
    case .moved:
      guard let old = change.oldPath else { return }
      for path in entries.keys where path.hasPrefix(old + "/") {
        guard var entry = entries.removeValue(forKey: path) else { continue }
        entry.path = change.entry.path + path.dropFirst(old.count)
        entries[entry.path] = entry
      }
      entries[old] = nil
      entries[change.entry.path] = change.entry
    }
  }

  @Test("many tasks at once leave counts, feed and listing in agreement", arguments: Engine.allCases)
  func concurrency(engine: Engine) async throws {
    let seed = Seeds.next()
    let fixture = try await Fixture(engine)
    let users = [try await fixture.user("ada"), try await fixture.user("bob")]
    await withTaskGroup(of: Void.self) { group in
      for task in 0..<16 {
        group.addTask {
          var random = SeededRandom(seed: seed &+ UInt64(task))
          var model = Model()
          for _ in 0..<40 {
            let (path, other) = (Self.path(&random), Self.path(&random))
            let (_, operation) = Self.draw(&random, path, other, &model)
            do { try await operation(fixture, users[task % 2]) } catch {
              #expect((error as? MetadataError)?.problem.map { $0.kind != .internalError } ?? false, "\(error)")
            }
          }
        }
      }
    }
    for user in users {
      let listed = try await fixture.entries(of: user)
      #expect(try await replay(fixture, user) == Dictionary(uniqueKeysWithValues: listed.map { ($0.path, $0) }))
    }
    try await fixture.expectSound()
  }
}
