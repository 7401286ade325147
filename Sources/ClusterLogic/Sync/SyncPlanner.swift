package import BlockModel

/// Plans how two trees become one, from what both were when they last agreed.
///
/// What must hold:
/// - The operations of one plan may be done in any order, all or some of them. What comes after them is another plan from the trees as they
///   are then; the work is done when a plan is empty.
/// - No content that only one side has is overwritten or deleted: an edit beats a deletion, and of two edits both are kept.
/// - The remote side wins where both moved, so all devices come to the same tree.
///
/// The three trees and the division into a planner and an executor are those of Dropbox's sync engine ("Rewriting the heart of our sync
/// engine", 2020).
package struct SyncPlanner {
  /// Where an entry that all three trees have is to go.
  enum Move { case stay, local, remote }
  /// What becomes of an entry that one side deleted.
  enum Verdict {
    case delete, keep
    /// Something in it is about to move out.
    case wait
  }

  let remote: SyncTree
  let local: SyncTree
  let synced: SyncTree
  let naming: ConflictNaming
  /// Set aside in the cluster by a device that does not come back to it.
  let abandoned: Set<EntryID>
  var moves: [SyncNodeID: Move] = [:]
  var remoteVerdicts: [SyncNodeID: Verdict] = [:]
  var localVerdicts: [SyncNodeID: Verdict] = [:]
  /// Entries of any tree in which the three are not in step, then what is new here.
  let entries: [SyncNodeID]
  let newcomers: [SyncNodeID]

  private init(remote: SyncTree, local: SyncTree, synced: SyncTree, naming: ConflictNaming, abandoned: Set<EntryID>) {
    precondition(remote.root == local.root && remote.root == synced.root, "the three trees are of one folder")
    self.remote = remote
    self.local = local
    self.synced = synced
    self.naming = naming
    self.abandoned = abandoned
    var entries: [SyncNodeID] = []
    var newcomers: [SyncNodeID] = []
    remote.forEach { id, there in if !SyncPlanner.isInStep(local[id], there, synced[id]) { entries.append(id) } }
    synced.forEach { id, _ in if remote[id] == nil { entries.append(id) } }
    local.forEach { id, _ in
      if id.entry == nil { newcomers.append(id) } else if remote[id] == nil, synced[id] == nil { entries.append(id) }
    }
    self.entries = entries.sorted()
    self.newcomers = newcomers.sorted()
  }

  /// Whether there is nothing to do about an entry: all three trees say the same of it, but for what only one of them knows.
  private static func isInStep(_ local: SyncNode?, _ remote: SyncNode, _ synced: SyncNode?) -> Bool {
    guard let local, let synced else { return false }
    if local.isShared(with: synced), synced.isShared(with: remote) { return !ReservedName.isReserved(local.place.name) }
    guard local.place == remote.place, local.place == synced.place, local.kind == remote.kind,
      local.kind == synced.kind, local.content == remote.content, local.content == synced.content, synced.size == remote.size
    else { return false }
    return local.executable == remote.executable && local.executable == synced.executable && local.modified == remote.modified
      && local.modified == synced.modified && !ReservedName.isReserved(local.place.name)
  }

  /// What can be done now; empty when there is nothing to do, or nothing before somebody stops writing to a file.
  ///
  /// - Parameter abandoned: what was set aside in the cluster so long ago that nobody can be in the middle of moving it.
  package static func plan(
    remote: SyncTree, local: SyncTree, synced: SyncTree, naming: ConflictNaming, abandoned: Set<EntryID>
  ) -> [SyncOperation] {
    var planner = SyncPlanner(remote: remote, local: local, synced: synced, naming: naming, abandoned: abandoned)
    return planner.plan()
  }

  private mutating func plan() -> [SyncOperation] {
    decideMoves()
    decideDeletions()
    // The notes decide what a thing is called, so nothing else is planned beside them.
    let notes = bookkeeping()
    if !notes.isEmpty { return notes }
    let structure = StructurePlan(self)
    if !structure.operations.isEmpty { return structure.operations }
    let work = transfers() + deletions()
    // A folder that is made or a thing that is deleted may be what the others wait for; the bytes of files never are.
    if let way = structure.wayOut, !work.contains(where: \.makesWay) { return [way] }
    return work
  }

  // MARK: - Where entries go

  private mutating func decideMoves() {
    for id in entries {
      guard let here = local[id], let there = remote[id], let was = synced[id] else { continue }
      moves[id] = SyncPlanner.move(local: here.place, remote: there.place, synced: was.place)
      if moves[id] == .stay, here.place != there.place, isAbandoned(id) { moves[id] = .remote }
      // A change of case alone, to a name that something else has in the cluster, is undone.
      if moves[id] == .remote, remote.heldPlaces.contains(here.place), remote.child(here.place) == id { moves[id] = .local }
    }
    // A move into what is inside of the moved folder on the other side gives way, until none is left: each round takes one away.
    var hasChanged = true
    while hasChanged {
      hasChanged = false
      for id in entries where moves[id] == .remote && wouldCircle(id) {
        moves[id] = .local
        hasChanged = true
      }
    }
  }

  func isAbandoned(_ id: SyncNodeID) -> Bool { id.entry.map(abandoned.contains) ?? false }

  private static func move(local: SyncPlace, remote: SyncPlace, synced: SyncPlace) -> Move {
    if local == remote { return .stay }
    // A reserved name here is a move of ours that was interrupted; there it is one of ours, or another device's in the middle of its work.
    if ReservedName.isReserved(local.name) { return ReservedName.isReserved(remote.name) ? .stay : .local }
    if ReservedName.isReserved(remote.name) { return local == synced ? .stay : .remote }
    if remote != synced { return .local }
    return .remote
  }

  /// Whether the new parent lies below the entry in the remote tree, and nothing on the way is about to leave.
  private func wouldCircle(_ id: SyncNodeID) -> Bool {
    guard let target = local[id]?.place, var current = remote[target.parent].map({ _ in target.parent }) else { return false }
    if current == id { return true }
    for _ in 0...remote.count {
      if moves[current] == .remote { return false }
      guard let node = remote[current] else { return false }
      current = node.place.parent
      if current == id { return true }
    }
    return false
  }

  // MARK: - What is deleted

  private mutating func decideDeletions() {
    for id in entries where synced[id] != nil {
      if remote[id] != nil, local[id] == nil { _ = remoteVerdict(id) }
      if remote[id] == nil, local[id] != nil { _ = localVerdict(id) }
    }
  }

  /// Of an entry that is gone here.
  private mutating func remoteVerdict(_ id: SyncNodeID) -> Verdict {
    if let known = remoteVerdicts[id] { return known }
    guard let there = remote[id], let was = synced[id] else { return .keep }
    var verdict = Verdict.delete
    if there.content != was.content || !there.hasSameAttributes(as: was) || hasMoved(id, in: remote, other: local) { verdict = .keep }
    for child in remote.children(of: id) where verdict != .keep {
      let childVerdict: Verdict
      if local[child] != nil {
        childVerdict = moves[child] == .remote ? .wait : .keep
      } else {
        childVerdict = synced[child] == nil ? .keep : remoteVerdict(child)
      }
      if childVerdict != .delete { verdict = childVerdict }
    }
    remoteVerdicts[id] = verdict
    return verdict
  }

  /// Of an entry that is gone there.
  private mutating func localVerdict(_ id: SyncNodeID) -> Verdict {
    if let known = localVerdicts[id] { return known }
    guard let here = local[id], let was = synced[id] else { return .keep }
    var verdict = Verdict.delete
    if here.holdsUntracked || hasMoved(id, in: local, other: remote) {
      verdict = .keep
    } else if here.content == nil {
      verdict = .wait
    } else if here.content != was.content || !here.hasSameAttributes(as: was) {
      verdict = .keep
    }
    for child in local.children(of: id) where verdict != .keep {
      let childVerdict: Verdict
      if remote[child] != nil {
        childVerdict = moves[child] == .local ? .wait : .keep
      } else {
        childVerdict = synced[child] == nil ? .keep : localVerdict(child)
      }
      if childVerdict != .delete { verdict = childVerdict }
    }
    localVerdicts[id] = verdict
    return verdict
  }

  /// Whether it, or a folder above it that the other side does not have either, was moved: then somebody had it in their hands.
  private func hasMoved(_ id: SyncNodeID, in tree: SyncTree, other: SyncTree) -> Bool {
    var current = id
    for _ in 0...tree.count {
      guard let node = tree[current], let was = synced[current], other[current] == nil else { return false }
      if node.place != was.place, !ReservedName.isReserved(node.place.name) { return true }
      current = node.place.parent
    }
    return false
  }

  // MARK: - Notes

  private func bookkeeping() -> [SyncOperation] {
    var notes: [SyncOperation] = []
    for id in entries {
      guard let entry = id.entry, let was = synced[id] else { continue }
      switch (local[id], remote[id]) {
      case (nil, nil): notes.append(.forget(entry))
      case (nil, .some): if remoteVerdicts[id] == .keep { notes.append(.forget(entry)) }
      case (.some, nil): if localVerdicts[id] == .keep, canUnbind(id) { notes.append(.unbind(entry)) }
      case (.some(let here), .some(let there)):
        if SyncPlanner.agreed(entry, local: here, remote: there, synced: synced) != was {
          notes.append(.accept(entry))
        }
      }
    }
    for id in newcomers {
      guard case .new(let number) = id, let here = local[id], let other = remote.child(here.place), let entry = other.entry,
        synced[other] == nil, local[other] == nil, synced.child(here.place) == nil, let there = remote[other],
        here.kind == there.kind, here.content == there.content
      else { continue }
      notes.append(.bind(local: number, entry))
    }
    return notes
  }

  /// Whether all that is to leave a folder has left it: what is in a folder that became a new one looks as if it had been moved.
  private func canUnbind(_ id: SyncNodeID) -> Bool {
    local.children(of: id).allSatisfy { child in
      guard synced[child] != nil else { return true }
      if remote[child] != nil { return moves[child] != .local }
      return localVerdicts[child] == .keep && canUnbind(child)
    }
  }

  /// What was last synced, with all in which both sides agree by now. Where something else was last synced at their common place, it waits
  /// at a place of its own until that is free: two that both sides exchanged could not come past each other otherwise.
  package static func agreed(_ entry: EntryID, local: SyncNode, remote: SyncNode, synced: SyncTree) -> SyncNode? {
    let id = SyncNodeID.entry(entry)
    guard var result = synced[id] else { return nil }
    let aside = SyncPlace(synced.root, ReservedName.aside(entry))
    if local.place == remote.place {
      let isFree = synced.child(local.place).map { $0 == id } ?? true
      result.place = isFree ? local.place : aside
    } else if local.place == aside || remote.place == aside && local.place != result.place {
      // Set aside by a run that ended before it had noted so: the place that it had is free for others.
      result.place = aside
    }
    guard local.kind == remote.kind, local.content == remote.content else { return result }
    result.content = local.content
    result.size = remote.size
    if local.hasSameAttributes(as: remote) {
      result.executable = local.executable
      result.modified = local.modified
    }
    return result
  }

  // MARK: - Transfers and deletions

  private func transfers() -> [SyncOperation] {
    var operations: [SyncOperation] = []
    for id in entries {
      guard let entry = id.entry, let there = remote[id] else { continue }
      if let here = local[id], let was = synced[id] {
        if let operation = contentOperation(id, entry, here, there, was) { operations.append(operation) }
      } else if local[id] == nil, synced[id] == nil, canMakeHere(there) {
        operations.append(there.kind == .folder ? .makeLocalFolder(entry) : .download(entry))
      }
    }
    for id in newcomers {
      guard case .new(let number) = id, let here = local[id], canMakeThere(here) else { continue }
      operations.append(here.kind == .folder ? .makeRemoteFolder(number) : .upload(id))
    }
    return operations
  }

  private func contentOperation(
    _ id: SyncNodeID, _ entry: EntryID, _ here: SyncNode, _ there: SyncNode, _ was: SyncNode
  ) -> SyncOperation? {
    guard here.kind != .folder, let content = here.content else { return nil }
    if content != there.content {
      if content == was.content { return .download(entry) }
      // Both changed: kept both by the structure's plan.
      return there.content == was.content ? .upload(id) : nil
    }
    if here.hasSameAttributes(as: there) { return nil }
    return there.hasSameAttributes(as: was) ? .setRemoteAttributes(entry) : .setLocalAttributes(entry)
  }

  private func canMakeHere(_ node: SyncNode) -> Bool {
    let place = node.place
    return !ReservedName.isReserved(place.name) && local.hasFolder(place.parent) && local.child(place) == nil
      && synced.child(place) == nil && localVerdicts[place.parent] == nil
  }

  private func canMakeThere(_ node: SyncNode) -> Bool {
    let place = node.place
    return node.content != nil && !ReservedName.isReserved(place.name) && place.parent.entry != nil && remote.hasFolder(place.parent)
      && remote.child(place) == nil
      && synced.child(place) == nil && remoteVerdicts[place.parent] == nil
  }

  /// Whole deleted folders, each with what is in it before it.
  private func deletions() -> [SyncOperation] {
    var operations: [SyncOperation] = []
    for id in entries {
      if remoteVerdicts[id] == .delete, let node = remote[id], remoteVerdicts[node.place.parent] != .delete {
        operations.append(.deleteRemote(bottomUp(id, remote)))
      }
      if localVerdicts[id] == .delete, let node = local[id], localVerdicts[node.place.parent] != .delete {
        operations.append(.deleteLocal(bottomUp(id, local)))
      }
    }
    return operations
  }

  private func bottomUp(_ id: SyncNodeID, _ tree: SyncTree) -> [EntryID] {
    tree.children(of: id).flatMap { bottomUp($0, tree) } + [id].compactMap(\.entry)
  }
}
