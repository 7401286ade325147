internal import Platform
internal import Synchronization

/// A thread that runs one piece of work in parts: it goes on when the scheduler says so, and stands still between two calls to a disk
/// whenever its allowance is used up. So work that blocks can be stopped in the middle of its calls while other work goes on.
///
/// What must hold: of a scheduler's fibers and its driver exactly one moves at a time; whoever hands over waits until it is its turn again.
final class Fiber: Sendable {
  private struct State {
    var work: (@Sendable () -> Void)?
    /// Points that may be passed before standing still.
    var allowance = 0
    var isFinished = true
    var isEnding = false
  }

  private let state = Mutex(State())
  private let turn = Semaphore()
  private let back = Semaphore()

  init() {
    // The thread keeps the fiber alive until `end`.
    _ = WorkerThread.start(name: "simulated") { [self] in loop() }
  }

  /// The work given last has come to its end.
  var isFinished: Bool { state.withLock { $0.isFinished } }

  /// Begins `work` and returns when it stands still or has ended.
  func begin(_ work: @escaping @Sendable () -> Void, allowance: Int) {
    state.withLock { state in
      precondition(state.isFinished, "a fiber does one thing at a time")
      state.work = work
      state.allowance = allowance
      state.isFinished = false
    }
    handOver()
  }

  /// Goes on and returns when the work stands still again or has ended.
  func goOn(allowance: Int) {
    state.withLock { $0.allowance = allowance }
    handOver()
  }

  /// Lets the thread go; the fiber has no work.
  func end() {
    state.withLock { $0.isEnding = true }
    turn.signal()
  }

  /// On the fiber's own thread: stands still here when the allowance is used up.
  func pass() {
    let standsStill = state.withLock { state in
      if state.allowance > 0 { state.allowance -= 1 } else { return true }
      return false
    }
    guard standsStill else { return }
    back.signal()
    turn.wait()
  }

  private func handOver() {
    turn.signal()
    back.wait()
  }

  private func loop() {
    while true {
      turn.wait()
      let (work, isEnding) = state.withLock { state in
        defer { state.work = nil }
        return (state.work, state.isEnding)
      }
      if isEnding { return }
      work?()
      state.withLock { $0.isFinished = true }
      back.signal()
    }
  }
}

/// Fibers that have nothing to do, kept because making threads takes longer than most simulated work.
package final class FiberPool: Sendable {
  private let idle = Mutex<[Fiber]>([])

  package init() {}

  deinit { idle.withLock { fibers in for fiber in fibers { fiber.end() } } }

  func take() -> Fiber { idle.withLock { $0.popLast() } ?? Fiber() }

  func giveBack(_ fiber: Fiber) {
    precondition(fiber.isFinished, "only idle fibers are kept")
    idle.withLock { $0.append(fiber) }
  }
}
