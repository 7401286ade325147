internal import BlockModel

/// The part of a plan that moves and renames.
///
/// What must hold: no operation changes the path of what another one of the same plan works on, so their order does not matter.
struct StructurePlan {
  private let planner: SyncPlanner
  private(set) var operations: [SyncOperation] = []
  /// What to do when nothing else can be done: takes one of those that are in each other's way out of it.
  private(set) var wayOut: SyncOperation?

  /// One side's folders that this plan moves, and the folders that paths of this plan go through.
  private struct Claims {
    var moved: Set<SyncNodeID> = []
    var passed: Set<SyncNodeID> = []
    var places: Set<SyncPlace> = []
  }

  private var here = Claims()
  private var there = Claims()

  init(_ planner: SyncPlanner) {
    self.planner = planner
    for id in planner.entries { consider(entry: id) }
    for id in planner.newcomers { consider(newcomer: id) }
  }

  private var local: SyncTree { planner.local }
  private var remote: SyncTree { planner.remote }
  private var synced: SyncTree { planner.synced }

  private mutating func consider(entry id: SyncNodeID) {
    guard let entry = id.entry, let other = remote[id] else { return }
    guard let node = local[id], let was = synced[id] else { return recover(id, entry, other) }
    // Set aside on both sides at once.
    if node.place == other.place, ReservedName.isAside(node.place.name) { return rename(id, node.place) }
    // What was set aside there gets its name first.
    let isAside = ReservedName.isReserved(other.place.name) && planner.moves[id] == .remote
    if !isAside, node.kind != .folder, let content = node.content, content != other.content, content != was.content,
      other.content != was.content
    {
      if let name = freeName(for: node.place), claimLocal(id, SyncPlace(node.place.parent, name)) {
        operations.append(.keepBoth(entry, name: name))
      }
      return
    }
    switch planner.moves[id] {
    case .local: moveLocal(id, entry, to: other.place)
    case .remote: moveRemote(id, entry, node, to: node.place)
    default: break
    }
  }

  /// A device set it aside and does not come back to it, and this one does not have it: it gets a name that everybody sees.
  private mutating func recover(_ id: SyncNodeID, _ entry: EntryID, _ node: SyncNode) {
    guard local[id] == nil, synced[id] == nil, planner.isAbandoned(id) else { return }
    guard let name = freeName(for: node.place), claimRemote(id, SyncPlace(node.place.parent, name)) else { return }
    operations.append(.moveRemote(entry, to: SyncPlace(node.place.parent, name)))
  }

  // MARK: - Here

  private mutating func moveLocal(_ id: SyncNodeID, _ entry: EntryID, to target: SyncPlace) {
    guard local.hasFolder(target.parent) else {
      // The folder that is missing may be waiting for a name that one of those has who wait for the folder, or for a name of one that was
      // deleted there and that waits until this entry has left it.
      if let place = StructurePlan.firstMissing(above: target, in: remote, for: local) {
        for occupant in [local.child(place), synced.child(place)].compactMap({ $0 }) {
          if planner.moves[occupant] == .local, let other = occupant.entry { offer(asideLocal(other), local[occupant]) }
          if planner.localVerdicts[occupant] != nil { offer(asideLocal(entry), local[id]) }
        }
      }
      return
    }
    guard let above = local.ancestors(of: target), !above.contains(id) else { return }
    let occupants = [local.child(target), synced.child(target)].compactMap { $0 }.filter { $0 != id }
    guard occupants.isEmpty else {
      // Only what moves or goes itself will ever be out of the way; for anything else the plan has another answer.
      let isStuck = occupants.allSatisfy { planner.moves[$0] == .local || planner.localVerdicts[$0].map { $0 != .delete } ?? false }
      if isStuck { offer(asideLocal(entry), local[id]) }
      return
    }
    if claimLocal(id, target) { operations.append(.moveLocal(entry, to: target)) }
  }

  // MARK: - There

