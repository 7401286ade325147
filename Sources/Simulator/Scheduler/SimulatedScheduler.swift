package import BlockModel
package import Platform
internal import Synchronization

/// Runs tasks and blocking work one step at a time, in an order that follows from the numbers it is given.
///
/// A driver, one thread, calls `step` again and again. Each step runs one task until it waits, or one piece of blocking work until it
/// ends or, if the draw says so, until some call to a simulated disk; then other things run in between. So every order of calls that
/// threads could bring about can come up, and the same draws bring it up again.
///
/// What must hold: work holds no lock over a call to a disk, because whoever else wants it would wait for a thread that stands still.
package final class SimulatedScheduler: TaskExecutor {
  /// The most points that one step passes before work stands still.
  private static let longestAllowance: UInt64 = 6

  private enum Runnable {
    case task(UnownedJob)
    case work(SimulatedWorkQueue?, @Sendable () -> Void)
    case fiber(Fiber, SimulatedWorkQueue?)
  }

  private struct State {
    var runnable: [Runnable] = []
    /// The fiber that moves now; nil while the driver's own thread does.
    var current: Fiber?
  }

  private let state = Mutex(State())
  private let fibers: FiberPool
  /// One step in so many stops work in the middle.
  private let interruptionShare: UInt64

  /// - Parameter interruptionShare: of so many steps with blocking work one stops in the middle of it.
  package init(fibers: FiberPool, interruptionShare: Int = 3) {
    self.fibers = fibers
    self.interruptionShare = UInt64(max(1, interruptionShare))
  }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    state.withLock { $0.runnable.append(.task(job)) }
  }

  /// Blocking work that belongs to no queue.
  package func spawn(_ work: @escaping @Sendable () -> Void) { enqueue(work, from: nil) }

  /// A queue whose work this scheduler runs: at most `threads` pieces at once, begun in order.
  package func makeQueue(threads: Int, queueLimit: Int) -> any WorkQueue {
    SimulatedWorkQueue(self, threads: threads, queueLimit: queueLimit)
  }

  /// Nothing can go on by itself.
  package var isIdle: Bool { state.withLock { $0.runnable.isEmpty } }

  /// Blocking work that calls this stands still here when the draw said so. A simulated disk calls it before and after each call; on the
  /// driver's own thread it does nothing.
  package func passPoint() { state.withLock { $0.current }?.pass() }

  /// Runs one thing; false when there was nothing to run.
  package func step(_ random: inout SeededRandom) -> Bool {
    let count = state.withLock { $0.runnable.count }
    guard count > 0 else { return false }
    let chosen = count == 1 ? 0 : Int(random.next() % UInt64(count))
    switch state.withLock({ $0.runnable.remove(at: chosen) }) {
    case .task(let job): job.runSynchronously(on: asUnownedTaskExecutor())
    case .work(let queue, let work): begin(work, queue, &random)
    case .fiber(let fiber, let queue): move(fiber, queue) { fiber.goOn(allowance: drawAllowance(&random)) }
    }
    return true
  }

  /// Runs until nothing can go on.
  ///
  /// - Parameter limit: steps; false when there was still something to run after them.
  package func run(_ random: inout SeededRandom, limit: Int = 1_000_000) -> Bool {
    for _ in 0..<limit where !step(&random) { return true }
    return isIdle
  }

  fileprivate func enqueue(_ work: @escaping @Sendable () -> Void, from queue: SimulatedWorkQueue?) {
    state.withLock { $0.runnable.append(.work(queue, work)) }
  }

  private func begin(_ work: @escaping @Sendable () -> Void, _ queue: SimulatedWorkQueue?, _ random: inout SeededRandom) {
    if random.next() % interruptionShare == 0 {
      let fiber = fibers.take()
      let allowance = drawAllowance(&random)
      move(fiber, queue) { fiber.begin(work, allowance: allowance) }
    } else {
      // Nothing comes between: the driver's own thread does it without handing over.
      work()
      queue?.ended()
    }
  }

  private func drawAllowance(_ random: inout SeededRandom) -> Int { Int(random.next() % (SimulatedScheduler.longestAllowance + 1)) }

  private func move(_ fiber: Fiber, _ queue: SimulatedWorkQueue?, _ body: () -> Void) {
    state.withLock { $0.current = fiber }
    body()
    state.withLock { $0.current = nil }
    if fiber.isFinished {
      fibers.giveBack(fiber)
      queue?.ended()
    } else {
      state.withLock { $0.runnable.append(.fiber(fiber, queue)) }
    }
  }
}

/// Stands in for a `BlockingPool`.
private final class SimulatedWorkQueue: WorkQueue {
  private struct State {
    var running = 0
    var waiting: [@Sendable () -> Void] = []
  }

  private let state = Mutex(State())
  private let scheduler: SimulatedScheduler
  private let threads: Int
  private let queueLimit: Int

  init(_ scheduler: SimulatedScheduler, threads: Int, queueLimit: Int) {
    self.scheduler = scheduler
    self.threads = threads
    self.queueLimit = queueLimit
  }

  func submit(_ work: @escaping @Sendable () -> Void) -> BlockingPool.Refused? {
    let (refusal, begins) = state.withLock { state -> (BlockingPool.Refused?, Bool) in
      if state.running < threads {
        state.running += 1
        return (nil, true)
      }
      guard state.waiting.count < queueLimit else { return (.overloaded, false) }
      state.waiting.append(work)
      return (nil, false)
    }
    if begins { scheduler.enqueue(work, from: self) }
    return refusal
  }

  /// A piece of work has come to its end.
  func ended() {
    let next = state.withLock { state -> (@Sendable () -> Void)? in
      guard state.waiting.isEmpty else { return state.waiting.removeFirst() }
      state.running -= 1
      return nil
    }
    if let next { scheduler.enqueue(next, from: self) }
  }
}
