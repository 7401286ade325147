internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

/// References from lists of blocks to blocks: counted per namespace, and per block as the number of namespaces that refer to it.
///
/// What must hold (invariant 12): `namespace_blocks.refs` is the number of places in short lists and in pages of the namespace,
/// `block_pages.refs` the number of places in versions, `blocks.namespaces` the number of rows in `namespace_blocks`, and the namespace's
/// `used` the sum of the sizes of its rows.
extension NamespaceEditor {
  /// Makes a list of blocks into what a version row keeps, and counts the references.
  func store(_ blocks: [BlockRef]) throws -> BlockList {
    if blocks.count <= BlockList.shortest {
      try addReferences(blocks)
      return .short(BlockList.pack(blocks))
    }
    var names: [UInt8] = []
    var start = 0
    while start < blocks.count {
      let page = blocks[start..<min(start + Limits.blocksPerPage, blocks.count)]
      names += try storePage(Array(page))
      start += page.count
    }
    return .pages(names, count: blocks.count)
  }

  private func storePage(_ blocks: [BlockRef]) throws -> [UInt8] {
    let packed = BlockList.pack(blocks)
    let hash = SHA256Hasher.hash(packed)
    if try addPageReference(hash) == 0 {
      try db.send("INSERT INTO block_pages (ns, hash, refs, blocks) VALUES (?, ?, 1, ?)", .integer(namespace), .blob(hash), .blob(packed))
      try addReferences(blocks)
    }
    return hash
  }

  private func addPageReference(_ hash: [UInt8]) throws -> Int {
    try db.run("UPDATE block_pages SET refs = refs + 1 WHERE ns = ? AND hash = ?", .integer(namespace), .blob(hash))
  }

  /// One more version refers to a list that is stored already.
  func retain(_ list: BlockList) throws {
    switch list {
    case .short(let packed): try addReferences(BlockList.unpack(packed))
    case .pages(let names, _):
      for hash in BlockPages.names(names) { _ = try addPageReference(hash) }
    }
  }

  /// One version less refers to the list.
  func release(_ list: BlockList) throws {
    switch list {
    case .short(let packed): try dropReferences(BlockList.unpack(packed))
    case .pages(let names, _):
      for hash in BlockPages.names(names) { try releasePage(hash) }
    }
  }

  private func releasePage(_ hash: [UInt8]) throws {
    let page = try db.first(
      "SELECT refs, blocks FROM block_pages WHERE ns = ? AND hash = ?", .integer(namespace), .blob(hash)
    ) { ($0.int64(0), $0.blob(1)) }
    guard let (refs, packed) = page else { throw MetadataError(.unusable, "The database lacks a page of a version's blocks.") }
    if refs > 1 {
      try db.send("UPDATE block_pages SET refs = refs - 1 WHERE ns = ? AND hash = ?", .integer(namespace), .blob(hash))
    } else {
      try db.send("DELETE FROM block_pages WHERE ns = ? AND hash = ?", .integer(namespace), .blob(hash))
      try dropReferences(BlockList.unpack(packed))
    }
  }

  // MARK: - Blocks

  /// Each block once, with its number of places, by id: transactions that share blocks lock them in the same order.
  private func counted(_ blocks: [BlockRef]) -> [(block: BlockRef, places: Int)] {
    if blocks.count == 1 { return [(blocks[0], 1)] }
    var index: [BlockID: Int] = [:]
    var list: [(block: BlockRef, places: Int)] = []
    for block in blocks {
      if let known = index[block.id] {
        list[known].places += 1
      } else {
        index[block.id] = list.count
        list.append((block, 1))
      }
    }
    return list.sorted { $0.block.id < $1.block.id }
  }

  private static let addReference = """
    INSERT INTO namespace_blocks (ns, block, refs) VALUES (?, ?, ?)
    ON CONFLICT (ns, block) DO UPDATE SET refs = namespace_blocks.refs + excluded.refs RETURNING refs
    """
  private static let whereKnown = """
    ON CONFLICT (id) DO UPDATE SET namespaces = blocks.namespaces + 1, unreferenced_epoch = NULL,
      size = CASE WHEN blocks.namespaces = 0 THEN excluded.size ELSE blocks.size END RETURNING namespaces
    """

  private func addReferences(_ blocks: [BlockRef]) throws {
    if blocks.count == 1 { return try addReference(blocks[0]) }
    let counted = counted(blocks)
    var added: [BlockRef] = []
    try db.rows(
      NamespaceEditor.addReference, each: counted.map { [.integer(namespace), .block($0.block.id), .int($0.places)] }
    ) { index, row in
      if row.int(0) == counted[index].places { added.append(counted[index].block) }
    }
    for block in added { state.used += Int64(block.size) }
    try addNamespace(added)
  }

  private func addNamespace(_ blocks: [BlockRef]) throws {
    try db.rows(
      "INSERT INTO blocks (id, size, namespaces) VALUES (?, ?, 1) \(NamespaceEditor.whereKnown)",
      each: blocks.map { [.block($0.id), .int($0.size)] }
    ) { index, row in
      if row.int64(0) == 1 { transaction.countReferenced(blocks[index].id, by: 1) }
    }
  }

