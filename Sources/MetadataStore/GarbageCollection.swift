internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import SQLSession
internal import ServiceAPI

extension Settings {
  /// Deletes under epochs up to this one are not in the log any more.
  static let gcFloor = "gc-floor"
}

extension MetadataReading {
  func gcEpoch() throws -> UInt64 { UInt64(try Settings.number(db, Settings.gcEpoch)) }

  func gcHold() throws -> String? {
    try db.first("SELECT reason FROM gc_hold") { $0.text(0) }
  }

  func gcFloor() throws -> UInt64 {
    try db.first("SELECT value FROM settings WHERE key = ?", .text(Settings.gcFloor)) { UInt64(clamping: $0.int64(0)) } ?? 0
  }

  func garbageRecord() throws -> GarbageRecord {
    let unreferenced = try db.first("SELECT count(*) FROM blocks WHERE namespaces = 0") { $0.int(0) } ?? 0
    return GarbageRecord(
      epoch: try gcEpoch(), hold: try gcHold(), newest: try garbageRuns(limit: 1).first, unreferenced: unreferenced,
      isUndoDue: try Settings.found(db, Settings.undoDue).map { $0 != 0 } ?? false)
  }

  func garbageRuns(limit: Int) throws -> [GarbageRun] {
    try db.all("SELECT document FROM gc_runs ORDER BY number DESC LIMIT ?", .int(max(0, limit))) { try decodeRun($0.blob(0)) }
  }

  func openGarbageRun() throws -> (run: GarbageRun, generation: UInt64)? {
    try db.first("SELECT document, generation FROM gc_runs WHERE is_open = 1 ORDER BY number DESC LIMIT 1") {
      (try decodeRun($0.blob(0)), UInt64(clamping: $0.int64(1)))
    }
  }

  private func decodeRun(_ document: [UInt8]) throws -> GarbageRun {
    do { return try JSONCoding.decode(GarbageRun.self, from: document) } catch {
      throw MetadataError(.unusable, "A run of the garbage collector in the database cannot be read: \(error)")
    }
  }

  // MARK: - Judging

  /// Why nothing wants a block; nil when something does, or did in this epoch still.
  func garbageCause(of block: BlockID, below epoch: UInt64) throws -> GarbageCause? {
    let row = try db.first("SELECT namespaces, unreferenced_epoch, was_referenced FROM blocks WHERE id = ?", .block(block)) {
      (namespaces: $0.int64(0), epoch: $0.optionalInt64(1), wasReferenced: $0.bool(2))
    }
    if let row {
      guard row.namespaces == 0, let dropped = row.epoch, UInt64(clamping: dropped) < epoch else { return nil }
    }
    let isAnnounced = try db.first("SELECT 1 FROM upload_blocks WHERE block = ? LIMIT 1", .block(block)) { _ in true }
    guard isAnnounced == nil else { return nil }
    if let row { return row.wasReferenced ? .dereferenced : .abandoned }
    return try deletedEpoch(of: block) == nil ? .unlogged : .deletedBefore
  }

  func garbageVerdicts(on blocks: [BlockID], below epoch: UInt64) throws -> [GarbageVerdict] {
    var verdicts: [GarbageVerdict] = []
    for block in blocks {
      if let cause = try garbageCause(of: block, below: epoch) { verdicts.append(GarbageVerdict(block: block, cause: cause)) }
    }
    return verdicts
  }

  /// The epoch of the block's newest logged delete.
  func deletedEpoch(of block: BlockID) throws -> UInt64? {
    try db.first("SELECT epoch FROM gc_deletes WHERE block = ?", .block(block)) { UInt64(clamping: $0.int64(0)) }
  }

  /// Whether a delete of it that was logged under this epoch or a later one is on record.
  func isDeleted(_ block: BlockID, since epoch: UInt64) throws -> Bool { try deletedEpoch(of: block).map { $0 >= epoch } ?? false }

  /// Whether a copy that was acknowledged under an epoch may have been deleted since: then its receipt says nothing any more.
  func mayBeDeleted(_ block: BlockID, acknowledgedUnder epoch: UInt64) throws -> Bool {
    if let deleted = try deletedEpoch(of: block) { return epoch < deleted }
    return try epoch < gcFloor()
  }

  func unaccountedDeletes(_ deletes: [(block: BlockID, epoch: UInt64)]) throws -> [BlockID] {
    let floor = try gcFloor()
    return try deletes.filter { delete in
      guard delete.epoch > floor else { return false }
      return try deletedEpoch(of: delete.block).map { $0 < delete.epoch } ?? true
    }.map(\.block)
  }
}

extension WriteTransaction {
  /// Runs that are remembered.
  private static let runsKept: UInt64 = 100

  func beginGarbageRun(_ request: GarbageRunRequest) throws -> GarbageRun {
    if let hold = try gcHold() { throw MetadataError(.conflict, "Collecting is on hold: \(hold)") }
    if let open = try openGarbageRun() { throw MetadataError(.conflict, "Run \(open.run.number) of the garbage collector is under way.") }
    try db.run("UPDATE settings SET value = value + 1 WHERE key = ?", .text(Settings.gcEpoch))
    let number = (try garbageRuns(limit: 1).first?.number ?? 0) + 1
    let run = GarbageRun(
      number: number, epoch: try gcEpoch(), cause: request.cause, startedAt: now, partitionCount: request.partitionCount,
      acceptsUnlogged: request.acceptsUnlogged)
    try db.run(
      "INSERT INTO gc_runs (number, generation, is_open, document) VALUES (?, ?, 1, ?)", .integer(Int64(number)),
      .integer(Int64(request.generation)), .blob(try JSONCoding.encode(run)))
    if number > WriteTransaction.runsKept {
      try db.run("DELETE FROM gc_runs WHERE number <= ?", .integer(Int64(number - WriteTransaction.runsKept)))
    }
    try log(actor: "coordinator", action: "collect-garbage", subject: "run \(number), epoch \(run.epoch): \(request.cause)")
    return run
  }

