internal import Synchronization

/// Who reads which record now, so that a deleted record's space is given back only after its last reader has left.
final class ReaderRegistry: Sendable {
  private struct State {
    var readers: [RecordLocation: Int] = [:]
    /// Readers of all of a segment's records together, by its slot.
    var inSegment: [UInt32: Int] = [:]
    /// What to do when the last reader of a segment leaves; at most one for each segment.
    var afterSegment: [UInt32: @Sendable () -> Void] = [:]
    /// What to do when the last reader of a record leaves; at most one for each record that is read.
    var afterwards: [RecordLocation: @Sendable () -> Void] = [:]
  }

  private let state = Mutex(State())

  func enter(_ location: RecordLocation) {
    state.withLock { state in
      state.readers[location, default: 0] += 1
      state.inSegment[location.slot, default: 0] += 1
    }
  }

  func leave(_ location: RecordLocation) {
    let (work, segmentWork) = state.withLock { state -> ((@Sendable () -> Void)?, (@Sendable () -> Void)?) in
      let left = (state.readers[location] ?? 0) - 1
      precondition(left >= 0, "a reader leaves once")
      state.readers[location] = left == 0 ? nil : left
      let leftInSegment = (state.inSegment[location.slot] ?? 0) - 1
      state.inSegment[location.slot] = leftInSegment == 0 ? nil : leftInSegment
      return (
        left == 0 ? state.afterwards.removeValue(forKey: location) : nil,
        leftInSegment == 0 ? state.afterSegment.removeValue(forKey: location.slot) : nil
      )
    }
    work?()
    segmentWork?()
  }

  /// As the other, for a whole segment that the index names no record of any more.
  func whenFree(segment slot: UInt32, _ work: @escaping @Sendable () -> Void) {
    let isFree = state.withLock { state in
      guard state.inSegment[slot] != nil else { return true }
      state.afterSegment[slot] = work
      return false
    }
    if isFree { work() }
  }

  /// Runs `work` now, or by the thread of the last reader that leaves `location`. No new reader can come: the index does not name it any
  /// more.
  func whenFree(_ location: RecordLocation, _ work: @escaping @Sendable () -> Void) {
    let isFree = state.withLock { state in
      guard state.readers[location] != nil else { return true }
      state.afterwards[location] = work
      return false
    }
    if isFree { work() }
  }
}
