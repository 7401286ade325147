internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// What the items of one batch have in common, kept from one to the next in place of being written and read again.
///
/// What must hold: a batch only uploads, so no folder goes or moves in it, and nobody else reads a namespace's counters before its end; an
/// item that fails leaves this as it was before it, without the folders that it may have made.
struct BatchMemory {
  struct Counters {
    var now: NamespaceState
    /// As the row says it.
    var saved: NamespaceState
    var quota: Int64?
  }

  struct Folder: Hashable {
    var namespace: Int64
    var path: [EntryName]
  }

  var counters: [Int64: Counters] = [:]
  var folders: [Folder: EntryID] = [:]
}

extension WriteTransaction {
  /// Runs many uploads that share what they can.
  func batch<T>(_ body: () throws -> T) throws -> T {
    context.batch = BatchMemory()
    defer { context.batch = nil }
    let value = try body()
    for (namespace, counters) in (context.batch?.counters ?? [:]).sorted(by: { $0.key < $1.key }) {
      try write(counters.now, saved: counters.saved, of: namespace)
    }
    return value
  }

  /// Runs one item of a batch so that its failure undoes it alone.
  func item<T>(_ body: () throws -> T) throws -> ItemResult<T> {
    let counts = context.partitionCounts
    let counters = context.batch?.counters
    do { return ItemResult(value: try part(body)) } catch let problem as Problem {
      context.letClusterGo()
      context.partitionCounts = counts
      if let counters { context.batch = BatchMemory(counters: counters) }
      return ItemResult(problem: problem)
    }
  }

  /// Writes what changed of a namespace's counters.
  func write(_ state: NamespaceState, saved: NamespaceState, of namespace: Int64) throws {
    guard state != saved else { return }
    try db.send(
      """
      UPDATE namespaces SET sequence = ?, last_time = ?, used = ?, reserved = ?, files = ?, shares = ?, encrypted_folders = ?
      WHERE number = ?
      """, .integer(state.sequence), .time(state.lastTime), .integer(state.used), .integer(state.reserved), .integer(state.files),
      .integer(state.shares), .integer(state.encryptedFolders), .integer(namespace))
    if state.sequence != saved.sequence { context.noteChanged(namespace) }
  }
}
