internal import BlockModel
internal import ClusterLogic

/// Upload sessions: announcing, pinning, weighing receipts, committing with compare-and-swap.
extension SimulatedMetadata {
  struct Opened {
    var id: UploadID
    var missing: [BlockID]
  }

  enum Completion {
    case committed(version: Int)
    case missing([BlockID])
    case conflict
    case gone
  }

  func open(
    _ id: UploadID, namespace: Int, name: Int, base: Int?, blocks list: [BlockID], sizes: (BlockID) -> Int, now: MonotonicTime
  ) -> Opened {
    var upload = Upload(
      id: id, namespace: namespace, name: name, base: base, blocks: list,
      expiresAt: now + .seconds(settings.leaseSeconds))
    var missing: [BlockID] = []
    for block in distinct(list) {
      if standing(block, namespace: namespace)?.isHad(layout) ?? false {
        upload.had.insert(block)
        if bug != .forgetsToPin { upload.pinned.insert(block) }
      } else {
        missing.append(block)
        upload.reserved += sizes(block)
      }
    }
    namespaces[namespace].reserved += upload.reserved
    uploads[id] = upload
    uploadOrder.append(id)
    return Opened(id: id, missing: missing)
  }

  /// What the session still lacks; nil when it is over.
  func missing(_ id: UploadID) -> [BlockID]? {
    guard let upload = uploads[id], upload.status == .open else { return nil }
    return distinct(upload.blocks).filter { !upload.had.contains($0) }
  }

  /// Keeps receipts, and pins the blocks that they are for. False when the session is over.
  func keep(_ receipts: [SimulatedReceipt], for id: UploadID, sizes: (BlockID) -> Int, now: MonotonicTime) -> Bool {
    guard var upload = uploads[id], upload.status == .open, upload.expiresAt > now else { return false }
    for receipt in receipts where receipt.upload == id && upload.blocks.contains(receipt.block) && counts(receipt) {
      add(receipt, to: &upload)
      learn(receipt.block, size: sizes(receipt.block))
    }
    for block in distinct(receipts.map(\.block)) where upload.receipts[block] != nil {
      upload.pinned.insert(block)
      if suffices(tally(block, upload)) { upload.had.insert(block) }
    }
    upload.expiresAt = now + .seconds(settings.leaseSeconds)
    uploads[id] = upload
    return true
  }

  func complete(
    _ id: UploadID, receipts: [SimulatedReceipt], sizes: (BlockID) -> Int, now: MonotonicTime,
    onCommit: (Upload, [(block: BlockID, tally: ReceiptTally?)]) -> Void
  ) -> Completion {
    guard var upload = uploads[id] else { return .gone }
    if upload.status == .committed, bug != .ignoresIdempotency { return upload.version.map { .committed(version: $0) } ?? .gone }
    guard upload.status == .open || bug == .ignoresIdempotency && upload.status == .committed, upload.expiresAt > now else { return .gone }
    for receipt in receipts where receipt.upload == id && upload.blocks.contains(receipt.block) && counts(receipt) {
      add(receipt, to: &upload)
    }
    var arrivals: [(block: BlockID, tally: ReceiptTally?)] = []
    var missing: [BlockID] = []
    for block in distinct(upload.blocks) {
      let standing = standing(block, namespace: upload.namespace)
      let isHad = standing?.isHad(layout) ?? false
      if isHad, standing?.hasRepair == false, upload.receipts[block] == nil {
        arrivals.append((block, nil))
        continue
      }
      let tally = tally(block, upload)
      if suffices(tally) {
        arrivals.append((block, tally))
      } else if isHad {
        arrivals.append((block, nil))
      } else {
        missing.append(block)
      }
    }
    guard missing.isEmpty else {
      uploads[id] = upload
      _ = keep([], for: id, sizes: sizes, now: now)
      for block in missing { uploads[id]?.had.remove(block) }
      return .missing(missing)
    }
    let present = namespaces[upload.namespace].file(upload.name)
    if let base = upload.base, base != present?.version ?? 0 {
      end(id, as: .aborted)
      return .conflict
    }
    for (block, tally) in arrivals {
      let standing = standing(block, namespace: upload.namespace)
      learn(block, size: sizes(block))
      if let tally { apply(tally.outcome(standing, layout), to: block) }
    }
    onCommit(upload, arrivals)
    uploads[id] = upload
    commit(upload, over: present)
    return uploads[id]?.version.map { .committed(version: $0) } ?? .gone
  }

