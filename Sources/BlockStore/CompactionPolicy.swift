/// Which segment is worth compacting, and how fast. A value that decides, and does nothing.
///
/// Compaction writes a segment's live records once more to have its dead ones' space. So it waits: a segment that is mostly live now costs
/// much for little, and will be less live later. While there is space, only segments that are at most half live are taken, each byte
/// moved for a byte gained; as the disk fills, fuller ones are.
package struct CompactionPolicy: Sendable, Equatable {
  /// A segment that is not written to.
  package struct Candidate: Sendable, Equatable {
    package var slot: UInt32
    /// Bytes that it takes on the disk.
    package var occupiedBytes: Int64
    /// Bytes that its live records' places take.
    package var liveBytes: Int64
    package init(slot: UInt32, occupiedBytes: Int64, liveBytes: Int64) {
      self.slot = slot
      self.occupiedBytes = occupiedBytes
      self.liveBytes = liveBytes
    }

    var gainBytes: Int64 { max(0, occupiedBytes - liveBytes) }
  }

  /// The most live that a segment may be, in thousandths, by how full the disk is.
  package var mostLive: [SpaceLevel: Int] = [.normal: 500, .warning: 600, .noCopies: 800, .noBlocks: 950]
  /// A segment that gives less back is left alone while it holds anything.
  package var leastGainBytes: Int64 = 256 << 10

  package init() {}

  /// The segment to compact now, nil when none is worth it: the least live of those that fit.
  ///
  /// - Parameter roomBytes: what can be written without giving anything back first.
  package func choose(_ candidates: [Candidate], level: SpaceLevel, roomBytes: Int64) -> Candidate? {
    let limit = Int64(mostLive[level] ?? 500)
    var best: Candidate?
    for candidate in candidates where candidate.liveBytes <= roomBytes {
      let isEmpty = candidate.liveBytes == 0
      guard isEmpty || candidate.gainBytes >= leastGainBytes && candidate.liveBytes * 1000 <= candidate.occupiedBytes * limit else {
        continue
      }
      // a / b < c / d, in whole numbers.
      if let best, candidate.liveBytes * max(1, best.occupiedBytes) >= best.liveBytes * max(1, candidate.occupiedBytes) { continue }
      best = candidate
    }
    return best
  }
}

/// How long compaction rests after a piece of work. A value that decides, and does nothing.
package struct CompactionPace: Sendable, Equatable {
  /// Bytes of live records that it moves in a second, at most, while the disk has space.
  package var bytesPerSecond: Int64 = 32 << 20
  /// The same when the disk takes no blocks any more: then nothing is more urgent.
  package var urgentBytesPerSecond: Int64 = 256 << 20
  /// Between two looks for work when there was none.
  package var idle: Duration = .seconds(10)

  package init() {}

  /// - Parameters:
  ///   - moved: bytes that the last piece moved; nil when there was nothing to do.
  ///   - took: how long it took.
  package func rest(after moved: Int?, took: Duration, level: SpaceLevel) -> Duration {
    guard let moved else { return idle }
    let rate = level >= .noCopies ? urgentBytesPerSecond : bytesPerSecond
    return max(.zero, .microseconds(Int64(moved) * 1_000_000 / max(1, rate)) - took)
  }
}
