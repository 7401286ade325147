internal import BlockModel
package import Platform
package import ServiceAPI
internal import Synchronization

/// Which partitions this node has sealed against older layouts, the newest layout that a command spoke of, and the writes under way.
///
/// What must hold:
/// - from the moment `seal` answers, also after a restart, no write of an older layout is acknowledged for the partition;
/// - `seal` answers only when none that was let in before is under way, so what the node shows then is all that it ever will have
///   acknowledged under older layouts;
/// - blocks are given up only under the newest layout that any command spoke of, and a command of a newer one waits until that has ended.
package final class PartitionSeals: Sendable {
  private struct Document: Codable, Equatable {
    /// The newest layout that a command of the coordinator was signed under.
    var layoutVersion: UInt64 = 0
    /// Sealed before anything else is known: what is taken when the file cannot be read.
    var allBelow: UInt64 = 0
    var partitions: [Int] = []
    var versions: [UInt64] = []
  }

  private struct State {
    var layoutVersion: UInt64
    var allBelow: UInt64
    var seals: [Int: UInt64]
    /// Layout versions of the writes under way, by partition.
    var writing: [Int: [UInt64]] = [:]
    /// Layout versions of the retirements under way.
    var retiring: [UInt64] = []
    /// Grows with each change of what is on disk.
    var change: UInt64 = 0

    func seal(_ partition: Int) -> UInt64 { max(allBelow, seals[partition] ?? 0) }
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
    state = Mutex(
      State(
        layoutVersion: document.layoutVersion, allBelow: document.allBelow,
        seals: Dictionary(zip(document.partitions, document.versions)) { max($0, $1) }))
  }

  /// The oldest layout that may write to the partition.
  package func seal(of partition: Int) -> UInt64 { state.withLock { $0.seal(partition) } }

  // MARK: Writes

  /// Lets a write in; `leave` with the same arguments ends it.
  /// - Throws: `.staleLayout`.
  package func enter(_ partition: Int, layoutVersion: UInt64) throws(Problem) {
    let sealed = state.withLock { state -> UInt64? in
      let seal = state.seal(partition)
      guard layoutVersion >= seal else { return seal }
      state.writing[partition, default: []].append(layoutVersion)
      return nil
    }
    if let sealed { throw Problem.sealed(layoutVersion: layoutVersion, seal: sealed) }
  }

  package func leave(_ partition: Int, layoutVersion: UInt64) {
    state.withLock { state in
      guard var list = state.writing[partition], let index = list.firstIndex(of: layoutVersion) else {
        preconditionFailure("a write that ends has begun")
      }
      list.remove(at: index)
      state.writing[partition] = list.isEmpty ? nil : list
    }
  }

  /// Seals the partitions durably and waits until no older write is under way in them.
  /// - Throws: `.busy` when some still are after a few seconds; they are sealed all the same. `FileError` when the seals could not be kept.
  package func seal(_ partitions: [Int], layoutVersion: UInt64) async throws {
    let change = state.withLock { state -> UInt64 in
      for partition in partitions where state.seal(partition) < layoutVersion {
        state.seals[partition] = layoutVersion
        state.change += 1
      }
      return state.change
    }
    try await save(change)
    try await wait { state in
      !partitions.contains { partition in state.writing[partition]?.contains { $0 < layoutVersion } ?? false }
    }
  }

  // MARK: Commands

  /// Notes that a command of this layout was signed, durably, before it is acted upon.
  /// - Throws: as `seal`.
  package func observe(layoutVersion: UInt64) async throws {
    let change = state.withLock { state -> UInt64? in
      guard layoutVersion > state.layoutVersion else { return nil }
      state.layoutVersion = layoutVersion
      state.change += 1
      return state.change
    }
    if let change { try await save(change) }
    try await wait { state in !state.retiring.contains { $0 < layoutVersion } }
  }

  /// Begins to give up blocks of a partition; `endRetiring` ends it.
  /// - Throws: `.fenced` when a newer layout is known, `.conflict` when the partition is not sealed under this one.
  package func beginRetiring(_ partition: Int, layoutVersion: UInt64) throws(Problem) {
    let problem = state.withLock { state -> Problem? in
      guard state.layoutVersion <= layoutVersion else {
        return Problem(.fenced, "The command is of layout \(layoutVersion); this node was told of \(state.layoutVersion).")
      }
      guard state.seal(partition) >= layoutVersion else { return Problem(.conflict, "Partition \(partition) is not sealed.") }
      state.retiring.append(layoutVersion)
      return nil
    }
    if let problem { throw problem }
  }

  package func endRetiring(layoutVersion: UInt64) {
    state.withLock { state in
      if let index = state.retiring.firstIndex(of: layoutVersion) { state.retiring.remove(at: index) }
    }
  }

  private func wait(until isOver: (borrowing State) -> Bool) async throws {
    let clock = ContinuousClock()
    let end = clock.now + PartitionSeals.patience
    while !state.withLock({ isOver($0) }) {
      guard clock.now < end else { throw Problem(.busy, "Writes of an older layout are still under way; ask again.", retryAfter: 1) }
      try await Task.sleep(for: PartitionSeals.pollInterval)
    }
  }

  // MARK: The file

  private func save(_ change: UInt64) async throws {
    try await pool.run {
      try self.written.withLock { written in
        guard written < change else { return }
        let (document, newest) = self.state.withLock { state -> (Document, UInt64) in
          let rows = state.seals.sorted { $0.key < $1.key }
          return (
            Document(
              layoutVersion: state.layoutVersion, allBelow: state.allBelow, partitions: rows.map(\.key), versions: rows.map(\.value)),
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

extension Problem {
  static func sealed(layoutVersion: UInt64, seal: UInt64) -> Problem {
    Problem(
      .staleLayout,
      "This node has handed this block's partition on (layout \(seal), URL of \(layoutVersion)): ask for a fresh URL.")
  }
}
