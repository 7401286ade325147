import BlockModel
import ClusterLogic

/// Three trees in memory, and what the operations of a plan do to them. Contents are names of their own, so that none can go unnoticed.
struct SyncModel {
  struct Broken: Error, CustomStringConvertible { let description: String }

  static let root = SyncNodeID.entry(EntryID(high: 0, low: 1))
  var remote = SyncTree(root: root)
  var local = SyncTree(root: root)
  var synced = SyncTree(root: root)
  /// What somebody wrote and nobody replaced or deleted since.
  var mustSurvive: Set<SyncContent> = []
  private var next = 2
  /// 2026-11-21 09:30:15.
  let naming = ConflictNaming(device: "laptop", at: WallTime(seconds: 1_795_253_415))

  mutating func number() -> Int {
    next += 1
    return next
  }

  mutating func newEntry() -> SyncNodeID { .entry(EntryID(high: 0, low: UInt64(number()))) }
  mutating func newContent() -> SyncContent { SyncContent("content \(number())") }

  /// What is set aside in the cluster is nobody else's here: once nothing else is left to do, it is taken for abandoned.
  func plan() -> [SyncOperation] {
    let plan = plan(abandoned: [])
    guard plan.isEmpty else { return plan }
    return self.plan(
      abandoned: Set(remote.sortedIDs.filter { remote[$0].map { ReservedName.isAside($0.place.name) } ?? false }.compactMap(\.entry)))
  }

  func plan(abandoned: Set<EntryID>) -> [SyncOperation] {
    SyncPlanner.plan(remote: remote, local: local, synced: synced, naming: naming, abandoned: abandoned)
  }

  // MARK: - What an operation does

  mutating func apply(_ operation: SyncOperation) throws {
    switch operation {
    case .accept(let entry):
      let id = SyncNodeID.entry(entry)
      guard let agreed = SyncPlanner.agreed(entry, local: try have(local, id), remote: try have(remote, id), synced: synced) else {
        throw Broken(description: "nothing to accept")
      }
      synced.insert(id, agreed)
    case .bind(let number, let entry):
      rename(.new(number), to: .entry(entry))
      synced.insert(.entry(entry), try have(local, .entry(entry)))
    case .forget(let entry): synced.remove(.entry(entry))
    case .unbind(let entry):
      synced.remove(.entry(entry))
      rename(.entry(entry), to: .new(number()))
    case .moveLocal(let entry, let place), .setAsideLocal(let entry, let place):
      try SyncModel.move(.entry(entry), to: place, in: &local)
      try moveSynced(entry, to: place)
    case .moveRemote(let entry, let place), .setAsideRemote(let entry, let place):
      try SyncModel.move(.entry(entry), to: place, in: &remote)
      try moveSynced(entry, to: place)
    case .keepBoth(let entry, let name):
      let node = try have(local, .entry(entry))
      try SyncModel.move(.entry(entry), to: SyncPlace(node.place.parent, name), in: &local)
      rename(.entry(entry), to: .new(number()))
      synced.remove(.entry(entry))
    case .renameLocal(let id, let name):
      try SyncModel.move(id, to: SyncPlace(try have(local, id).place.parent, name), in: &local)
    case .makeLocalFolder(let entry): try copyHere(entry)
    case .download(let entry): try copyHere(entry)
    case .makeRemoteFolder(let number): try copyThere(.new(number))
    case .upload(let id): try copyThere(id)
    case .setLocalAttributes(let entry):
      let there = try have(remote, .entry(entry))
      for tree in [\SyncModel.local, \.synced] { self[keyPath: tree].update(.entry(entry)) { SyncModel.copyAttributes(there, &$0) } }
    case .setRemoteAttributes(let entry):
      let here = try have(local, .entry(entry))
      for tree in [\SyncModel.remote, \.synced] { self[keyPath: tree].update(.entry(entry)) { SyncModel.copyAttributes(here, &$0) } }
    case .deleteLocal(let entries): for entry in entries { try remove(entry, \.local) }
    case .deleteRemote(let entries): for entry in entries { try remove(entry, \.remote) }
    }
  }

  private static func copyAttributes(_ source: SyncNode, _ target: inout SyncNode) {
    target.executable = source.executable
    target.modified = source.modified
  }

  private func have(_ tree: SyncTree, _ id: SyncNodeID) throws -> SyncNode {
    guard let node = tree[id] else { throw Broken(description: "\(id) is not there") }
    return node
  }

  private mutating func moveSynced(_ entry: EntryID, to place: SyncPlace) throws {
    guard var node = synced[.entry(entry)] else { return }
    node.place = place
    if let other = synced.child(place), other != .entry(entry) { throw Broken(description: "two were last synced at one place") }
    synced.insert(.entry(entry), node)
  }

