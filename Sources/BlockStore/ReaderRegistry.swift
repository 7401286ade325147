internal import Synchronization

/// Who reads which record now, so that a deleted record's space is given back only after its last reader has left.
final class ReaderRegistry: Sendable {
  private struct State {
    var readers: [RecordLocation: Int] = [:]
    /// What to do when the last reader of a record leaves; at most one for each record that is read.
    var afterwards: [RecordLocation: @Sendable () -> Void] = [:]
  }

  private let state = Mutex(State())

  func enter(_ location: RecordLocation) { state.withLock { $0.readers[location, default: 0] += 1 } }

  func leave(_ location: RecordLocation) {
    let work = state.withLock { state -> (@Sendable () -> Void)? in
      let left = (state.readers[location] ?? 0) - 1
      precondition(left >= 0, "a reader leaves once")
      guard left == 0 else {
        state.readers[location] = left
        return nil
      }
      state.readers[location] = nil
      return state.afterwards.removeValue(forKey: location)
    }
    work?()
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
