internal import BlockModel
internal import ClusterLogic

/// What really happened, which no part of the cluster knows.
struct ClusterTruth {
  /// Nodes that lost a copy of a block to a fault, and have none since.
  private var losses: [BlockID: [NodeID]] = [:]
  /// What nodes acknowledged, by block, handed in or not.
  private(set) var receipts: [BlockID: [SimulatedReceipt]] = [:]
  /// Commits that clients were told of.
  var acknowledged: [(upload: UploadID, version: Int)] = []
  var commits: [UploadID: Int] = [:]
  /// When the present coordinator heard a node last.
  var heard: [NodeID: MonotonicTime] = [:]
  /// The newest layout for which a node said that a partition is sealed.
  var seals: [NodeID: [Int: UInt64]] = [:]

  mutating func note(_ receipt: SimulatedReceipt) { receipts[receipt.block, default: []].append(receipt) }

  mutating func lose(_ block: BlockID, _ node: NodeID) {
    if !(losses[block] ?? []).contains(node) { losses[block, default: []].append(node) }
  }

  /// The node has a copy again.
  mutating func regain(_ block: BlockID, _ node: NodeID) {
    guard losses[block] != nil else { return }
    losses[block]?.removeAll { $0 == node }
  }

  func nodesThatLost(_ block: BlockID) -> [NodeID] { losses[block] ?? [] }
}

/// The invariants of the design, each where it could break. `docs/simulation.md` says which is checked how.
extension ClusterSimulation {
  private func isExcused(_ block: BlockID, _ node: NodeID) -> Bool { truth.nodesThatLost(block).contains(node) }

  /// Zones in which a whole copy is on a disk.
  /// - Parameter epoch: copies of older ones do not count.
  private func zones(_ block: BlockID, excusing lost: [NodeID] = [], from epoch: UInt64 = 0) -> Int {
    var zones: [ZoneID] = []
    for node in nodes where !zones.contains(node.zone) {
      let isHere = node.isSafe(block) && node.stores.contains { ($0.copies[block]?.gcEpoch ?? 0) >= epoch }
      if isHere || lost.contains(node.id) { zones.append(node.zone) }
    }
    return zones.count
  }

  // MARK: Commits

  func checkOpened(_ opened: SimulatedMetadata.Opened, _ asked: [BlockID], _ namespace: Int) {
    for block in asked where metadata.namespaces[namespace].references[block] == nil && !opened.missing.contains(block) {
      fail(.nothingForAHash, "namespace \(namespace) was told that it has block \(name(block)), which only others have")
    }
  }

  func checkCommit(_ upload: SimulatedMetadata.Upload, _ arrivals: [(block: BlockID, tally: ReceiptTally?)]) {
    totals.commits += 1
    let what = arrivals.map { "\($0.block.hex) \(String(describing: $0.tally))" }
    note("commit \(upload.id.low % 1000) of \(upload.namespace)/\(upload.name): \(what)")
    truth.commits[upload.id, default: 0] += 1
    if truth.commits[upload.id]! > 1 { fail(.linearizable, "upload \(upload.id) was committed twice") }
    let needed = metadata.layout.zonesForCommit
    for (block, tally) in arrivals {
      var excused = truth.nodesThatLost(block)
      if tally != nil {
        // A disk that the coordinator knows to be gone excuses nothing.
        let gone = (upload.receipts[block] ?? []).filter { !(metadata.node($0.node)?.disks.contains($0.disk) ?? false) }.map(\.node)
        excused = excused.filter { !gone.contains($0) }
      } else if let row = metadata.filling.first(where: { $0.partition == block.partition(bits: settings.partitionBits) }) {
        // The caller has it from when the layout had fewer zones and a write needed fewer. It is on its way to the new ones; that it gets
        // there is checked in the end.
        excused += row.targets
      }
      let found = zones(block, excusing: excused)
      guard found < needed else { continue }
      fail(.committedAtQuorum, "block \(name(block)) was in \(found) zones when it was committed, and \(needed) are needed")
    }
  }

  func acknowledge(_ upload: UploadID, version: Int) { truth.acknowledged.append((upload, version)) }

  func checkAccepted(_ isRight: Bool, _ block: BlockID) {
    if !isRight { fail(.verifiedBytes, "a client took bytes for block \(name(block)) that are not it") }
  }

