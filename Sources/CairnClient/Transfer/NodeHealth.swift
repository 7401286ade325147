internal import BlockModel
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// What this client learned about nodes: which failed lately, and how long a block usually takes.
///
/// A node that failed is asked last until its pause is over; nobody is ever left out, so a wrong guess costs time and no success.
final class NodeHealth: Sendable {
  enum Work: Int, Sendable { case put, get }

  private struct Trouble {
    var failures: Int
    var avoidUntil: MonotonicTime
  }

  private struct State {
    var troubles: [NodeID: Trouble] = [:]
    /// Smoothed seconds of a block and how far blocks are from that, by kind of work; nil before the first.
    var typical: [(mean: Double, deviation: Double)?] = [nil, nil]
    var requests = 0.0
    var hedges = 0.0
  }

  private static let firstPause: Duration = .seconds(2)
  private static let longestPause: Duration = .seconds(30)
  /// Nodes remembered at most.
  private static let limit = 1024
  /// Second requests, sent while the first is still under way, are at most this share of all, and a few at the start.
  private static let hedgeShare = 0.1
  private static let hedgesAtStart = 4.0

  private let state = Mutex(State())
  private let time: any TimeSource

  init(time: any TimeSource) { self.time = time }

  func succeeded(_ node: NodeID, _ work: Work, took duration: Duration) {
    state.withLock { state in
      state.troubles[node] = nil
      let seconds = duration.inSeconds
      // As TCP estimates round trips (Jacobson and Karels, RFC 6298).
      state.typical[work.rawValue] =
        state.typical[work.rawValue].map { old in
          (mean: old.mean * 0.9 + seconds * 0.1, deviation: old.deviation * 0.8 + abs(seconds - old.mean) * 0.2)
        } ?? (mean: seconds, deviation: seconds / 2)
      // Old counts fade, so that a long quiet time does not save up a storm of hedges.
      state.requests = state.requests * 0.999 + 1
      state.hedges *= 0.999
    }
  }

  func failed(_ node: NodeID) {
    let now = time.monotonic()
    state.withLock { state in
      if state.troubles.count >= NodeHealth.limit { state.troubles.removeAll() }
      let failures = (state.troubles[node]?.failures ?? 0) + 1
      let pause = min(NodeHealth.firstPause * (1 << min(failures - 1, 4)), NodeHealth.longestPause)
      state.troubles[node] = Trouble(failures: failures, avoidUntil: now + pause)
    }
  }

  /// Another node that was asked later answered before this one: it is asked last for a while, longer each time.
  func outrun(_ node: NodeID) {
    let now = time.monotonic()
    // What failed besides is counted already.
    guard !state.withLock({ ($0.troubles[node]?.avoidUntil ?? .zero) > now }) else { return }
    failed(node)
  }

  /// The same targets, those in trouble last; otherwise in the order of the plan, which knows the zones.
  func order(_ targets: [SignedTarget]) -> [SignedTarget] {
    let now = time.monotonic()
    let avoided = state.withLock { state in targets.map { (state.troubles[$0.node]?.avoidUntil ?? .zero) > now } }
    let pairs = zip(targets, avoided)
    return pairs.filter { !$0.1 }.map(\.0) + pairs.filter { $0.1 }.map(\.0)
  }

  /// How long to wait for one node before a second is asked as well: longer than nearly every block takes, so that a quiet cluster is
  /// asked hardly more. Reads are cheap to repeat; a second PUT sends the bytes to all replicas once more.
  func hedgeDelay(_ work: Work) -> Duration {
    let typical = state.withLock { $0.typical[work.rawValue] }
    switch work {
    case .put: return .seconds(min(max((typical?.mean ?? 0) * 4, 1.2), 10))
    case .get: return .seconds(typical.map { min(max($0.mean + 4 * $0.deviation, 0.02), 10) } ?? 0.5)
    }
  }

  /// How long a request with many small blocks may take before they are done singly, with hedges.
  func batchDeadline(_ work: Work) -> Duration { max(hedgeDelay(work) * 2, .seconds(3)) }

  /// Takes one hedge from the budget; false when it is used up.
  func takeHedge() -> Bool {
    state.withLock { state in
      guard state.hedges < NodeHealth.hedgesAtStart + state.requests * NodeHealth.hedgeShare else { return false }
      state.hedges += 1
      return true
    }
  }
}