  static func move(_ id: SyncNodeID, to place: SyncPlace, in tree: inout SyncTree) throws {
    guard var node = tree[id] else { throw Broken(description: "\(id) is not there to be moved") }
    guard tree.hasFolder(place.parent), let above = tree.ancestors(of: place), !above.contains(id) else {
      throw Broken(description: "\(id) cannot go into \(place.parent)")
    }
    if let other = tree.child(place), other != id { throw Broken(description: "\(place.name) is taken") }
    node.place = place
    tree.insert(id, node)
  }

  /// What is under `id` in the local tree is called `other` from now on.
  mutating func rename(_ id: SyncNodeID, to other: SyncNodeID) {
    guard let node = local[id] else { return }
    let children = local.children(of: id)
    local.remove(id)
    local.insert(other, node)
    for child in children { local.update(child) { $0.place.parent = other } }
  }

  private mutating func copyHere(_ entry: EntryID) throws {
    let id = SyncNodeID.entry(entry)
    var node = try have(remote, id)
    if let here = local[id] {
      node.place = here.place
      guard var was = synced[id] else { throw Broken(description: "what is replaced was never synced") }
      guard here.content == was.content else { throw Broken(description: "an edit is overwritten") }
      (was.content, was.executable, was.modified) = (node.content, node.executable, node.modified)
      synced.insert(id, was)
    } else {
      if local.child(node.place) != nil { throw Broken(description: "something local is overwritten") }
      guard local.hasFolder(node.place.parent) else { throw Broken(description: "the folder is missing here") }
      synced.insert(id, node)
    }
    local.insert(id, node)
  }

  private mutating func copyThere(_ id: SyncNodeID) throws {
    var node = try have(local, id)
    node.version = Int64(number())
    if case .new = id {
      if remote.child(node.place) != nil { throw Broken(description: "something remote is overwritten") }
      guard remote.hasFolder(node.place.parent) else { throw Broken(description: "the folder is missing there") }
      let entry = newEntry()
      rename(id, to: entry)
      remote.insert(entry, node)
      synced.insert(entry, node)
    } else {
      guard var was = synced[id] else { throw Broken(description: "what is replaced was never synced") }
      let there = try have(remote, id)
      guard there.content == was.content else { throw Broken(description: "somebody's edit is overwritten") }
      node.place = there.place
      (was.content, was.executable, was.modified) = (node.content, node.executable, node.modified)
      synced.insert(id, was)
      remote.insert(id, node)
    }
  }

  private mutating func remove(_ entry: EntryID, _ tree: WritableKeyPath<SyncModel, SyncTree>) throws {
    let id = SyncNodeID.entry(entry)
    _ = try have(self[keyPath: tree], id)
    guard !self[keyPath: tree].hasChildren(id) else { throw Broken(description: "a folder is deleted that is not empty") }
    self[keyPath: tree].remove(id)
    synced.remove(id)
  }

  // MARK: - The end

  /// The three trees, a thing a line.
  var text: String {
    var lines: [String] = []
    for (name, tree) in [("remote", remote), ("local", local), ("synced", synced)] {
      lines.append(name)
      for id in tree.sortedIDs {
        guard let node = tree[id] else { continue }
        lines.append(
          "  \(SyncModel.short(id)) in \(SyncModel.short(node.place.parent)): \(node.place.name) \(node.kind) \(node.content ?? "?")")
      }
    }
    return lines.joined(separator: "\n")
  }

  private static func short(_ id: SyncNodeID) -> String { id.entry.map { "\($0.low)" } ?? "\(id)" }

  /// What is wrong with a model whose plan is empty; nil when nothing is.
  func complaint() -> String? {
    for (name, tree) in [("local", local), ("synced", synced)] {
      guard tree.sortedIDs == remote.sortedIDs else { return "\(name) has other things than remote" }
      for id in remote.sortedIDs {
        guard let there = remote[id], let other = tree[id] else { continue }
        guard there.place == other.place, there.kind == other.kind, there.content == other.content, there.executable == other.executable,
          there.modified == other.modified
        else { return "\(name) has \(other), and remote \(there)" }
      }
    }
    for id in remote.sortedIDs {
      guard let names = remote.names(of: id) else { return "\(id) hangs in the air" }
      if names.contains(where: ReservedName.isReserved) { return "\(names) has a reserved name" }
    }
    let there = Set(remote.sortedIDs.compactMap { remote[$0]?.content })
    let lost = mustSurvive.subtracting(there).map(\.text).sorted()
    return lost.isEmpty ? nil : "lost: \(lost)"
  }
}
