internal import BlockModel
internal import ClusterLogic
internal import Platform
internal import Synchronization

/// Drives one PUT's `WriteQuorum`: sends the record where it says, tells it what became of that, and hands out the answer.
///
/// What must hold: what the quorum decides is done outside of the lock; the answer is given once. Transfers that go on after the answer
/// hold the record's buffer until they end, at the latest at their deadline.
final class ReplicatedWrite: Sendable {
  enum Outcome: Sendable {
    case stored(receipts: [String])
    case failed(WriteQuorum.Failure)
  }

  /// Sends the record to a node; answers the receipt.
  typealias Send = @Sendable (NodeID, OutgoingRecord) async -> Result<String, ForwardFailure>

  private struct State {
    var quorum: WriteQuorum
    var hasBegun = false
    var receipts: [NodeID: String] = [:]
    var outcome: Outcome?
    var waiter: CheckedContinuation<Outcome, Never>?
    /// When the quorum wants to be asked again.
    var wakeAt = MonotonicTime.distantFuture
  }

  private let own: NodeID
  private let record: OutgoingRecord
  private let time: any TimeSource
  private let clock: WriteClock
  private let send: Send
  private let state: Mutex<State>

  init(own: NodeID, quorum: WriteQuorum, record: OutgoingRecord, time: any TimeSource, clock: WriteClock, send: @escaping Send) {
    self.own = own
    self.record = record
    self.time = time
    self.clock = clock
    self.send = send
    state = Mutex(State(quorum: quorum))
  }

  var hasBegun: Bool { state.withLock { $0.hasBegun } }
  /// What was decided, as soon as it was.
  var decided: Outcome? { state.withLock { $0.outcome } }

  /// Starts sending. A second call changes nothing.
  func begin() {
    let isFirst = state.withLock { state in
      defer { state.hasBegun = true }
      return !state.hasBegun
    }
    if isFirst { step(.begin) }
  }

  /// The record is final up to this offset of its buffer.
  func advance(to end: Int) { record.advance(to: end) }

  /// The whole record is there and right.
  func verified(end: Int) {
    record.advance(to: end)
    begin()
    step(.bodyVerified)
  }

  func localStored(receipt: String) {
    state.withLock { $0.receipts[own] = receipt }
    step(.localDurable)
  }

  func localFailed(_ failure: WriteQuorum.ReplicaFailure) { step(.localFailed(failure)) }

  /// The body was no good or the client went away: nobody gets the last frame.
  func abort() {
    record.abort()
    step(.aborted)
  }

  /// Waits for the answer. One caller.
  func outcome() async -> Outcome {
    await withCheckedContinuation { continuation in
      let outcome = state.withLock { state -> Outcome? in
        if state.outcome == nil { state.waiter = continuation }
        return state.outcome
      }
      if let outcome { continuation.resume(returning: outcome) }
    }
  }

  private func step(_ event: WriteQuorum.Event) {
    let now = time.monotonic()
    let effects = state.withLock { $0.quorum.step(event, now: now) }
    var forwards: [NodeID] = []
    for effect in effects {
      switch effect {
      case .forward(let node, _): forwards.append(node)
      case .wake(let moment): wake(at: moment)
      case .succeed(let copies):
        let receipts = state.withLock { state in copies.compactMap { state.receipts[$0] } }
        decide(.stored(receipts: receipts))
      case .fail(let failure):
        record.abort()
        decide(.failed(failure))
      }
    }
    // Last, because a forward that fails at once is the next event. It begins on this thread: until it waits for the network it only
    // writes a request, and handing that to another thread would take longer.
    for node in forwards { Task.immediate { await forward(to: node) } }
    if case .aborted = event { clock.remove(self) }
  }

  private func forward(to node: NodeID) async {
    switch await send(node, record) {
    case .success(let receipt):
      state.withLock { $0.receipts[node] = receipt }
      step(.acknowledged(node))
    case .failure(let failure):
      step(.failed(node, failure.reason))
    }
  }

  /// A later wish takes the place of an earlier one.
  private func wake(at moment: MonotonicTime) {
    let isDecided = state.withLock { state in
      state.wakeAt = moment
      return state.outcome != nil
    }
    if !isDecided { clock.add(self) }
  }

  /// The clock's call: asks the quorum again when it is time.
  func look() {
    let now = time.monotonic()
    let isDue = state.withLock { state in
      guard state.outcome == nil, state.wakeAt <= now else { return false }
      state.wakeAt = .distantFuture
      return true
    }
    if isDue { step(.timer) }
  }

  private func decide(_ outcome: Outcome) {
    let waiter = state.withLock { state -> CheckedContinuation<Outcome, Never>? in
      guard state.outcome == nil else { return nil }
      state.outcome = outcome
      return state.waiter.take()
    }
    clock.remove(self)
    waiter?.resume(returning: outcome)
  }
}
