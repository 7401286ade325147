internal import BlockModel
internal import ClusterLogic
package import Platform
package import ServiceAPI
internal import Synchronization

/// Keeps this node's `SealLedger` over restarts and waits for what it says is under way.
///
/// What must hold: from the moment `seal` answers, also after a restart, no write of an older layout is acknowledged for the partition; the
/// newest layout that a command spoke of is on disk before the command is acted upon.
package final class PartitionSeals: Sendable {
  private struct Document: Codable, Equatable {
    /// The newest layout that a command of the coordinator was signed under.
    var layoutVersion: UInt64 = 0
    /// Sealed before anything else is known: what is taken when the file cannot be read.
    var allBelow: UInt64 = 0
    var partitions: [Int] = []
    var versions: [UInt64] = []
  }

  fileprivate struct State {
    var ledger: SealLedger
    /// Grows with each change of what is to be on disk.
    var change: UInt64 = 0
  }

  private static let magic = "cairn partition seals 1 "
  private static let sizeLimit = 64 << 20
  private static let pollInterval: Duration = .milliseconds(5)
  /// How long a seal or a newer command waits for what is under way before it answers that it is busy.
  private static let patience: Duration = .seconds(4)

  private let path: String
  private let pool: BlockingPool
  private let state: Mutex<State>
  /// The change that is on disk; held while writing, so that files are written in order.
  private let written = Mutex<UInt64>(0)

  /// Reads what was sealed. Blocks.
  /// - Parameter knownLayout: the newest layout that this node knows. Where the file is damaged, everything counts as sealed against older
  ///   ones: that costs clients a fresh URL, and forgets nothing.
  /// - Throws: `FileError` when the file cannot be read.
  package init(folder: String, knownLayout: UInt64, pool: BlockingPool) throws {
    path = folder + "/partition-seals"
    self.pool = pool
    var document = Document()
    if let bytes = try AtomicFile.read(path, limit: PartitionSeals.sizeLimit) {
      document = PartitionSeals.decode(bytes) ?? Document(layoutVersion: knownLayout, allBelow: knownLayout)
    }
    let rows = zip(document.partitions, document.versions).map { (partition: $0, version: $1) }
    // Drawn anew by each start, so that what a former life listed is not given up by this one. JSON numbers are exact up to 2^53.
    let firstMark = UInt64.random(in: 0..<(1 << 52))
    state = Mutex(
      State(
        ledger: SealLedger(
          layoutVersion: document.layoutVersion, allBelow: document.allBelow, rows: rows, firstMark: firstMark)))
  }

  /// The oldest layout that may write to the partition.
  package func seal(of partition: Int) -> UInt64 { state.withLock { $0.ledger.seal(of: partition) } }

  /// What has to come with the command to give up what is listed from here on.
  package func mark(of partition: Int) -> UInt64 { state.withLock { $0.ledger.mark(of: partition) } }

  // MARK: Writes

  /// Lets a write in; `leave` with the same arguments ends it.
  /// - Throws: `.staleLayout`; `.busy` while copies of the partition are given up.
  package func enter(_ partition: Int, layoutVersion: UInt64) throws(Problem) {
    let result = state.withLock { state in
      Result { () throws(SealLedger.Refusal) in try state.ledger.enter(partition, layoutVersion: layoutVersion) }
    }
    do { try result.get() } catch { throw Problem(error, layoutVersion: layoutVersion) }
  }

  package func leave(_ partition: Int, layoutVersion: UInt64) {
    state.withLock { $0.ledger.leave(partition, layoutVersion: layoutVersion) }
  }

  /// Seals the partitions durably and waits until no older write is under way in them.
  /// - Throws: `.busy` when some still are after a few seconds; they are sealed all the same. `FileError` when the seals could not be kept.
  package func seal(_ partitions: [Int], layoutVersion: UInt64) async throws {
    try await save(state.withLock { $0.note($0.ledger.seal(partitions, layoutVersion: layoutVersion)) })
    try await wait { $0.isQuiet(partitions, before: layoutVersion) }
  }

  // MARK: Commands

  /// Notes that a command of this layout was signed, durably, before it is acted upon.
  /// - Throws: as `seal`.
  package func observe(layoutVersion: UInt64) async throws {
    try await save(state.withLock { $0.note($0.ledger.observe(layoutVersion: layoutVersion)) })
    try await wait { $0.hasRetired(before: layoutVersion) }
  }

  /// Begins to give up blocks of a partition; `endRetiring` ends it.
  /// - Throws: `.fenced` when a newer layout is known, `.conflict` when the partition is not sealed under this one or was written to since
  ///   the mark.
  package func beginRetiring(_ partition: Int, layoutVersion: UInt64, mark: UInt64) throws(Problem) {
    let result = state.withLock { state in
      Result { () throws(SealLedger.Refusal) in try state.ledger.beginRetiring(partition, layoutVersion: layoutVersion, mark: mark) }
    }
    do { try result.get() } catch { throw Problem(error, layoutVersion: layoutVersion) }
  }

  package func endRetiring(_ partition: Int, layoutVersion: UInt64) {
    state.withLock { $0.ledger.endRetiring(partition, layoutVersion: layoutVersion) }
  }

  private func wait(until isOver: (borrowing SealLedger) -> Bool) async throws {
    let clock = ContinuousClock()
    let end = clock.now + PartitionSeals.patience
    while !state.withLock({ isOver($0.ledger) }) {
      guard clock.now < end else { throw Problem(.busy, "Writes of an older layout are still under way; ask again.", retryAfter: 1) }
      try await Task.sleep(for: PartitionSeals.pollInterval)
    }
  }

  // MARK: The file

  /// Returns when this change is on disk, by this call or by one at the same time.
  private func save(_ change: UInt64) async throws {
    guard change > 0 else { return }
    try await pool.run {
      try self.written.withLock { written in
        guard written < change else { return }
        let (document, newest) = self.state.withLock { state -> (Document, UInt64) in
          let (ledger, rows) = (state.ledger, state.ledger.rows)
          return (
            Document(
              layoutVersion: ledger.layoutVersion, allBelow: ledger.allBelow, partitions: rows.map(\.partition),
              versions: rows.map(\.version)),
            state.change
          )
        }
        let json = try JSONCoding.encode(document)
        let head = PartitionSeals.magic + HexDigits.encode(SHA256Hasher.hash(json)) + "\n"
        try AtomicFile.write(self.path, Array(head.utf8) + json)
        written = newest
      }
    }
  }

  private static func decode(_ bytes: [UInt8]) -> Document? {
    guard let newline = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let json = Array(bytes[(newline + 1)...])
    guard bytes[..<newline].elementsEqual((magic + HexDigits.encode(SHA256Hasher.hash(json))).utf8),
      let document = try? JSONCoding.decode(Document.self, from: json, limit: sizeLimit),
      document.partitions.count == document.versions.count
    else { return nil }
    return document
  }
}

