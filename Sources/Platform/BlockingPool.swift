internal import Synchronization

/// A fixed number of threads for calls that block, with a bounded line before them.
///
/// Swift's own threads are as few as processors; a call that waits for a disk on one of them stops everything else.
package final class BlockingPool: WorkQueue {
  package enum Refused: Error, Sendable, CustomStringConvertible {
    /// The line is full.
    case overloaded
    case shutDown

    package var description: String {
      switch self {
      case .overloaded: return "Too many operations wait for a thread."
      case .shutDown: return "The program is stopping."
      }
    }
  }

  private typealias Job = @Sendable () -> Void

  private struct State {
    /// A ring: `count` jobs from `first` on.
    var ring: [Job?]
    var first = 0
    var count = 0
    var isStopping = false

    mutating func append(_ job: @escaping Job) {
      ring[(first + count) % ring.count] = job
      count += 1
    }

    mutating func removeFirst() -> Job? {
      guard count > 0 else { return nil }
      let job = ring[first]
      ring[first] = nil
      first = (first + 1) % ring.count
      count -= 1
      return job
    }
  }

  package let name: String
  private let threadCount: Int
  private let shared: Shared

  /// What the threads hold, so that they do not keep the pool itself alive.
  private final class Shared: Sendable {
    let state: Mutex<State>
    let available = Semaphore()
    init(queueLimit: Int) { state = Mutex(State(ring: Array(repeating: nil, count: queueLimit))) }

    func work() {
      while true {
        available.wait()
        let (job, stop) = state.withLock { state in
          let job = state.removeFirst()
          return (job, job == nil && state.isStopping)
        }
        job?()
        if stop { return }
      }
    }
  }

  private let threads: [WorkerThread]

  /// - Parameters:
  ///   - name: of its threads.
  ///   - threads: how many; above zero.
  ///   - queueLimit: jobs that may wait; one more is refused.
  ///   - priority: of its threads.
  package init(name: String, threads: Int, queueLimit: Int = 1024, priority: ThreadPriority = .normal) {
    precondition(threads > 0 && queueLimit > 0, "a pool has a thread and a place in line")
    self.name = name
    self.threadCount = threads
    let shared = Shared(queueLimit: queueLimit)
    self.shared = shared
    self.threads = (0..<threads).map { index in WorkerThread.start(name: "\(name)-\(index)", priority: priority) { shared.work() } }
  }

  deinit { stopAccepting() }

  /// Jobs that wait for a thread now.
  package var waiting: Int { shared.state.withLock { $0.count } }

  /// Refuses new work, lets what is in line finish, and blocks until the threads have ended.
  package func shutDown() {
    stopAccepting()
    for thread in threads { thread.join() }
  }

  /// Puts work in line without waiting for it; answers why not when it was refused.
  @discardableResult
  package func submit(_ work: @Sendable @escaping () -> Void) -> Refused? {
    let refusal = shared.state.withLock { state -> Refused? in
      if state.isStopping { return .shutDown }
      if state.count == state.ring.count { return .overloaded }
      state.append(work)
      return nil
    }
    if refusal == nil { shared.available.signal() }
    return refusal
  }

  private func stopAccepting() {
    shared.state.withLock { $0.isStopping = true }
    for _ in 0..<threadCount { shared.available.signal() }
  }
}
