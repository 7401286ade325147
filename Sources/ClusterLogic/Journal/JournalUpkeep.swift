package import BlockModel

/// When a new snapshot of the metadata goes to the nodes, after which the records before it are dropped.
///
/// What must hold: what the nodes keep is bounded: one snapshot, one on its way, and records of at most half a snapshot or 64 MiB,
/// whichever is more (plus what is written while a snapshot is on its way).
package struct JournalUpkeep: Sendable {
  package static let leastBytes = 64 << 20
  /// Between snapshots that are due for another reason than many records; and four times as long as the last one took.
  package static let pause: Duration = .seconds(10)
  /// After one that did not reach enough nodes.
  package static let failurePause: Duration = .seconds(1)

  /// Bytes of the last snapshot as nodes keep it.
  private var baseBytes: Int
  private var recordBytes: Int
  private var isWanted: Bool
  private var isUnderWay = false
  private var beganAt = MonotonicTime.zero
  private var tookLast: Duration = .zero
  private var endedAt: MonotonicTime?
  private var hasFailed = false

  /// - Parameters:
  ///   - isWanted: there is no snapshot yet that the present records follow on.
  ///   - baseBytes: of the snapshot that is there.
  ///   - recordBytes: of the records since.
  package init(isWanted: Bool, baseBytes: Int = 0, recordBytes: Int = 0) {
    self.isWanted = isWanted
    self.baseBytes = baseBytes
    self.recordBytes = recordBytes
  }

  package mutating func appended(bytes: Int) { recordBytes += bytes }
  /// Some node holds less of the history than others do, or what it holds may go with it.
  package mutating func membersChanged() { isWanted = true }
  /// What is kept is sealed under a key that is to go.
  package mutating func keysChanged() { isWanted = true }

  /// Whether to begin one now; the caller does, and says how it ended.
  package mutating func begin(_ now: MonotonicTime) -> Bool {
    guard !isUnderWay, isWanted || recordBytes >= max(JournalUpkeep.leastBytes, baseBytes / 2) else { return false }
    if let endedAt, now - endedAt < (hasFailed ? JournalUpkeep.failurePause : JournalUpkeep.pause + tookLast * 4) { return false }
    isUnderWay = true
    beganAt = now
    isWanted = false
    recordBytes = 0
    return true
  }

  /// - Parameter bytes: of the snapshot; nil when it did not reach enough nodes.
  package mutating func ended(bytes: Int?, at now: MonotonicTime) {
    isUnderWay = false
    endedAt = now
    tookLast = now - beganAt
    hasFailed = bytes == nil
    if let bytes { baseBytes = bytes } else { isWanted = true }
  }
}
