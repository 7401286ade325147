internal import BlockModel
internal import BlockStore
internal import Platform

/// What a store at rest shows as a whole, and what is damaged under it.
extension StoreRun {
  /// Lets everything end, then checks all that the store shows, and reads every block.
  mutating func settle(_ random: inout SeededRandom) throws(Violation) {
    try rest(&random)
    guard let store else { throw violation("the store went away") }
    guard pending.isEmpty else { throw violation("operations were never answered: \(pending.keys.sorted().map { pending[$0]! })") }
    for content in StoreContents.all.indices {
      let state = store.status(of: StoreContents.all[content].id)?.gcEpoch
      guard model.mayBe(state, content, mayRise: totals.tornRecords > 0) else {
        throw violation("block \(content) is \(StoreModel.text([state])), may be \(StoreModel.text(model.visible(content)))")
      }
      if state != nil { begin(.read(content), store) }
    }
    try checkLists(store)
    try rest(&random)
    guard pending.isEmpty else { throw violation("reads were never answered") }
  }

  /// Lists, digests and counts say the same as the blocks one by one.
  private func checkLists(_ store: SegmentStore) throws(Violation) {
    let shown = StoreContents.all.compactMap { store.status(of: $0.id) }.sorted { $0.id < $1.id }
    var listed: [StoredBlock] = []
    var digest = PartitionDigest.empty
    for partition in 0..<4 {
      var after: BlockID?
      while true {
        let page = store.blocks(inPartition: partition, bits: 2, after: after, limit: 2)
        listed += page
        guard let last = page.last else { break }
        after = last.id
      }
      let part = store.digest(ofPartition: partition, bits: 2)
      digest.count += part.count
      for word in digest.words.indices { digest.words[word] &+= part.words[word] }
    }
    var expected = PartitionDigest.empty
    for block in shown { expected.add(block.id) }
    guard listed == shown else { throw violation("lists show \(listed.count) blocks, statuses \(shown.count)") }
    guard digest == expected else { throw violation("the digests are not those of the blocks") }
    let space = store.space()
    guard space.blockCount == shown.count else { throw violation("\(space.blockCount) blocks are counted and \(shown.count) shown") }
    let usedBytes = shown.reduce(0) { $0 + Int64(RecordLayout.recordBytes(storedBytes: $1.storedBytes)) }
    // What was set aside, torn or rotten, counts until it is replaced.
    let isWhole = totals.tornRecords == 0 && !StoreContents.all.indices.contains { model.isDamaged($0) }
    guard space.usedBytes == usedBytes || !isWhole && space.usedBytes > usedBytes else {
      throw violation("\(space.usedBytes) bytes are counted as used, the blocks have \(usedBytes)")
    }
  }

  /// Damages a random place of a segment or of the checkpoint, and notes which blocks that may have cost.
  mutating func damage(_ action: StoreSequence.Action, _ random: inout SeededRandom) {
    let segments = disk.names(in: StoreRun.folder + "/segments").map { StoreRun.folder + "/segments/" + $0 }
    let checkpoint = StoreRun.folder + "/index.checkpoint"
    var paths = segments
    if disk.contents(checkpoint) != nil { paths.append(checkpoint) }
    guard !paths.isEmpty else { return }
    let path = random.pick(paths)
    guard let bytes = disk.contents(path), !bytes.isEmpty else { return }
    let place = place(in: bytes, &random)
    let isCached = random.chance(3)
    var damages: [SimulatedDisk.Damage] = []
    switch action {
    case .rot:
      note([SimulatedDisk.Damage(path: path, range: place..<(place + 1))])
      _ = disk.flipBit(path, byte: place, bit: random.between(0, 7), isCached: isCached)
    case .scramble:
      let sector = place / 512
      note([SimulatedDisk.Damage(path: path, range: (sector * 512)..<(sector * 512 + 512))])
      _ = disk.scramble(path, sector: sector, &random, isCached: isCached)
    case .misdirect:
      let other = random.pick(paths)
      let target = random.between(0, max(0, (disk.contents(other)?.count ?? 0) / 4096 - 1))
      damages = [(path, place / 4096), (other, target)].map { path, page in
        SimulatedDisk.Damage(path: path, range: (page * 4096)..<(page * 4096 + 4096))
      }
      note(damages)
      _ = disk.misdirect(path, page: place / 4096, to: other, page: target, isCached: isCached)
    case .rollBack:
      let sectors = random.chance(2) ? 0..<8 : random.between(0, 3)..<random.between(4, 8)
      note([SimulatedDisk.Damage(path: path, range: (place / 4096 * 4096)..<(place / 4096 * 4096 + 4096))])
      _ = disk.rollBack(path, page: place / 4096, sectors: sectors, isCached: isCached)
    default:
      // A page of which a part cannot be read cannot be read at all.
      let page = place / 4096 * 4096
      note([SimulatedDisk.Damage(path: path, range: page..<(page + 4096))])
      let start = place / 512 * 512
      _ = disk.makeUnreadable(path, start..<random.between(start + 1, page + 4096))
      isUnreadable = true
    }
  }

  /// Anywhere, but rather where something was written.
  private func place(in bytes: [UInt8], _ random: inout SeededRandom) -> Int {
    for _ in 0..<8 {
      let page = random.between(0, (bytes.count - 1) / 4096) * 4096
      if bytes[page..<min(bytes.count, page + 4096)].contains(where: { $0 != 0 }) {
        return page + random.between(0, min(bytes.count - page, 4096) - 1)
      }
    }
    return random.between(0, bytes.count - 1)
  }

  private mutating func note(_ damages: [SimulatedDisk.Damage]) {
    for damage in damages where damage.path.hasSuffix(".seg") {
      guard let bytes = disk.contents(damage.path) else { continue }
      let touched = SegmentReader.blocks(in: damage.range, of: bytes)
      for (content, block) in StoreContents.all.enumerated() where touched.contains(block.id) {
        totals.damagedBlocks += 1
        model.damage(content, before: nextNumber)
      }
    }
  }
}