  func checkNext(_ change: SimulatedMetadata.Change, after cursor: Int) {
    if change.sequence != cursor + 1 { fail(.gaplessFeed, "change \(change.sequence) came after \(cursor)") }
  }

  // MARK: Nodes

  func heard(_ node: NodeID) { truth.heard[node] = now }

  func checkDeclaredOut(_ node: NodeID) {
    guard let heard = truth.heard[node], now - heard < .seconds(settings.outAfterSeconds) - .seconds(1) else { return }
    fail(.unreachableIsNotMissing, "\(node) was declared out \(now - heard) after it was heard")
  }

  func checkGrowth(of node: SimulatedNode, to next: SimulatedNode.Kept) {
    let (before, after) = (node.kept.view?.layout.version ?? 0, next.view?.layout.version ?? 0)
    guard next.generation < node.kept.generation || after < before else { return }
    fail(.fenced, "\(node.id) went from generation \(node.kept.generation), layout \(before) to \(next.generation), \(after)")
  }

  func noteSealed(_ node: SimulatedNode, _ partition: Int, _ version: UInt64) {
    truth.seals[node.id, default: [:]][partition] = max(version, truth.seals[node.id]?[partition] ?? 0)
  }

  func checkAcknowledgement(_ node: SimulatedNode, _ capability: SimulatedCapability) {
    let seal = truth.seals[node.id]?[capability.block.partition(bits: settings.partitionBits)] ?? 0
    guard capability.layoutVersion < seal else { return }
    fail(.fenced, "\(node.id) took a write of layout \(capability.layoutVersion) after it had sealed the partition under \(seal)")
  }

  /// - Parameter lacking: who answered that it has no whole copy, to the pass that copies, by block. However long ago: a copy waits for
  ///   those before it, and meanwhile the block may come from elsewhere.
  func checkCopies(_ items: [RepairCopy], to target: NodeID, lacking: [BlockID: [NodeID]]) {
    guard let node = node(target) else { return }
    for item in items where node.isSafe(item.block) && !(lacking[item.block] ?? []).contains(target) {
      fail(.unreachableIsNotMissing, "block \(name(item.block)) is copied to \(target), which has it and did not say otherwise")
    }
  }

  func checkFilled(_ partition: Int, _ target: NodeID, under version: UInt64) {
    guard let node = node(target) else { return }
    for block in metadata.known where block.partition(bits: settings.partitionBits) == partition && metadata.isReferenced(block) {
      guard !node.isSafe(block), !isExcused(block, target), !metadata.repairs.contains(where: { $0.block == block }) else { continue }
      fail(.fullyReplicated, "\(target) was marked as filled under layout \(version) without block \(name(block))")
    }
  }

  func checkCleared(_ block: BlockID) {
    guard metadata.isReferenced(block) else { return }
    let row = metadata.filling.first { $0.partition == block.partition(bits: settings.partitionBits) }
    for replica in metadata.layout.replicas(of: block) where !(row?.targets.contains(replica) ?? false) {
      guard let node = node(replica), !node.isSafe(block), !isExcused(block, replica) else { continue }
      fail(.fullyReplicated, "the repair row of block \(name(block)) was cleared, and \(replica) has no copy")
    }
  }

  func checkRetirement(of block: BlockID, _ copy: StoredCopy, by node: SimulatedNode, under version: UInt64) {
    totals.retired += 1
    checkVoid(block, node)
    guard metadata.isReferenced(block) || metadata.isLeased(block) else { return }
    // An upload that announced a block while it is being deleted was told to put it, and stands on the receipts of that.
    guard metadata.isReferenced(block) || metadata.deletes[block] == nil else { return }
    // A copy that a collection may delete, or has in quarantine here, may go as it would by that delete.
    if let authorized = metadata.deletes[block], copy.gcEpoch < authorized, !lacksNewer(block, authorized) { return }
    guard let layout = metadata.layouts.first(where: { $0.version == version }) else { return }
    // A replica of the command's layout may have handed its copy on under a newer one, which this node has not heard of: then the replicas
    // of the newest have it.
    let newest = metadata.layout.replicas(of: block)
    let unfilled = metadata.filling.first { $0.partition == block.partition(bits: settings.partitionBits) }?.targets ?? []
    let isHandedOn = newest.allSatisfy { replica in
      unfilled.contains(replica) || self.node(replica)?.isSafe(block) ?? true || isExcused(block, replica)
    }
    for replica in layout.replicas(of: block) {
      if isHandedOn, !newest.contains(replica), !newest.contains(node.id) { continue }
      if replica == node.id { fail(.copiesNeverDecrease, "\(replica) gave up block \(name(block)), and it is a replica") }
      guard let other = self.node(replica), !other.isSafe(block), !isExcused(block, replica) else { continue }
      fail(.copiesNeverDecrease, "\(node.id) gave up block \(name(block)) under layout \(version), and \(replica) has no whole copy")
    }
  }