extension PartitionSeals.State {
  /// The number of the change that has to be on disk; the present one when there is nothing new, because it may still be on its way there.
  fileprivate mutating func note(_ isNew: Bool) -> UInt64 {
    if isNew { change += 1 }
    return change
  }
}

extension Problem {
  static func sealed(layoutVersion: UInt64, seal: UInt64) -> Problem {
    Problem(
      .staleLayout,
      "This node has handed this block's partition on (layout \(seal), URL of \(layoutVersion)): ask for a fresh URL.")
  }

  init(_ refusal: SealLedger.Refusal, layoutVersion: UInt64) {
    switch refusal {
    case .sealed(let seal): self = .sealed(layoutVersion: layoutVersion, seal: seal)
    case .newerLayout(let newer):
      self.init(.fenced, "The command is of layout \(layoutVersion); this node was told of \(newer).")
    case .notSealed: self.init(.conflict, "The partition is not sealed under layout \(layoutVersion).")
    case .written: self.init(.conflict, "The partition was written to since it was listed: list it again.")
    case .retiring: self.init(.busy, "This node is giving up copies of this partition just now.", retryAfter: 1)
    }
  }

  init(_ refusal: LayoutFence.Refusal, layoutVersion: UInt64) {
    switch refusal {
    case .sealed(let seal): self = .sealed(layoutVersion: layoutVersion, seal: seal)
    case .stranger(let version):
      self.init(
        .staleLayout,
        "This node no longer holds this block's partition (layout \(version), URL of \(layoutVersion)): ask for a fresh URL.")
    case .otherLayout: self.init(.staleLayout, "This node has another layout than \(layoutVersion).", retryAfter: 1)
    case .replica: self.init(.fenced, "This node is a replica of the partition in layout \(layoutVersion).")
    case .stale: self.init(.fenced, "The command is of layout \(layoutVersion); this node has seen a newer layout or epoch.")
    case .behind: self.init(.busy, "This node has not heard of the command's collection epoch yet.", retryAfter: 1)
    }
  }
}
