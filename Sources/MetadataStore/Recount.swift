internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Counts anew what is kept as a count, from the rows themselves, on one unchanging state. Temporary tables spill to disk, so that it costs
/// time and not memory.
extension ReadTransaction {
  /// Findings of one kind that are told; the rest are the same story.
  private static let told = 20

  func recount() throws -> [RecountFinding] {
    try gatherReferences()
    defer { _ = try? db.execute("DROP TABLE IF EXISTS temp.counted; DROP TABLE IF EXISTS temp.counted_pages;") }
    var findings = try references() + pages() + blocks() + usage()
    findings += try feeds()
    return findings
  }

  // MARK: - Gathering

  private func gatherReferences() throws {
    try db.execute(
      """
      CREATE TEMP TABLE counted (ns INTEGER, block BLOB, refs INTEGER, PRIMARY KEY (ns, block)) WITHOUT ROWID;
      CREATE TEMP TABLE counted_pages (ns INTEGER, hash BLOB, refs INTEGER, PRIMARY KEY (ns, hash)) WITHOUT ROWID;
      """)
    try db.each("SELECT ns, blocks, pages FROM versions") { row in
      let namespace = row.int64(0)
      for block in BlockList.unpack(row.optionalBlob(1) ?? []) { try count(block.id, namespace) }
      for hash in BlockPages.names(row.optionalBlob(2) ?? []) {
        try db.send(
          "INSERT INTO temp.counted_pages VALUES (?, ?, 1) ON CONFLICT (ns, hash) DO UPDATE SET refs = counted_pages.refs + 1",
          .integer(namespace), .blob(hash))
      }
      return true
    }
    try db.each("SELECT ns, blocks FROM block_pages") { row in
      for block in BlockList.unpack(row.blob(1)) { try count(block.id, row.int64(0)) }
      return true
    }
  }

  private func count(_ block: BlockID, _ namespace: Int64) throws {
    try db.send(
      "INSERT INTO temp.counted VALUES (?, ?, 1) ON CONFLICT (ns, block) DO UPDATE SET refs = counted.refs + 1", .integer(namespace),
      .block(block))
  }

  // MARK: - Comparing

  private func differences(_ invariant: Int, _ sql: String, _ sentence: (any SQLRow) -> String) throws -> [RecountFinding] {
    try db.all("\(sql) LIMIT \(ReadTransaction.told)") { RecountFinding(invariant: invariant, sentence: sentence($0)) }
  }

  private func references() throws -> [RecountFinding] {
    try differences(
      12,
      """
      SELECT c.block, c.ns, c.refs, coalesce(n.refs, 0) FROM temp.counted c
      LEFT JOIN namespace_blocks n ON n.ns = c.ns AND n.block = c.block WHERE n.refs IS DISTINCT FROM c.refs
      """
    ) { "Block \($0.block(0)) has \($0.int64(2)) references in namespace \($0.int64(1)) and is counted with \($0.int64(3))." }
      + differences(
        12,
        """
        SELECT n.block, n.ns, n.refs FROM namespace_blocks n
        WHERE NOT EXISTS (SELECT 1 FROM temp.counted c WHERE c.ns = n.ns AND c.block = n.block)
        """
      ) { "Block \($0.block(0)) has no references in namespace \($0.int64(1)) and is counted with \($0.int64(2))." }
  }

  private func pages() throws -> [RecountFinding] {
    try differences(
      12,
      """
      SELECT p.ns, p.refs, coalesce(c.refs, 0) FROM block_pages p
      LEFT JOIN temp.counted_pages c ON c.ns = p.ns AND c.hash = p.hash WHERE c.refs IS DISTINCT FROM p.refs
      """
    ) { "A page of namespace \($0.int64(0)) is counted with \($0.int64(1)) versions and has \($0.int64(2))." }
      + differences(
        12,
        """
        SELECT c.ns FROM temp.counted_pages c WHERE NOT EXISTS (SELECT 1 FROM block_pages p WHERE p.ns = c.ns AND p.hash = c.hash)
        """
      ) { "A version in namespace \($0.int64(0)) names a page that is not there." }
  }

  private func blocks() throws -> [RecountFinding] {
    let settingsBits = Int(try Settings.number(db, Settings.partitionBits))
    var counts = [Int](repeating: 0, count: 1 << settingsBits)
    try db.each("SELECT id FROM blocks WHERE namespaces > 0") { row in
      counts[row.block(0).partition(bits: settingsBits)] += 1
      return true
    }
    let kept = try referencedBlockCounts(partitions: counts.count)
    let wrong = counts.indices.filter { counts[$0] != kept[$0] }.prefix(ReadTransaction.told).map {
      RecountFinding(invariant: 12, sentence: "Partition \($0) has \(counts[$0]) referenced blocks and is counted with \(kept[$0]).")
    }
    return try wrong
      + differences(
        12,
        """
        SELECT b.id, b.namespaces, (SELECT count(*) FROM namespace_blocks n WHERE n.block = b.id) FROM blocks b
        JOIN (SELECT block, count(*) AS times FROM namespace_blocks GROUP BY block) g ON g.block = b.id WHERE g.times <> b.namespaces
        """
      ) { "Block \($0.block(0)) is counted with \($0.int64(1)) namespaces and has \($0.int64(2))." }
      + differences(
        12,
        """
        SELECT b.id, b.namespaces FROM blocks b WHERE b.namespaces > 0
        AND b.id NOT IN (SELECT block FROM namespace_blocks)
        """
      ) { "Block \($0.block(0)) is counted with \($0.int64(1)) namespaces and has none." }
      + differences(2, "SELECT DISTINCT block FROM namespace_blocks WHERE block NOT IN (SELECT id FROM blocks)") {
        "Block \($0.block(0)) is referred to and not known."
      }
  }

