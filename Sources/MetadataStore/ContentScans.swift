internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Rows of `content_scans`: the line of versions that wait for the malware scanner, and what it found. See `ScanMetadata`.
enum ScanState: Int64 {
  case unscanned = 0
  case infected = 1
  case unscannable = 2
  case released = 3
}

extension NamespaceEditor {
  /// A version was committed: it waits for the scanner, when there is one. One without bytes has nothing to find.
  func queueScan(of version: Int64, size: Int64, _ entry: EntryID) throws {
    guard context.options.scanning != .off, size > 0 else { return }
    try db.send(
      "INSERT OR IGNORE INTO content_scans (ns, entry, version, state, due_at, attempts) VALUES (?, ?, ?, ?, ?, 0)", .integer(namespace),
      .id(entry), .integer(version), .integer(ScanState.unscanned.rawValue), .time(now))
  }

  /// A version has the very content of another one, which the caller could name: what was found of that counts for this too.
  func inheritScan(by version: Int64, of entry: EntryID, from origin: (namespace: Int64, entry: EntryID, version: Int64)) throws {
    try db.send(
      """
      INSERT OR IGNORE INTO content_scans (ns, entry, version, state, due_at, attempts, finding)
      SELECT ?, ?, ?, state, due_at, attempts, finding FROM content_scans WHERE ns = ? AND entry = ? AND version = ?
      """, .integer(namespace), .id(entry), .integer(version), .integer(origin.namespace), .id(origin.entry), .integer(origin.version))
  }

  /// - Parameter version: nil for all of the entry's.
  func forgetScans(of entry: EntryID, version: Int64? = nil) throws {
    if let version {
      try db.send(
        "DELETE FROM content_scans WHERE ns = ? AND entry = ? AND version = ?", .integer(namespace), .id(entry), .integer(version))
    } else {
      try db.send("DELETE FROM content_scans WHERE ns = ? AND entry = ?", .integer(namespace), .id(entry))
    }
  }
}

extension ReadTransaction {
  /// - Throws: `.quarantined` for what was found infected, `.notScanned` for what has to be scanned before it is served.
  func checkScan(_ namespace: Int64, _ entry: EntryID, _ version: Int64, path: String, _ scanning: ContentScanning) throws {
    let row = try db.first(
      "SELECT state, finding FROM content_scans WHERE ns = ? AND entry = ? AND version = ?", .integer(namespace), .id(entry),
      .integer(version)
    ) { (state: $0.int64(0), finding: $0.optionalText(1)) }
    guard let row, let state = ScanState(rawValue: row.state) else { return }
    switch (state, scanning) {
    case (.infected, _):
      throw Problem(
        .quarantined,
        "Version \(version) of \(path) is quarantined: a malware scanner found \(row.finding ?? "something") in it. "
          + "Earlier versions can be restored; an operator can release it.")
    case (.unscanned, .refusesUnscanned):
      throw Problem(.notScanned, "Version \(version) of \(path) was not scanned for malware yet; try again soon.", retryAfter: 2)
    case (.unscannable, .refusesUnscanned):
      throw Problem(
        .quarantined,
        "Version \(version) of \(path) could not be scanned for malware (\(row.finding ?? "no reason is known")), and is not served "
          + "before an operator releases it.")
    case (.unscanned, _), (.unscannable, _), (.released, _): return
    }
  }

  func dueScans(limit: Int, at now: WallTime) throws -> [DueScan] {
    try db.all(
      """
      SELECT c.number, c.ns, v.size, c.attempts FROM content_scans c
      JOIN versions v ON v.ns = c.ns AND v.entry = c.entry AND v.version = c.version
      WHERE c.due_at <= ? ORDER BY c.due_at LIMIT ?
      """, .time(now), .int(limit)
    ) { DueScan(number: $0.int64(0), namespaceNumber: $0.int64(1), size: $0.int64(2), attempts: $0.int(3)) }
  }

  func scanBlocks(_ scan: DueScan, first: Int, limit: Int) throws -> [ScanBlock]? {
    let found = try db.first(
      "SELECT ns, entry, version FROM content_scans WHERE number = ? AND due_at IS NOT NULL", .integer(scan.number)
    ) { (namespace: $0.int64(0), entry: $0.id(1) as EntryID, version: $0.int64(2)) }
    guard let found, let version = try version(found.namespace, found.entry, found.version) else { return nil }
    return try blocks(of: version.list, found.namespace, first: first, limit: min(max(1, limit), ReadTransaction.planLimit)).map {
      ScanBlock(id: $0.id, size: $0.size, strays: try strays(of: $0.id))
    }
  }

  func scanCounts() throws -> ScanCounts {
    func count(_ condition: String) throws -> Int {
      try db.first("SELECT count(*) FROM content_scans WHERE \(condition)") { $0.int(0) } ?? 0
    }
    return ScanCounts(
      waiting: try count("due_at IS NOT NULL"), infected: try count("state <> 0 AND state = 1"),
      unscannable: try count("state <> 0 AND state = 2"))
  }

