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
    guard let entry = id.entry, let node = local[id], let other = remote[id], let was = synced[id] else { return }
    if node.kind != .folder, let content = node.content, content != other.content, content != was.content, other.content != was.content {
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

  // MARK: - Here

  private mutating func moveLocal(_ id: SyncNodeID, _ entry: EntryID, to target: SyncPlace) {
    guard local.hasFolder(target.parent), let above = local.ancestors(of: target), !above.contains(id) else { return }
    let occupants = [local.child(target), synced.child(target)].compactMap { $0 }.filter { $0 != id }
    guard occupants.isEmpty else {
      // Only what moves or goes itself will ever be out of the way; for anything else the plan has another answer.
      let isStuck = occupants.allSatisfy { planner.moves[$0] == .local || planner.localVerdicts[$0] == .wait }
      if isStuck { offer(.setAsideLocal(entry, to: SyncPlace(local.root, ReservedName.aside(entry))), local[id]) }
      return
    }
    if claimLocal(id, target) { operations.append(.moveLocal(entry, to: target)) }
  }

  // MARK: - There

  private mutating func moveRemote(_ id: SyncNodeID, _ entry: EntryID, _ node: SyncNode, to target: SyncPlace) {
    guard target.parent.entry != nil, remote.hasFolder(target.parent), let above = remote.ancestors(of: target), !above.contains(id) else {
      return
    }
    if let occupant = remote.child(target), occupant != id {
      if isLeaving(occupant) {
        offer(.setAsideRemote(entry, to: SyncPlace(remote.root, ReservedName.aside(entry))), remote[id])
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
    guard let node = local[id], node.place.parent.entry != nil, let occupant = remote.child(node.place), !isLeaving(occupant) else { return }
    // What is still being written may turn out to be the same, and what was synced there is sorted out first.
    guard node.content != nil, synced.child(node.place) == nil || local[occupant] != nil else { return }
    rename(id, node.place)
  }

  private mutating func rename(_ id: SyncNodeID, _ place: SyncPlace) {
    guard let name = freeName(for: place), claimLocal(id, SyncPlace(place.parent, name)) else { return }
    operations.append(.renameLocal(id, name: name))
  }

  private func freeName(for place: SyncPlace) -> String? {
    for attempt in 0..<1000 {
      let name = planner.naming.name(for: place.name, attempt: attempt)
      let target = SyncPlace(place.parent, name)
      if local.child(target) == nil, remote.child(target) == nil, synced.child(target) == nil, !here.places.contains(target) { return name }
    }
    return nil
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
