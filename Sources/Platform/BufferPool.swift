internal import Synchronization

/// A bounded set of equal buffers. What is asked for beyond the bound waits in line, and the line is bounded too.
///
/// The bound is what keeps a node's memory flat under any number of uploads; a separate pool for clients' bodies and for
/// replicas' bodies is what keeps nodes that forward to each other from waiting in a circle.
package final class BufferPool: Sendable {
  package enum Exhausted: Error {
    /// The line is full, or nothing came free in time.
    case tooManyWaiting
  }

  private struct Waiter {
    let ticket: UInt64
    let continuation: CheckedContinuation<IOBuffer?, Never>
  }

  private struct State {
    var idle: [UnsafeSendablePointer] = []
    var lent = 0
    var waiters: [Waiter] = []
    var nextTicket: UInt64 = 0
  }

  /// Bytes of each buffer.
  package let bufferCapacity: Int
  /// The most buffers that exist at once.
  package let limit: Int
  /// The most callers that wait for one.
  package let waitingLimit: Int
  private let state = Mutex(State())

  /// - Parameters:
  ///   - bufferCapacity: bytes of each buffer.
  ///   - limit: buffers at most; they are allocated when first asked for and kept for reuse.
  ///   - waitingLimit: callers that may wait at once; one more is refused.
  package init(bufferCapacity: Int, limit: Int, waitingLimit: Int = 256) {
    self.bufferCapacity = bufferCapacity
    self.limit = limit
    self.waitingLimit = waitingLimit
  }

  deinit {
    state.withLock { state in
      for pointer in state.idle { pointer.value.deallocate() }
    }
  }

  /// Buffers that somebody holds now.
  package var lent: Int { state.withLock { $0.lent } }

  /// A buffer at once, or nil when all are lent.
  package func tryAcquire() -> IOBuffer? {
    let pointer = state.withLock { state -> UnsafeSendablePointer?? in
      guard state.lent < limit, state.waiters.isEmpty else { return .none }
      state.lent += 1
      return .some(state.idle.popLast())
    }
    guard let pointer else { return nil }
    return wrap(pointer?.value ?? IOBuffer.allocate(capacity: bufferCapacity))
  }

  /// A buffer, in the order of asking.
  ///
  /// - Parameter patience: how long to wait for one.
  /// - Throws: `Exhausted.tooManyWaiting` when the line is full or `patience` ran out; `CancellationError` when the task was cancelled.
  package func acquire(patience: Duration) async throws -> IOBuffer {
    if let buffer = tryAcquire() { return buffer }
    let ticket = state.withLock { state -> UInt64? in
      guard state.waiters.count < waitingLimit else { return nil }
      state.nextTicket += 1
      return state.nextTicket
    }
    guard let ticket else { throw Exhausted.tooManyWaiting }
    let timer = Task { [weak self] in
      try? await Task.sleep(for: patience)
      self?.giveUp(ticket)
    }
    defer { timer.cancel() }
    let buffer = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        enqueue(Waiter(ticket: ticket, continuation: continuation), cancelled: Task.isCancelled)
      }
    } onCancel: {
      giveUp(ticket)
    }
    guard let buffer else {
      try Task.checkCancellation()
      throw Exhausted.tooManyWaiting
    }
    return buffer
  }

  private enum Admission {
    case lend(UnsafeMutableRawPointer?)
    case wait
    case refuse
  }

  private func enqueue(_ waiter: Waiter, cancelled: Bool) {
    let admission = state.withLock { state -> Admission in
      if cancelled { return .refuse }
      if state.lent < limit {
        state.lent += 1
        return .lend(state.idle.popLast()?.value)
      }
      guard state.waiters.count < waitingLimit else { return .refuse }
      state.waiters.append(waiter)
      return .wait
    }
    switch admission {
    case .lend(let pointer): waiter.continuation.resume(returning: wrap(pointer ?? IOBuffer.allocate(capacity: bufferCapacity)))
    case .refuse: waiter.continuation.resume(returning: nil)
    case .wait: break
    }
  }

  private func giveUp(_ ticket: UInt64) {
    let waiter = state.withLock { state -> Waiter? in
      guard let index = state.waiters.firstIndex(where: { $0.ticket == ticket }) else { return nil }
      return state.waiters.remove(at: index)
    }
    waiter?.continuation.resume(returning: nil)
  }

  private func wrap(_ base: UnsafeMutableRawPointer) -> IOBuffer {
    IOBuffer(base: base, capacity: bufferCapacity) { [self] pointer in release(pointer) }
  }

  private func release(_ pointer: UnsafeMutableRawPointer) {
    let next = state.withLock { state -> Waiter? in
      guard !state.waiters.isEmpty else {
        state.lent -= 1
        state.idle.append(UnsafeSendablePointer(value: pointer))
        return nil
      }
      return state.waiters.removeFirst()
    }
    next?.continuation.resume(returning: wrap(pointer))
  }
}

/// A pointer that moves between threads under its holder's lock. `@unchecked`: it is only ever touched by whoever took it out of the pool.
private struct UnsafeSendablePointer: @unchecked Sendable {
  let value: UnsafeMutableRawPointer
}