  /// Whatever comes in later: no upload that is open may count the copy that goes.
  private func checkVoid(_ block: BlockID, _ node: SimulatedNode) {
    for receipt in truth.receipts[block] ?? [] where receipt.node == node.id {
      guard let upload = metadata.uploads[receipt.upload], upload.status == .open,
        CopyReceipt.counts(under: receipt.layoutVersion, voided: upload.voids[block]?[node.id]), metadata.counts(receipt)
      else { continue }
      fail(.committedAtQuorum, "\(node.id) gave up block \(name(block)), and its receipt for upload \(receipt.upload) still counts")
    }
  }

  // MARK: Deleting

  func checkDeletion(of block: BlockID, _ copy: StoredCopy, at node: SimulatedNode, under epoch: UInt64) {
    totals.deleted += 1
    guard let authorized = metadata.deletes[block], copy.gcEpoch < authorized else {
      return fail(.authorizedDeletes, "\(node.id) deleted block \(name(block)) of epoch \(copy.gcEpoch) without a logged decision")
    }
    // A copy that is older than the delete may go even when newer ones are referenced by now: those that the commit stood on, and that
    // uploads since were told of.
    let lacksNewer = lacksNewer(block, authorized)
    if metadata.isReferenced(block), lacksNewer {
      fail(.authorizedDeletes, "\(node.id) deleted block \(name(block)), which a version refers to, and too few newer copies are left")
    }
    for id in metadata.uploadOrder {
      guard let upload = metadata.uploads[id], upload.status == .open, upload.blocks.contains(block) else { continue }
      if upload.had.contains(block), upload.receipts[block] == nil, lacksNewer {
        fail(.pinnedWhileOpen, "\(node.id) deleted block \(name(block)), which upload \(id) was told that it has")
      } else if upload.receipts[block]?.contains(where: { $0.node == node.id && $0.gcEpoch >= epoch }) ?? false {
        fail(.authorizedDeletes, "\(node.id) deleted block \(name(block)), for which upload \(id) has its receipt")
      }
    }
  }

  /// Too few zones for a commit have copies that are newer than a delete.
  private func lacksNewer(_ block: BlockID, _ authorized: UInt64) -> Bool {
    zones(block, excusing: truth.nodesThatLost(block), from: authorized) < metadata.layout.zonesForCommit
  }

  func checkDecision(_ block: BlockID) {
    if metadata.isReferenced(block) || metadata.isLeased(block) {
      fail(.authorizedDeletes, "block \(name(block)) is to be deleted while something needs it")
    }
    for id in metadata.uploadOrder where metadata.uploads[id].map({ $0.status == .open && $0.had.contains(block) }) ?? false {
      fail(.pinnedWhileOpen, "block \(name(block)) is to be deleted, and upload \(id) was told that it has it")
    }
  }

  /// What no log accounts for has no business to be anywhere: nothing is forgotten in a simulation.
  func checkRun(_ run: GarbageRun) {
    if run.marked.unlogged + run.deleted.unlogged > 0 {
      fail(.authorizedDeletes, "run \(run.number) came across \(run.marked.unlogged) blocks that nothing accounts for")
    }
  }

  func checkPurge(of block: BlockID, at node: SimulatedNode) {
    if metadata.deletes[block] == nil { fail(.authorizedDeletes, "\(node.id) purged block \(name(block)) without a decision") }
  }

  func name(_ block: BlockID) -> String { String(block.hex.prefix(8)) }
}
