internal import SQLiteDatabase

/// What SQLite's planner is told of how rows are spread, in place of what ANALYZE would find.
///
/// Without statistics SQLite takes any index's first column to leave ten rows, so for a folder of a namespace with millions of entries it
/// may walk all of the namespace. ANALYZE would have to be run again as a cluster grows, and a plan could change on any day. These figures
/// are the same on every installation and day: those of many large trees. PostgreSQL keeps its own.
///
/// Each line is a table, an index (or the table itself for its primary key), and rows in all, then rows that one value of its first column
/// leaves, of its first two, and so on: the format of `sqlite_stat1`.
enum PlannerStatistics {
  static let lines = """
    entries entries 5000000 50000 1
    entries entries_by_name 5000000 50000 50 1
    entries folders_by_parent 500000 5000 5
    entries entries_by_key 500000 5000 5 1
    entries entries_removed 500000 5000 5 1
    entries entries_purging 5000 50
    entries trash_by_namespace 500000 5000 1
    entries trash_by_time 500000 1
    versions versions 10000000 100000 2 1
    versions versions_superseded 5000000 1
    block_pages sqlite_autoindex_block_pages_1 100000 1000 1
    changes changes 10000000 100000 1
    changes changes_by_others 1000000 10000 1
    share_changes share_changes 10000000 100000 1000 1
    share_changes share_changes_by_sequence 10000000 100000 2
    shares sqlite_autoindex_shares_1 1000000 10000 2 1
    shares shares_by_member 1000000 100 1
    shares shares_by_namespace 1000000 100 10
    links links 100000 1
    links links_by_entry 100000 1000 2
    links links_by_creator 100000 100 1
    links links_by_expiry 100000 1
    blocks blocks 10000000 1
    blocks blocks_unreferenced 100000 1000
    namespace_blocks namespace_blocks 10000000 100000 1
    uploads sqlite_autoindex_uploads_1 100000 1
    uploads uploads_by_expiry 100000 1
    uploads uploads_open 1000 5
    upload_positions upload_positions 1000000 100 1
    upload_blocks upload_blocks 1000000 100 1
    upload_blocks upload_blocks_by_block 1000000 2
    upload_receipts upload_receipts 1000000 100 3 1
    gc_deletes gc_deletes 1000000 1
    gc_deletes gc_deletes_by_epoch 1000000 10000
    repairs sqlite_autoindex_repairs_1 10000 1
    strays strays 10000 2 1
    """

  private static let rows = lines.split(separator: "\n").map { line in
    let words = line.split(separator: " ", maxSplits: 2).map(String.init)
    return (table: words[0], index: words[1], figures: words[2])
  }

  /// Writes the statistics unless they are there, and has the connection plan by them; so do those that are opened later.
  static func install(on connection: SQLiteConnection) throws {
    // With the name of the schema table nothing is counted: it makes the table of statistics, or reads it anew.
    try connection.execute("ANALYZE sqlite_schema")
    let known = try connection.all("SELECT tbl || ' ' || coalesce(idx, '') || ' ' || stat FROM sqlite_stat1 ORDER BY rowid") { $0.text(0) }
    guard known.joined(separator: "\n") != lines else { return }
    try connection.write {
      try connection.run("DELETE FROM sqlite_stat1")
      for row in rows {
        try connection.run(
          "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", .text(row.table), .text(row.index), .text(row.figures))
      }
    }
    try connection.execute("ANALYZE sqlite_schema")
  }
}