  private func commit(_ upload: Upload, over present: File?) {
    for block in upload.blocks { addReference(block, namespace: upload.namespace) }
    for block in present?.blocks ?? [] { dropReference(block, namespace: upload.namespace) }
    let version = (present?.version ?? lastVersion(upload.name, upload.namespace)) + 1
    namespaces[upload.namespace].files.removeAll { $0.name == upload.name }
    namespaces[upload.namespace].files.append(File(name: upload.name, version: version, blocks: upload.blocks))
    namespaces[upload.namespace].files.sort { $0.name < $1.name }
    record(upload.name, version, upload.blocks, upload.namespace)
    end(upload.id, as: .committed)
    uploads[upload.id]?.version = version
  }

  /// Versions go on counting after a file was deleted, so that an old base never fits again.
  private func lastVersion(_ name: Int, _ namespace: Int) -> Int {
    namespaces[namespace].changes.filter { $0.name == name }.map(\.version).max() ?? 0
  }

  private func record(_ name: Int, _ version: Int, _ blocks: [BlockID], _ namespace: Int) {
    let sequence = (namespaces[namespace].changes.last?.sequence ?? 0) + 1
    namespaces[namespace].changes.append(Change(sequence: sequence, name: name, version: version, blocks: blocks))
  }

  func delete(_ name: Int, namespace: Int) -> Bool {
    guard let file = namespaces[namespace].file(name) else { return false }
    namespaces[namespace].files.removeAll { $0.name == name }
    for block in file.blocks { dropReference(block, namespace: namespace) }
    record(name, 0, [], namespace)
    return true
  }

  func end(_ id: UploadID, as status: Status) {
    guard let upload = uploads[id] else { return }
    if status != .expired || bug != .leaksReservations { namespaces[upload.namespace].reserved -= upload.reserved }
    // What the session announced may be on nodes, with or without receipts: this is what accounts for it when it is collected.
    if status != .committed { for block in distinct(upload.blocks) { learn(block, size: blocks[block]?.size ?? 1) } }
    uploads[id]?.status = status
    uploads[id]?.reserved = 0
    uploads[id]?.pinned = []
  }

  func expireUploads(_ now: MonotonicTime) {
    for id in uploadOrder where uploads[id].map({ $0.status == .open && $0.expiresAt <= now }) ?? false { end(id, as: .expired) }
  }

  // MARK: Receipts

  /// - Returns: false when another layout is newer, or a delete of a block that is referred to again may be on its way.
  func voidReceipts(of node: NodeID, for blocks: [BlockID], layoutVersion: UInt64, gcEpoch: UInt64) -> Bool {
    guard layout.version == layoutVersion else { return false }
    if blocks.contains(where: { isReferenced($0) && isDeleted($0, since: gcEpoch) }) { return false }
    guard bug != .countsGivenUpCopies else { return true }
    for id in uploadOrder where uploads[id]?.status == .open {
      for block in blocks where uploads[id]?.blocks.contains(block) ?? false {
        uploads[id]?.voids[block, default: [:]][node] = layoutVersion
      }
    }
    return true
  }

  private func add(_ receipt: SimulatedReceipt, to upload: inout Upload) {
    // The newest word of a node is the one that counts.
    upload.receipts[receipt.block, default: []].removeAll { $0.node == receipt.node }
    upload.receipts[receipt.block, default: []].append(receipt)
  }

  private func tally(_ block: BlockID, _ upload: Upload) -> ReceiptTally {
    let voids = upload.voids[block] ?? [:]
    let counted = (upload.receipts[block] ?? []).filter { CopyReceipt.counts(under: $0.layoutVersion, voided: voids[$0.node]) }
    let copies = counted.map { CopyReceipt(node: $0.node, disk: $0.disk, isHashed: $0.isHashed) }
    return ReceiptTally(copies, of: block, layout: layout) { id in
      node(id).map { node in
        var disks = node.disks
        if bug == .countsRetiredIncarnations { disks += copies.filter { $0.node == id }.map(\.disk) }
        return ReceiptTally.Holder(zone: node.zone, disks: disks, isOut: node.isOut)
      }
    }
  }

  private func suffices(_ tally: ReceiptTally) -> Bool {
    bug == .commitsBelowQuorum ? tally.hasHashed && tally.zones > 0 : tally.suffices(layout)
  }

  private func distinct(_ list: [BlockID]) -> [BlockID] {
    var seen: [BlockID] = []
    for block in list where !seen.contains(block) { seen.append(block) }
    return seen
  }
}
