import BlockModel
import ClusterLogic
import Platform
import SyncAgent
import Synchronization

/// What goes wrong on one device, and what its user does meanwhile; all from one seed.
final class SimulatedMachine: Sendable {
  struct State {
    var random: SeededRandom
    var isCrashed = false
    /// Out of a thousand calls.
    var crashes = 0
    var failures = 0
    var interruptions = 0
    var disk = SimulatedDisk()
    /// Nil when the disk is unplugged.
    var rootIdentity: String? = "root"
  }

  let state: Mutex<State>
  let time: ManualTime
  let people: People

  init(seed: UInt64, time: ManualTime, people: People) {
    state = Mutex(State(random: SeededRandom(seed: seed)))
    (self.time, self.people) = (time, people)
  }

  static let down = SyncError(.unavailable, "The simulated machine is down.")

  private func happens(_ rate: KeyPath<State, Int>) -> Bool {
    state.withLock { state in
      let limit = state[keyPath: rate]
      return limit > 0 && Int.random(in: 0..<1000, using: &state.random) < limit
    }
  }

  /// Before each call of the agent: time passes, the user does something, the process dies.
  func tick() throws(SyncError) {
    if state.withLock({ $0.isCrashed }) { throw Self.down }
    time.advance(by: .milliseconds(3))
    if happens(\.interruptions) { act() }
    if happens(\.crashes) {
      state.withLock { $0.isCrashed = true }
      throw Self.down
    }
  }

  /// Whether a message gets lost.
  func losesMessage() -> Bool { happens(\.failures) }

  func restart() { state.withLock { $0.isCrashed = false } }

  func quieten() { state.withLock { ($0.crashes, $0.failures, $0.interruptions, $0.isCrashed) = (0, 0, 0, false) } }

  /// The user of this machine does something.
  func act() {
    let now = time.wall().microseconds * 1000
    state.withLock { state in people.act(on: &state.disk, now: now, &state.random) }
  }

