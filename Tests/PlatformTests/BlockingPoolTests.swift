internal import Platform
internal import Synchronization
internal import TestSupport
internal import Testing

@Suite("Blocking pool")
struct BlockingPoolTests {
  private struct Failure: Error {}

  @Test("work runs off the caller's thread and its result or error comes back")
  func results() async throws {
    let pool = BlockingPool(name: "test", threads: 2)
    let sum = try await withThrowingTaskGroup(of: Int.self) { group in
      for index in 0..<200 { group.addTask { try await pool.run { index } } }
      return try await group.reduce(0, +)
    }
    #expect(sum == 199 * 100)
    await #expect(throws: Failure.self) { try await pool.run { throw Failure() } }
  }

  @Test("one more than the line holds is refused, and the rest is done")
  func overload() async throws {
    let pool = BlockingPool(name: "test", threads: 1, queueLimit: 2)
    let gate = Gate()
    let running = Task { try await pool.run { gate.wait() } }
    try await eventually { gate.isWaited }
    let queued = (0..<2).map { index in Task { try await pool.run { index } } }
    try await eventually { pool.waiting == 2 }
    await #expect(throws: BlockingPool.Refused.overloaded) { try await pool.run {} }
    gate.open()
    try await running.value
    for (index, task) in queued.enumerated() { #expect(try await task.value == index) }
  }

  @Test("a job that was cancelled before it began does not begin")
  func cancellation() async throws {
    let pool = BlockingPool(name: "test", threads: 1)
    let gate = Gate()
    let running = Task { try await pool.run { gate.wait() } }
    try await eventually { gate.isWaited }
    let ran = Tally()
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await pool.run { ran.add() } }
      try await eventually { pool.waiting == 1 }
      group.cancelAll()
      gate.open()
      await #expect(throws: CancellationError.self) { try await group.next() }
    }
    try await running.value
    #expect(ran.count == 0)
  }

  @Test("stopping finishes what is in line and refuses what comes after")
  func shutDown() async throws {
    let pool = BlockingPool(name: "test", threads: 2, queueLimit: 100)
    let done = Tally()
    for _ in 0..<100 { #expect(pool.submit { done.add() } == nil) }
    await Task.detached { pool.shutDown() }.value
    #expect(done.count == 100)
    #expect(pool.submit {} == .shutDown)
    await #expect(throws: BlockingPool.Refused.shutDown) { try await pool.run {} }
  }

  @Test("a thread is joined when its body has returned, by any number of others")
  func threads() async throws {
    let ran = Tally()
    let thread = WorkerThread.start(name: "a name longer than the kernel keeps") { ran.add() }
    thread.join()
    #expect(ran.count == 1)
    thread.join()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<3 { group.addTask { thread.join() } }
    }
  }
}

private final class Tally: Sendable {
  private let value = Mutex(0)
  var count: Int { value.withLock { $0 } }
  func add() { value.withLock { $0 += 1 } }
}

/// Holds a thread until it is opened.
private final class Gate: Sendable {
  private let state = Mutex((open: false, waited: false))

  var isWaited: Bool { state.withLock { $0.waited } }
  func open() { state.withLock { $0.open = true } }
  func wait() {
    while !state.withLock({ state in
      state.waited = true
      return state.open
    }) { WorkerThread.sleep(for: .milliseconds(1)) }
  }
}
