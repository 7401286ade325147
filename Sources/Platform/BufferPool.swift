internal import Synchronization

/// A bounded set of equal buffers. What is asked for beyond the bound waits in line, and the line is bounded too.
///
/// The bound is what keeps a node's memory in bounds under any number of uploads; a separate pool for clients' bodies and for
/// replicas' bodies is what keeps nodes that forward to each other from waiting in a circle. Below the bound a pool follows the load:
/// buffers that nobody needed for a while go back to the system, so that the rarest peak is not what a process takes for ever.
package final class BufferPool: Sendable {
  package enum Exhausted: Error {
    /// The line is full, or nothing came free in time.
    case tooManyWaiting
  }

  /// A place in line. The continuation comes a moment after the place.
  private struct Waiter {
    let ticket: UInt64
    var continuation: CheckedContinuation<Settlement, Never>?
  }

  /// What became of a place in line.
  private enum Settlement: Sendable {
    case lent(UnsafeSendablePointer)
    case refused
  }

  private struct State {
    /// The last one came back last and is lent first, so the first ones are those that were needed least.
    var idle: [UnsafeSendablePointer] = []
    /// The fewest that were idle at once since idle ones were last given back: nobody needed these.
    var leastIdle = 0
    /// A task gives idle buffers back from time to time.
    var isWatched = false
    var lent = 0
    var waiters: [Waiter] = []
    /// Settled between taking a place and waiting there; each entry is taken out by its caller a moment later.
    var settledEarly: [UInt64: Settlement] = [:]
    var nextTicket: UInt64 = 0

    mutating func takeTicket() -> UInt64 {
      nextTicket += 1
      waiters.append(Waiter(ticket: nextTicket))
      return nextTicket
    }

    /// Leaves the settlement for a caller who is not waiting yet, and answers the continuation of one who is.
    mutating func settle(_ waiter: Waiter, _ settlement: Settlement) -> CheckedContinuation<Settlement, Never>? {
      if waiter.continuation == nil { settledEarly[waiter.ticket] = settlement }
      return waiter.continuation
    }
  }

  /// Bytes of each buffer.
  package let bufferCapacity: Int
  /// The most buffers that exist at once.
  package let limit: Int
  /// The most callers that wait for one.
  package let waitingLimit: Int
  private let idleTime: Duration
  private let state = Mutex(State())

  /// - Parameters:
  ///   - bufferCapacity: bytes of each buffer.
  ///   - limit: buffers at most; they are allocated when first asked for and kept for reuse while the load needs them.
  ///   - waitingLimit: callers that may wait at once; one more is refused.
  ///   - idleTime: a buffer goes back to the system after at least this long, and at most twice as long, without need for it.
  package init(bufferCapacity: Int, limit: Int, waitingLimit: Int = 256, idleTime: Duration = .seconds(10)) {
    precondition(bufferCapacity > 0 && limit > 0 && waitingLimit >= 0, "a pool has room for a buffer")
    self.bufferCapacity = bufferCapacity
    self.limit = limit
    self.waitingLimit = waitingLimit
    self.idleTime = idleTime
  }

  deinit {
    state.withLock { state in
      for pointer in state.idle { IOBuffer.deallocate(pointer.value, capacity: bufferCapacity) }
    }
  }

  /// Buffers that somebody holds now.
  package var lent: Int { state.withLock { $0.lent } }

  /// Buffers that take memory now: those lent and those kept for the next to ask.
  package var allocated: Int { state.withLock { $0.lent + $0.idle.count } }

  /// Callers that wait for a buffer now.
  package var waiting: Int { state.withLock { $0.waiters.count } }

  /// A buffer at once, or nil when all are lent or others wait.
  package func tryAcquire() -> IOBuffer? {
    guard case .lend(let pointer) = admit(mayWait: false) else { return nil }
    return wrap(pointer)
  }

  /// A buffer, in the order of asking.
  ///
  /// - Parameter patience: how long to wait for one.
  /// - Throws: `Exhausted.tooManyWaiting` when the line is full or `patience` ran out; `CancellationError` when the task was cancelled.
  package func acquire(patience: Duration) async throws -> IOBuffer {
    let ticket: UInt64
    switch admit(mayWait: true) {
    case .lend(let pointer): return wrap(pointer)
    case .refuse: throw Exhausted.tooManyWaiting
    case .wait(let place): ticket = place
    }
    let timer = Task { [weak self] in
      try? await Task.sleep(for: patience)
      self?.giveUp(ticket)
    }
    defer { timer.cancel() }
    let settlement = await withTaskCancellationHandler {
      await withCheckedContinuation { park(ticket, $0) }
    } onCancel: {
      giveUp(ticket)
    }
    switch settlement {
    case .lent(let pointer): return wrap(pointer.value)
    case .refused:
      try Task.checkCancellation()
      throw Exhausted.tooManyWaiting
    }
  }

  private enum Admission {
    /// Nil is a buffer that has yet to be allocated.
    case lend(UnsafeMutableRawPointer?)
    case wait(ticket: UInt64)
    case refuse
  }

  private func admit(mayWait: Bool) -> Admission {
    state.withLock { state -> Admission in
      if state.lent < limit, state.waiters.isEmpty {
        state.lent += 1
        let pointer = state.idle.popLast()?.value
        state.leastIdle = min(state.leastIdle, state.idle.count)
        return .lend(pointer)
      }
      guard mayWait, state.waiters.count < waitingLimit else { return .refuse }
      return .wait(ticket: state.takeTicket())
    }
  }

  private func park(_ ticket: UInt64, _ continuation: CheckedContinuation<Settlement, Never>) {
    let settlement = state.withLock { state -> Settlement? in
      if let settlement = state.settledEarly.removeValue(forKey: ticket) { return settlement }
      guard let index = state.waiters.firstIndex(where: { $0.ticket == ticket }) else {
        preconditionFailure("a place in line is settled once")
      }
      state.waiters[index].continuation = continuation
      return nil
    }
    if let settlement { continuation.resume(returning: settlement) }
  }

  private func giveUp(_ ticket: UInt64) {
    let continuation = state.withLock { state -> CheckedContinuation<Settlement, Never>? in
      guard let index = state.waiters.firstIndex(where: { $0.ticket == ticket }) else { return nil }
      return state.settle(state.waiters.remove(at: index), .refused)
    }
    continuation?.resume(returning: .refused)
  }

  private func wrap(_ base: UnsafeMutableRawPointer?) -> IOBuffer {
    IOBuffer(base: base ?? IOBuffer.allocate(capacity: bufferCapacity), capacity: bufferCapacity) { [self] pointer in release(pointer) }
  }

  private func release(_ pointer: UnsafeMutableRawPointer) {
    let pointer = UnsafeSendablePointer(value: pointer)
    var isFirstIdle = false
    let continuation = state.withLock { state -> CheckedContinuation<Settlement, Never>? in
      guard !state.waiters.isEmpty else {
        state.lent -= 1
        state.idle.append(pointer)
        isFirstIdle = !state.isWatched
        state.isWatched = true
        return nil
      }
      return state.settle(state.waiters.removeFirst(), .lent(pointer))
    }
    continuation?.resume(returning: .lent(pointer))
    if isFirstIdle { watch() }
  }

  /// Gives back what is idle for long, until nothing is.
  private func watch() {
    Task { [weak self, idleTime] in
      repeat { try? await Task.sleep(for: idleTime) } while self?.giveBackUnneeded() ?? false
    }
  }

  /// Gives those buffers back to the system that nobody needed since the last call; answers whether others are idle still.
  private func giveBackUnneeded() -> Bool {
    let (unneeded, isWatched) = state.withLock { state -> ([UnsafeSendablePointer], Bool) in
      let unneeded = Array(state.idle.prefix(state.leastIdle))
      state.idle.removeFirst(state.leastIdle)
      state.leastIdle = state.idle.count
      state.isWatched = !state.idle.isEmpty
      return (unneeded, state.isWatched)
    }
    for pointer in unneeded { IOBuffer.deallocate(pointer.value, capacity: bufferCapacity) }
    return isWatched
  }
}

/// A pointer that moves between threads under its holder's lock. `@unchecked`: it is only ever touched by whoever took it out of the pool.
private struct UnsafeSendablePointer: @unchecked Sendable {
  let value: UnsafeMutableRawPointer
}
