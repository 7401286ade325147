package import Platform
internal import Synchronization

/// A request body in memory of which more and more is ready, so that it can be sent on while it still comes in.
///
/// What must hold: bytes below what `advance` said do not change until the transfer is over. One transfer reads one source; several
/// sources may read the same buffer.
package final class UploadSource: Sendable {
  private struct State {
    var ready: Int
    var isAborted = false
    /// Set while the transfer sleeps for want of bytes; called once.
    var onReady: (@Sendable () -> Void)?
  }

  package let length: Int
  private let buffer: IOBuffer
  private let start: Int
  private let state: Mutex<State>

  /// - Parameters:
  ///   - start: offset in `buffer` of the body's first byte.
  ///   - length: bytes of the whole body.
  ///   - ready: how many of them are there already.
  package init(buffer: IOBuffer, start: Int = 0, length: Int, ready: Int = 0) {
    precondition(start >= 0 && length >= 0 && length <= buffer.capacity - start, "the body lies outside of the buffer")
    precondition((0...length).contains(ready), "more is ready than there is")
    self.buffer = buffer
    self.start = start
    self.length = length
    state = Mutex(State(ready: ready))
  }

  /// The first `count` bytes of the body, counted from its start, are ready. Never goes back.
  package func advance(to count: Int) {
    let onReady = state.withLock { state -> (@Sendable () -> Void)? in
      precondition(count <= length, "more is ready than there is")
      guard count > state.ready else { return nil }
      state.ready = count
      return state.onReady.take()
    }
    onReady?()
  }

  /// The body will not be completed: the transfer ends with `uploadAborted`, and the receiver sees a short body.
  package func abort() {
    let onReady = state.withLock { state -> (@Sendable () -> Void)? in
      state.isAborted = true
      return state.onReady.take()
    }
    onReady?()
  }

  /// What the transfer finds when it wants bytes.
  enum Reading {
    case bytes(Int)
    case aborted
    /// Nothing is ready; `onReady` will be called, once.
    case wait
  }

  /// Copies ready bytes from body offset `offset` on.
  func read(at offset: Int, into bytes: UnsafeMutableRawBufferPointer, onReady: @escaping @Sendable () -> Void) -> Reading {
    let reading = state.withLock { state -> Reading in
      if state.isAborted { return .aborted }
      let count = min(state.ready - offset, bytes.count)
      if count > 0 || offset >= length { return .bytes(max(0, count)) }
      state.onReady = onReady
      return .wait
    }
    if case .bytes(let count) = reading, count > 0 {
      let first = start + offset
      UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]).copyMemory(from: buffer.bytes(first..<(first + count)))
    }
    return reading
  }

  /// The transfer is over and wants no call any more.
  func detach() { state.withLock { $0.onReady = nil } }
}