  /// Of a file with one block, as most are: whether the namespace had it is asked by the statement that counts the namespace, so that both
  /// travel together.
  private func addReference(_ block: BlockRef) throws {
    try db.ask([
      SQLQuestion(NamespaceEditor.addReference, [.integer(namespace), .block(block.id), .int(1)]) { [self] row in
        if row.int(0) == 1 { state.used += Int64(block.size) }
        return false
      },
      SQLQuestion(
        """
        INSERT INTO blocks (id, size, namespaces)
        SELECT ?2, ?3, 1 WHERE (SELECT refs FROM namespace_blocks WHERE ns = ?1 AND block = ?2) = 1
        \(NamespaceEditor.whereKnown)
        """, [.integer(namespace), .block(block.id), .int(block.size)]
      ) { [self] row in
        if row.int64(0) == 1 { transaction.countReferenced(block.id, by: 1) }
        return false
      },
    ])
  }

  private func dropReferences(_ blocks: [BlockRef]) throws {
    let counted = counted(blocks)
    var known = 0
    var dropped: [BlockRef] = []
    try db.rows(
      "UPDATE namespace_blocks SET refs = refs - ? WHERE ns = ? AND block = ? RETURNING refs",
      each: counted.map { [.int($0.places), .integer(namespace), .block($0.block.id)] }
    ) { index, row in
      known += row.int64(0) >= 0 ? 1 : 0
      if row.int64(0) == 0 { dropped.append(counted[index].block) }
    }
    guard known == counted.count else { throw MetadataError(.unusable, "The database counts fewer references to a block than it has.") }
    for block in dropped {
      try db.send("DELETE FROM namespace_blocks WHERE ns = ? AND block = ?", .integer(namespace), .block(block.id))
      state.used -= Int64(block.size)
    }
    try dropNamespace(dropped.map(\.id))
  }

  private func dropNamespace(_ blocks: [BlockID]) throws {
    var unreferenced: [BlockID] = []
    try db.rows(
      "UPDATE blocks SET namespaces = namespaces - 1 WHERE id = ? RETURNING namespaces", each: blocks.map { [.block($0)] }
    ) { index, row in
      if row.int64(0) == 0 { unreferenced.append(blocks[index]) }
    }
    for block in unreferenced {
      transaction.countReferenced(block, by: -1)
      // Nothing refers to it any more: repair leaves it alone, and collection finds it by its epoch.
      try db.send(
        """
        UPDATE blocks SET was_referenced = 1, unreferenced_epoch = (SELECT value FROM settings WHERE key = 'gc-epoch') WHERE id = ?
        """, .block(block))
      try db.send("DELETE FROM repairs WHERE block = ?", .block(block))
      try db.send("DELETE FROM strays WHERE block = ?", .block(block))
    }
  }
}

extension WriteTransaction {
  func countReferenced(_ block: BlockID, by difference: Int) {
    context.partitionCounts[block.partition(bits: context.settings.partitionBits), default: 0] += difference
  }

  /// Writes what was counted, at the end of the transaction and in the order of the partitions: few rows that all commits share, so that no
  /// two transactions wait for each other here, and nobody waits for long.
  func writePartitionCounts() throws {
    let counts = context.partitionCounts
    context.partitionCounts = [:]
    for partition in counts.keys.sorted() {
      guard let difference = counts[partition], difference != 0 else { continue }
      try db.send(
        """
        INSERT INTO partition_blocks (partition, referenced) VALUES (?, ?)
        ON CONFLICT (partition) DO UPDATE SET referenced = partition_blocks.referenced + excluded.referenced
        """, .int(partition), .int(difference))
    }
  }
}

enum BlockPages {
  static func names(_ packed: [UInt8]) -> [[UInt8]] {
    stride(from: 0, to: packed.count, by: 32).map { Array(packed[$0..<min($0 + 32, packed.count)]) }
  }
}

extension MetadataReading {
  /// The blocks of a version from `first` on, at most `limit`.
  func blocks(of list: BlockList, _ namespace: Int64, first: Int = 0, limit: Int = .max) throws -> [BlockRef] {
    switch list {
    case .short(let packed): return Array(BlockList.unpack(packed).dropFirst(first).prefix(limit))
    case .pages(let names, let count):
      let end = first + min(limit, max(0, count - first))
      var blocks: [BlockRef] = []
      for (index, hash) in BlockPages.names(names).enumerated() {
        let start = index * Limits.blocksPerPage
        guard start < end, start + Limits.blocksPerPage > first else { continue }
        let packed = try db.first("SELECT blocks FROM block_pages WHERE ns = ? AND hash = ?", .integer(namespace), .blob(hash)) {
          $0.blob(0)
        }
        guard let packed else { throw MetadataError(.unusable, "The database lacks a page of a version's blocks.") }
        let page = BlockList.unpack(packed)
        blocks += page[max(0, first - start)..<min(page.count, end - start)]
      }
      return blocks
    }
  }
}