  func withDisk<T>(_ body: (inout SimulatedDisk, Int64) throws(SyncError) -> T) throws(SyncError) -> T {
    try tick()
    let now = time.wall().microseconds * 1000
    let result = state.withLock { state -> Result<T, SyncError> in
      do throws(SyncError) { return .success(try body(&state.disk, now)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

/// What the users do with their folders, and what must not get lost of it.
final class People: Sendable {
  private struct Memory {
    var mustSurvive: Set<String> = []
    var next = 0
  }

  private let memory = Mutex(Memory())
  private let names: [String]

  /// - Parameter clash: whether they give things names that differ in case alone.
  init(clash: Bool = false) { names = ["a", "b", "c.txt", "d", "e"] + (clash ? ["A", "C.txt", "c.TXT", "D"] : []) }

  var mustSurvive: Set<String> { memory.withLock { $0.mustSurvive } }

  private func write() -> String {
    memory.withLock { memory in
      memory.next += 1
      let content = "content \(memory.next)"
      memory.mustSurvive.insert(content)
      return content
    }
  }

  private func give(up contents: [String]) { memory.withLock { $0.mustSurvive.subtract(contents) } }

  func act(on disk: inout SimulatedDisk, now: Int64, _ random: inout SeededRandom) {
    let all = disk.paths.filter { !$0.contains(ReservedName.prefix) }
    let folders = [""] + all.filter { disk.item($0)?.kind == .folder }
    let name = names.randomElement(using: &random) ?? "a"
    let target = SimulatedDisk.join(folders.randomElement(using: &random) ?? "", name)
    guard let path = all.randomElement(using: &random), let item = disk.item(path) else { return create(target, &disk, now, &random) }
    switch Int.random(in: 0..<10, using: &random) {
    case 0, 1, 2: create(target, &disk, now, &random)
    case 3, 4:
      guard item.kind == .file else { return }
      give(up: disk.contents(below: path))
      // In place, or as most editors save.
      disk.write(path, write(), now: now, anew: Bool.random(using: &random))
    case 5:
      guard item.kind == .file else { return }
      disk.setAttributes(path, executable: !item.executable, modified: now, now: now)
    case 6, 7, 8:
      guard disk.item(target) == nil || disk.isItself(path, target) else { return }
      disk.move(path, to: target, now: now)
    default:
      give(up: disk.contents(below: path))
      disk.removeTree(path)
    }
  }

  private func create(_ path: String, _ disk: inout SimulatedDisk, _ now: Int64, _ random: inout SeededRandom) {
    guard disk.item(path) == nil else { return }
    switch Int.random(in: 0..<6, using: &random) {
    case 0, 1: disk.makeFolder(path, now: now)
    case 2: disk.makeSymlink(path, target: write(), now: now)
    default: disk.write(path, write(), now: now, anew: true)
    }
  }
}

/// A file system in memory. A file's content is its own hash.
struct SimulatedDisk {
  private struct Node {
    /// With the case that it was given.
    var path: String
    var kind: FolderItem.Kind
    var inode: UInt64
    var content = ""
    var modified: Int64
    var changed: Int64
    var executable = false
  }

  /// By `key`.
  private var nodes: [String: Node] = [:]
  /// Whether it takes names that differ in case alone for one.
  var foldsCase = false
  /// What programs have open for writing.
  var writing: Set<String> = []
  private var nextInode: UInt64 = 1
  private var lastChange: Int64 = 0

  static func join(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : folder + "/" + name }
  static func parent(of path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }

  var paths: [String] { nodes.values.map(\.path).sorted() }

  private func key(_ path: String) -> String { foldsCase ? path.lowercased() : path }
  private func isBelow(_ path: String, _ folder: String) -> Bool { key(path).hasPrefix(key(folder) + "/") }
  /// Whether two paths are different names of one thing.
  func isItself(_ path: String, _ other: String) -> Bool { path != other && key(path) == key(other) }

  /// No two changes have one time, as on a file system with times fine enough.
  private mutating func stamp(_ now: Int64) -> Int64 {
    lastChange = max(now, lastChange + 1)
    return lastChange
  }

  func item(_ path: String) -> FolderItem? {
    guard let node = nodes[key(path)] else { return nil }
    return FolderItem(
      name: path.split(separator: "/").last.map(String.init) ?? "", kind: node.kind,
      identity: LocalIdentity(
        inode: node.inode, size: Int64(node.content.utf8.count), modified: node.modified, changed: node.changed),
      executable: node.executable, target: node.kind == .symlink ? node.content : nil)
  }

  func content(_ path: String) -> String? { nodes[key(path)].flatMap { $0.kind == .folder ? nil : $0.content } }
  func contents(below path: String) -> [String] {
    paths.filter { key($0) == key(path) || isBelow($0, path) }.compactMap { content($0) }
  }

  func list(_ path: String) -> [FolderItem]? {
    if path != "", nodes[key(path)]?.kind != .folder { return nil }
    return paths.filter { key(Self.parent(of: $0)) == key(path) }.compactMap { item($0) }
  }

  func hasFolder(_ path: String) -> Bool { path == "" || nodes[key(path)]?.kind == .folder }

  private mutating func insert(_ path: String, _ kind: FolderItem.Kind, _ content: String, _ now: Int64) {
    guard hasFolder(Self.parent(of: path)) else { return }
    nextInode += 1
    // What is replaced keeps its name.
    nodes[key(path)] = Node(
      path: nodes[key(path)]?.path ?? real(path), kind: kind, inode: nextInode, content: content, modified: stamp(now), changed: stamp(now))
  }

  /// A path with its folders as they are written.
  private func real(_ path: String) -> String {
    let parent = Self.parent(of: path)
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    return Self.join(parent.isEmpty ? "" : nodes[key(parent)]?.path ?? parent, name)
  }

  mutating func makeFolder(_ path: String, now: Int64) { insert(path, .folder, "", now) }
  mutating func makeSymlink(_ path: String, target: String, now: Int64) { insert(path, .symlink, target, now) }

  mutating func write(_ path: String, _ content: String, now: Int64, anew: Bool) {
    let was = nodes[key(path)]
    if was == nil || anew {
      insert(path, .file, content, now)
      if let was { nodes[key(path)]?.executable = was.executable }
    } else {
      let time = stamp(now)
      nodes[key(path)]?.content = content
      nodes[key(path)]?.modified = time
      nodes[key(path)]?.changed = time
    }
  }

  mutating func setAttributes(_ path: String, executable: Bool, modified: Int64, now: Int64) {
    let time = stamp(now)
    nodes[key(path)]?.executable = executable
    nodes[key(path)]?.modified = modified
    nodes[key(path)]?.changed = time
  }

  /// With all below it; nothing when the target is inside, or its folder missing.
  mutating func move(_ path: String, to target: String, now: Int64) {
    guard path != target, !isBelow(target, path), hasFolder(Self.parent(of: target)) else { return }
    let target = real(target)
    for below in paths where key(below) == key(path) || isBelow(below, path) {
      guard var node = nodes.removeValue(forKey: key(below)) else { continue }
      node.path = target + below.dropFirst(path.count)
      nodes[key(node.path)] = node
    }
    let time = stamp(now)
    nodes[key(target)]?.changed = time
  }

  mutating func exchange(_ a: String, _ b: String, now: Int64) {
    guard let first = nodes[key(a)], let second = nodes[key(b)] else { return }
    (nodes[key(a)], nodes[key(b)]) = (second, first)
    nodes[key(a)]?.path = first.path
    nodes[key(b)]?.path = second.path
    let time = stamp(now)
    nodes[key(a)]?.changed = time
    nodes[key(b)]?.changed = time
  }

  mutating func removeTree(_ path: String) {
    for below in paths where key(below) == key(path) || isBelow(below, path) { nodes[key(below)] = nil }
  }

  /// Path, kind, content and executable bit of everything.
  var summary: [String] {
    paths.compactMap { path in
      nodes[key(path)].map { "\(path) \($0.kind) \($0.content)\($0.executable ? " x" : "")\($0.kind == .file ? " \($0.modified)" : "")" }
    }
  }
}

/// The agent's view of a simulated disk.
struct SimulatedFolder: SyncFolder {
  let machine: SimulatedMachine

  private static func stale(_ path: String) -> SyncError { SyncError(.stale, "\(path) is not what it was.") }

  func rootIdentity() throws(SyncError) -> String? { machine.state.withLock { $0.rootIdentity } }
  func foldsCase() throws(SyncError) -> Bool { machine.state.withLock { $0.disk.foldsCase } }
  func list(_ path: String) throws(SyncError) -> [FolderItem] {
    try machine.withDisk { disk, _ throws(SyncError) in
      guard let items = disk.list(path) else { throw Self.stale(path) }
      return items
    }
  }
  func item(_ path: String) throws(SyncError) -> FolderItem? { try machine.withDisk { disk, _ throws(SyncError) in disk.item(path) } }

  func hasWriter(_ path: String) throws(SyncError) -> Bool? {
    try machine.withDisk { disk, _ throws(SyncError) in
      guard disk.item(path) != nil else { throw Self.stale(path) }
      return disk.writing.contains(path)
    }
  }

  func contentHash(_ path: String, expecting: LocalIdentity) throws(SyncError) -> SyncContent {
    try machine.withDisk { disk, _ throws(SyncError) in
      guard disk.item(path)?.identity == expecting, let content = disk.content(path) else { throw Self.stale(path) }
      return SyncContent(content)
    }
  }

  func text(_ path: String, limit: Int) throws(SyncError) -> String? {
    try machine.withDisk { disk, _ throws(SyncError) in disk.content(path) }
  }

  func makeFolder(_ path: String) throws(SyncError) {
    try machine.withDisk { disk, now throws(SyncError) in
      guard disk.item(path) == nil, disk.hasFolder(SimulatedDisk.parent(of: path)) else { throw Self.stale(path) }
      disk.makeFolder(path, now: now)
    }
  }

  func makeSymlink(_ path: String, target: String) throws(SyncError) {
    try machine.withDisk { disk, now throws(SyncError) in
      guard disk.item(path) == nil, disk.hasFolder(SimulatedDisk.parent(of: path)) else { throw Self.stale(path) }
      disk.makeSymlink(path, target: target, now: now)
    }
  }

  func move(_ path: String, to other: String) throws(SyncError) {
    try machine.withDisk { disk, now throws(SyncError) in
      guard disk.item(path) != nil, disk.item(other) == nil || disk.isItself(path, other),
        disk.hasFolder(SimulatedDisk.parent(of: other)), !other.hasPrefix(path + "/")
      else { throw Self.stale(path) }
      disk.move(path, to: other, now: now)
    }
  }

  func place(_ part: String, at path: String, expecting: FolderItem?) throws(SyncError) {
    try machine.withDisk { disk, now throws(SyncError) in
      guard disk.item(part) != nil, disk.item(path) == expecting, disk.hasFolder(SimulatedDisk.parent(of: path)) else {
        throw Self.stale(path)
      }
      if expecting != nil {
        disk.exchange(part, path, now: now)
        disk.removeTree(part)
      } else {
        disk.move(part, to: path, now: now)
      }
    }
  }

  func setAttributes(_ path: String, executable: Bool, modified: Int64, expecting: FolderItem) throws(SyncError) {
    try machine.withDisk { disk, now throws(SyncError) in
      guard disk.item(path) == expecting else { throw Self.stale(path) }
      disk.setAttributes(path, executable: executable, modified: modified, now: now)
    }
  }

  func remove(_ path: String, expecting: FolderItem) throws(SyncError) {
    try machine.withDisk { disk, _ throws(SyncError) in
      guard disk.item(path) == expecting, disk.list(path)?.isEmpty ?? true else { throw Self.stale(path) }
      disk.removeTree(path)
    }
  }

  func sync() throws(SyncError) { try machine.tick() }
}

/// The agent's memory; what was applied is durable.
final class SimulatedState: SyncState {
  private let memory = Mutex<SyncMemory?>(nil)
  let machine: SimulatedMachine

  init(machine: SimulatedMachine) { self.machine = machine }

  func load() throws(SyncError) -> SyncMemory? { memory.withLock { $0 } }
  func begin(root: EntryID, remotePath: String) throws(SyncError) {
    try machine.tick()
    memory.withLock { $0 = SyncMemory(root: root, remotePath: remotePath) }
  }
  func apply(_ changes: [SyncChange]) throws(SyncError) {
    try machine.tick()
    memory.withLock { $0?.apply(changes) }
    // And the process may die with the answer.
    try machine.tick()
  }
}