  func adoptGarbageRun(generation: UInt64) throws -> GarbageRun? {
    guard let open = try openGarbageRun() else { return nil }
    guard open.generation <= generation else {
      throw MetadataError(.conflict, "A coordinator of generation \(open.generation) works on run \(open.run.number).")
    }
    try db.run("UPDATE gc_runs SET generation = ? WHERE number = ?", .integer(Int64(generation)), .integer(Int64(open.run.number)))
    return open.run
  }

  func saveGarbageRun(_ run: GarbageRun, generation: UInt64) throws {
    _ = try checkedRun(run.number, generation)
    try write(run)
  }

  private func write(_ run: GarbageRun) throws {
    var run = run
    let isEnded = run.phase == .ended
    if isEnded {
      run.endedAt = now
      // Nodes that hear of the next epoch refuse the run's deletes that are still on their way.
      try db.run("UPDATE settings SET value = max(value, ?) WHERE key = ?", .integer(Int64(run.epoch + 1)), .text(Settings.gcEpoch))
    }
    try db.run(
      "UPDATE gc_runs SET is_open = ?, document = ? WHERE number = ?", .flag(!isEnded), .blob(try JSONCoding.encode(run)),
      .integer(Int64(run.number)))
  }

  /// - Throws: `.conflict` unless the run is open and of this generation.
  private func checkedRun(_ number: UInt64, _ generation: UInt64) throws -> GarbageRun {
    guard let open = try openGarbageRun(), open.run.number == number, open.generation == generation else {
      throw MetadataError(.conflict, "Run \(number) of the garbage collector has ended, or another coordinator took it over.")
    }
    return open.run
  }

  func authorizeDeletes(of blocks: [BlockID], run: UInt64, generation: UInt64) throws -> [BlockID] {
    precondition(blocks.count <= 1000, "deletes are authorized in pages")
    let open = try checkedRun(run, generation)
    // What is deleted is what lies below the present epoch; a run whose epoch is not the present one is of another database.
    guard try gcEpoch() == open.epoch else { throw MetadataError(.conflict, "The epoch of run \(run) has passed.") }
    var granted: [BlockID] = []
    for block in blocks {
      guard let cause = try garbageCause(of: block, below: open.epoch) else { continue }
      try logDelete(of: block, cause, open.epoch)
      granted.append(block)
    }
    return granted
  }

  private func logDelete(of block: BlockID, _ cause: GarbageCause, _ epoch: UInt64) throws {
    try db.run("DELETE FROM blocks WHERE id = ? AND namespaces = 0", .block(block))
    try db.run(
      """
      INSERT INTO gc_deletes (block, epoch, cause, at) VALUES (?, ?, ?, ?)
      ON CONFLICT (block) DO UPDATE SET epoch = excluded.epoch, cause = excluded.cause, at = excluded.at
      """, .block(block), .integer(Int64(epoch)), .int(cause.number), .time(now))
  }

  /// Logged as a delete too: a copy may have come to a node meanwhile, from one that was being emptied.
  func forgetGarbage(run: UInt64, generation: UInt64, limit: Int) throws -> Int {
    let open = try checkedRun(run, generation)
    let unwanted = try db.all(
      """
      SELECT b.id FROM blocks b WHERE b.namespaces = 0 AND b.unreferenced_epoch < ?
      AND NOT EXISTS (SELECT 1 FROM upload_blocks u WHERE u.block = b.id) LIMIT ?
      """, .integer(Int64(open.epoch)), .int(limit)
    ) { $0.block(0) }
    for block in unwanted {
      if let cause = try garbageCause(of: block, below: open.epoch) { try logDelete(of: block, cause, open.epoch) }
    }
    return try unwanted.count + trimDeletes(limit)
  }

  /// Forgets deletes that lie back longer than versions are kept. Receipts that are older still do not count then, for any block.
  private func trimDeletes(_ limit: Int) throws -> Int {
    let old = try db.first(
      "SELECT max(epoch) FROM gc_deletes WHERE at <= ?", .time(now - context.options.retention)
    ) { $0.optionalInt64(0) }
    guard let old, let old else { return 0 }
    let floor = max(try gcFloor(), UInt64(clamping: old))
    try setGarbageFloor(floor)
    return try db.run(
      "DELETE FROM gc_deletes WHERE block IN (SELECT block FROM gc_deletes WHERE epoch <= ? ORDER BY epoch, block LIMIT ?)",
      .integer(Int64(floor)), .int(limit))
  }

  private func setGarbageFloor(_ floor: UInt64) throws {
    try db.run(
      "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", .text(Settings.gcFloor),
      .integer(Int64(floor)))
  }

  func holdGarbage(_ reason: String?) throws {
    try db.run("DELETE FROM gc_hold")
    guard let reason else {
      return try log(actor: "operator", action: "release-garbage", subject: "")
    }
    try db.run("INSERT INTO gc_hold (reason) VALUES (?)", .text(reason))
    if var open = try openGarbageRun()?.run {
      open.phase = .ended
      open.outcome = .stopped
      open.reason = reason
      try write(open)
    }
    try log(actor: "operator", action: "hold-garbage", subject: reason)
  }
}

extension GarbageCause {
  fileprivate var number: Int {
    switch self {
    case .dereferenced: 0
    case .abandoned: 1
    case .deletedBefore: 2
    case .unlogged: 3
    }
  }
}