  private mutating func moveRemote(_ id: SyncNodeID, _ entry: EntryID, _ node: SyncNode, to target: SyncPlace) {
    guard target.parent.entry != nil, remote.hasFolder(target.parent) else {
      if let place = StructurePlan.firstMissing(above: target, in: local, for: remote) {
        for occupant in [remote.child(place), synced.child(place)].compactMap({ $0 }) {
          if planner.moves[occupant] == .remote, let other = occupant.entry { offer(asideRemote(other), remote[occupant]) }
          if planner.remoteVerdicts[occupant] != nil { offer(asideRemote(entry), remote[id]) }
        }
      }
      return
    }
    guard let above = remote.ancestors(of: target), !above.contains(id) else { return }
    if let occupant = remote.child(target), occupant != id {
      if isLeaving(occupant) {
        offer(asideRemote(entry), remote[id])
      } else {
        rename(id, node.place)
      }
      return
    }
    if let occupant = synced.child(target), occupant != id { return }
    if claimRemote(id, target) { operations.append(.moveRemote(entry, to: target)) }
  }

  /// Whether our own operations will free its name in the remote tree.
  private func isLeaving(_ id: SyncNodeID) -> Bool {
    if planner.moves[id] == .remote { return true }
    return planner.remoteVerdicts[id].map { $0 != .keep } ?? false
  }

  private mutating func consider(newcomer id: SyncNodeID) {
    if let node = local[id], ReservedName.isReserved(node.place.name) { return rename(id, node.place) }
    guard let node = local[id], node.place.parent.entry != nil, let occupant = remote.child(node.place), !isLeaving(occupant) else {
      return
    }
    // What is still being written may turn out to be the same, and what was synced there is sorted out first.
    guard node.content != nil, synced.child(node.place) == nil || local[occupant] != nil else { return }
    rename(id, node.place)
  }

  private mutating func rename(_ id: SyncNodeID, _ place: SyncPlace) {
    guard let name = freeName(for: place), claimLocal(id, SyncPlace(place.parent, name)) else { return }
    operations.append(.renameLocal(id, name: name))
  }

  private func freeName(for place: SyncPlace) -> String? {
    // What was set aside and lost its name that way.
    let base = ReservedName.isReserved(place.name) ? "recovered" : place.name
    for attempt in 0..<1000 {
      let name = planner.naming.name(for: base, attempt: attempt)
      let target = SyncPlace(place.parent, name)
      if local.child(target) == nil, remote.child(target) == nil, synced.child(target) == nil, !here.places.contains(target),
        !there.places.contains(target)
      {
        return name
      }
    }
    return nil
  }

  /// The place of the topmost folder above `place` that one side has and the other lacks.
  private static func firstMissing(above place: SyncPlace, in tree: SyncTree, for other: SyncTree) -> SyncPlace? {
    guard let above = tree.ancestors(of: place) else { return nil }
    return above.last { !other.hasFolder($0) }.flatMap { tree[$0]?.place }
  }

  private func asideLocal(_ entry: EntryID) -> SyncOperation {
    .setAsideLocal(entry, to: SyncPlace(local.root, ReservedName.aside(entry)))
  }

  private func asideRemote(_ entry: EntryID) -> SyncOperation {
    .setAsideRemote(entry, to: SyncPlace(remote.root, ReservedName.aside(entry)))
  }

  private mutating func offer(_ way: SyncOperation, _ node: SyncNode?) {
    if wayOut == nil, let node, !ReservedName.isReserved(node.place.name) { wayOut = way }
  }

  // MARK: - Independence

  private mutating func claimLocal(_ id: SyncNodeID, _ target: SyncPlace) -> Bool {
    guard let source = local[id] else { return false }
    return StructurePlan.claim(id, from: source.place, to: target, in: local, &here)
  }

  private mutating func claimRemote(_ id: SyncNodeID, _ target: SyncPlace) -> Bool {
    guard let source = remote[id] else { return false }
    return StructurePlan.claim(id, from: source.place, to: target, in: remote, &there)
  }

  private static func claim(
    _ id: SyncNodeID, from source: SyncPlace, to target: SyncPlace, in tree: SyncTree, _ claims: inout Claims
  ) -> Bool {
    guard !claims.places.contains(target), !claims.passed.contains(id), let up = tree.ancestors(of: source),
      let down = tree.ancestors(of: target), !(up + down).contains(where: { claims.moved.contains($0) })
    else { return false }
    claims.moved.insert(id)
    claims.passed.formUnion(up + down)
    claims.places.insert(target)
    return true
  }
}