  func quarantine(limit: Int, cursor: String?) throws -> Page<QuarantinedVersion> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let before = try cursor.map { try NumberCursor.decode("q", count: 1, $0)[0] } ?? .max
    var items = try heldVersions("c.number < ? ORDER BY c.number DESC LIMIT ?", .integer(before), .int(limit + 1))
    let hasMore = items.count > limit
    if hasMore { items.removeLast() }
    return Page(items: items, next: hasMore ? items.last.map { NumberCursor.encode("q", $0.number) } : nil)
  }
}

extension MetadataReading {
  /// What was found in a version that is not served for it.
  func finding(_ namespace: Int64, _ entry: EntryID, _ version: Int64) throws -> String? {
    try db.first(
      "SELECT finding FROM content_scans WHERE ns = ? AND entry = ? AND version = ? AND state = 1", .integer(namespace), .id(entry),
      .integer(version)
    ) { $0.optionalText(0) } ?? nil
  }

  func heldVersions(_ condition: String, _ values: SQLValue...) throws -> [QuarantinedVersion] {
    var found: [(item: QuarantinedVersion, namespace: Int64)] = []
    try db.rows(
      """
      SELECT c.number, c.state, c.finding, o.name, c.entry, c.version, v.size, a.name, c.found_at, c.released_at, c.ns FROM content_scans c
      JOIN versions v ON v.ns = c.ns AND v.entry = c.entry AND v.version = c.version
      JOIN namespaces n ON n.number = c.ns JOIN users o ON o.number = n.owner LEFT JOIN users a ON a.number = v.author
      WHERE c.state <> 0 AND \(condition)
      """, values
    ) { row in
      let state: QuarantinedVersion.State =
        switch ScanState(rawValue: row.int64(1)) {
        case .infected: .infected
        case .released: .released
        case .unscannable, .unscanned, nil: .unscannable
        }
      let item = QuarantinedVersion(
        number: row.int64(0), state: state, finding: row.optionalText(2) ?? "", owner: row.text(3), entry: row.id(4), path: nil,
        version: row.int64(5), size: row.int64(6), author: row.optionalText(7) ?? "?",
        foundAt: row.optionalInt64(8).map { WallTime(microseconds: $0) },
        releasedAt: row.optionalInt64(9).map { WallTime(microseconds: $0) })
      found.append((item, row.int64(10)))
      return true
    }
    return try found.map { item, namespace in
      var item = item
      if let row = try entry(namespace, item.entry) { item.path = try path(of: row, namespace) }
      return item
    }
  }
}

extension WriteTransaction {
  func recordScan(_ scan: DueScan, _ outcome: ScanOutcome) throws {
    let isWaiting = "number = ? AND due_at IS NOT NULL"
    switch outcome {
    case .clean: try db.send("DELETE FROM content_scans WHERE \(isWaiting)", .integer(scan.number))
    case .later(let pause):
      try db.send(
        "UPDATE content_scans SET due_at = ?, attempts = attempts + 1 WHERE \(isWaiting)", .time(now + pause), .integer(scan.number))
    case .unscannable(let reason):
      try db.send(
        "UPDATE content_scans SET state = ?, finding = ?, due_at = NULL WHERE \(isWaiting)", .integer(ScanState.unscannable.rawValue),
        .text(reason),
        .integer(scan.number))
    case .infected(let signature):
      guard let owner = try ownerOf(scan.namespaceNumber) else { return }
      try edit(owner) { editor in
        // A time of its own among the namespace's changes, which notifications are paged by.
        let at = max(now, WallTime(microseconds: editor.state.lastTime.microseconds + 1))
        let changed = try db.run(
          "UPDATE content_scans SET state = ?, finding = ?, found_at = ?, due_at = NULL WHERE \(isWaiting) AND ns = ?",
          .integer(ScanState.infected.rawValue), .text(signature), .time(at), .integer(scan.number), .integer(scan.namespaceNumber))
        guard changed > 0 else { return }
        editor.state.lastTime = at
        guard let item = try heldVersions("c.number = ?", .integer(scan.number)).first else { return }
        try log(
          actor: "coordinator", action: "quarantine-version",
          subject: "\(item.number) \(item.owner) \(item.entry.hex) version \(item.version): \(signature)")
      }
    }
  }

  func changeQuarantine(of number: Int64, _ change: QuarantineChange) throws -> QuarantinedVersion {
    guard let item = try heldVersions("c.number = ?", .integer(number)).first else {
      throw Problem(.notFound, "No version of number \(number) is in quarantine; “cairnctl quarantine list” shows them.")
    }
    switch change {
    case .release:
      try db.send(
        "UPDATE content_scans SET state = ?, released_at = ?, due_at = NULL WHERE number = ?", .integer(ScanState.released.rawValue),
        .time(now),
        .integer(number))
    case .rescan:
      // Until the outcome is known it stays as it is.
      try db.send("UPDATE content_scans SET due_at = ?, attempts = 0 WHERE number = ?", .time(now), .integer(number))
    }
    return try heldVersions("c.number = ?", .integer(number)).first ?? item
  }
}