  private func usage() throws -> [RecountFinding] {
    try differences(
      12,
      """
      SELECT number, used, counted FROM (SELECT n.number, n.used, coalesce((SELECT sum(b.size) FROM namespace_blocks r
        JOIN blocks b ON b.id = r.block WHERE r.ns = n.number), 0) AS counted FROM namespaces n) AS sums WHERE used <> counted
      """
    ) { "Namespace \($0.int64(0)) is counted with \($0.int64(1)) bytes and has \($0.int64(2))." }
      + differences(
        12,
        """
        SELECT number, reserved, counted FROM (SELECT n.number, n.reserved, coalesce((SELECT sum(u.reserved) FROM uploads u
          WHERE u.ns = n.number AND u.status = 0), 0) AS counted FROM namespaces n) AS sums WHERE reserved <> counted
        """
      ) { "Namespace \($0.int64(0)) is counted with \($0.int64(1)) reserved bytes and has \($0.int64(2))." }
      + differences(
        12,
        """
        SELECT number, files, counted FROM (SELECT n.number, n.files,
          (SELECT count(*) FROM entries e WHERE e.ns = n.number AND e.kind = 0) AS counted FROM namespaces n) AS sums WHERE files <> counted
        """
      ) { "Namespace \($0.int64(0)) is counted with \($0.int64(1)) files and has \($0.int64(2))." }
  }

  private func feeds() throws -> [RecountFinding] {
    var findings = try differences(
      10,
      """
      SELECT n.number, n.trimmed, n.sequence, n.kept FROM (SELECT number, trimmed, sequence,
        (SELECT count(*) FROM changes c WHERE c.ns = number) AS kept FROM namespaces) AS n
      WHERE n.kept <> n.sequence - n.trimmed OR n.kept > 0 AND (
        (SELECT max(sequence) FROM changes c WHERE c.ns = n.number) <> n.sequence
        OR (SELECT min(sequence) FROM changes c WHERE c.ns = n.number) <> n.trimmed + 1)
      """
    ) { "Namespace \($0.int64(0)) has \($0.int64(3)) changes where its feed goes from \($0.int64(1)) to \($0.int64(2))." }
    let whole = try db.all("SELECT number, root FROM namespaces WHERE trimmed = 0") { ($0.int64(0), $0.blob(1)) }
    for (namespace, root) in whole where findings.count < ReadTransaction.told {
      findings += try replay(namespace, root: root)
    }
    return findings
  }

  /// Replays the feed of a namespace by its rule (the last change of each entry says where it is and how; what was deleted takes along what
  /// was in it) and compares the outcome with the tree.
  private func replay(_ namespace: Int64, root: [UInt8]) throws -> [RecountFinding] {
    try db.execute(
      """
      CREATE TEMP TABLE last_change (entry BLOB, sequence INTEGER, parent BLOB, PRIMARY KEY (parent, entry)) WITHOUT ROWID;
      CREATE TEMP TABLE replayed (id BLOB PRIMARY KEY, sequence INTEGER) WITHOUT ROWID;
      CREATE TEMP TABLE present (id BLOB PRIMARY KEY) WITHOUT ROWID;
      """)
    defer {
      _ = try? db.execute("DROP TABLE temp.last_change; DROP TABLE temp.replayed; DROP TABLE temp.present;")
    }
    try db.send(
      """
      INSERT INTO temp.last_change SELECT c.entry, c.sequence, c.parent FROM changes c
        JOIN (SELECT max(sequence) AS sequence FROM changes WHERE ns = ?1 GROUP BY entry) l ON l.sequence = c.sequence
        WHERE c.ns = ?1 AND c.action <> 3
      """, .integer(namespace))
    try db.send(
      """
      WITH RECURSIVE tree (id, sequence) AS (
        SELECT ?1, CAST(0 AS INTEGER) UNION ALL SELECT l.entry, l.sequence FROM tree JOIN temp.last_change l ON l.parent = tree.id)
      INSERT INTO temp.replayed SELECT id, sequence FROM tree
      """, .blob(root))
    try db.send(
      """
      WITH RECURSIVE tree (id) AS (
        SELECT ?1 UNION ALL SELECT e.id FROM tree JOIN entries e ON e.ns = ?2 AND e.parent = tree.id AND e.removed_at IS NULL)
      INSERT INTO temp.present SELECT id FROM tree
      """, .blob(root), .integer(namespace))
    return try differences(10, "SELECT id FROM temp.present WHERE id NOT IN (SELECT id FROM temp.replayed)") {
      "Entry \(HexDigits.encode($0.blob(0))) of namespace \(namespace) is listed and the feed does not make it."
    }
      + differences(10, "SELECT id FROM temp.replayed WHERE id NOT IN (SELECT id FROM temp.present)") {
        "Entry \(HexDigits.encode($0.blob(0))) of namespace \(namespace) is made by the feed and not listed."
      }
      + differences(
        10,
        """
        SELECT e.id FROM temp.replayed r JOIN changes c ON c.ns = \(namespace) AND c.sequence = r.sequence
        JOIN entries e ON e.ns = c.ns AND e.id = r.id WHERE r.sequence > 0 AND (
          e.parent <> c.parent OR substr(c.path, length(c.path) - length(e.name)) <> '/' || e.name
            OR e.kind <> c.kind OR e.version <> c.version
          OR e.size <> c.size OR e.content_hash IS DISTINCT FROM c.content_hash OR e.mime_type IS DISTINCT FROM c.mime_type
          OR e.modified_at <> c.modified_at OR e.executable <> c.executable OR e.target IS DISTINCT FROM c.target)
        """
      ) { "Entry \(HexDigits.encode($0.blob(0))) of namespace \(namespace) is not as the feed says." }
  }
}
