internal import Platform
internal import Synchronization

/// Reads the next window of a scan on a thread of its own while the last one is looked at. One for all the segments of a disk.
///
/// What must hold: at most one read is under way, and nobody else touches its buffer until `finish` has answered.
final class ScanReadAhead: Sendable {
  private let thread = BlockingPool(name: "store-scan", threads: 1, queueLimit: 1)
  private let ended = Semaphore()
  private let state = Mutex<State>(.idle)

  private enum State {
    case idle
    case reading
    case done(Result<Int, FileError>)
  }

  /// Begins to read `count` bytes at `offset` into `place` of the buffer. A read that was begun before is let end, and forgotten.
  func begin(_ file: any OpenFile, _ offset: Int, _ count: Int, into buffer: IOBuffer, at place: Int) {
    _ = finish()
    state.withLock { $0 = .reading }
    let refusal = thread.submit { [self] in
      let result = Result { () throws(FileError) in
        try file.pread(into: buffer.mutableBytes(place..<(place + count)), at: Int64(offset))
      }
      state.withLock { $0 = .done(result) }
      ended.signal()
    }
    if refusal != nil { state.withLock { $0 = .idle } }
  }

  /// Waits for the read that was begun; nil when there is none.
  func finish() -> Result<Int, FileError>? {
    let isUnderWay = state.withLock { state in
      if case .idle = state { return false }
      return true
    }
    guard isUnderWay else { return nil }
    ended.wait()
    return state.withLock { state in
      defer { state = .idle }
      guard case .done(let result) = state else { return nil }
      return result
    }
  }
}
