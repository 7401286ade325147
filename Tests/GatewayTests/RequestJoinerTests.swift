import Gateway
import ServiceAPI
import Synchronization
import TestSupport
import Testing

@Suite("Joining one caller's requests")
struct RequestJoinerTests {
  private typealias Joiner = RequestJoiner<Int, String>

  /// A coordinator that answers when it is told to, and notes what came.
  private final class Coordinator: Sendable {
    private struct State {
      var came: [[Int]] = []
      var waiting: [CheckedContinuation<Void, Never>] = []
      var isOpen = false
    }
    private let state = Mutex(State())
    var came: [[Int]] { state.withLock(\.came) }

    func answer(_ items: [Int]) async -> [Joiner.Outcome] {
      await withCheckedContinuation { continuation in
        let goesOn = state.withLock { state in
          state.came.append(items)
          if !state.isOpen { state.waiting.append(continuation) }
          return state.isOpen
        }
        if goesOn { continuation.resume() }
      }
      return items.map { $0 < 0 ? .failure(Problem(.conflict, "\($0)")) : .success("answer to \($0)") }
    }

    /// Answers what waits and, from now on, what comes.
    func open() {
      let waiting = state.withLock { state in
        defer { state.waiting = [] }
        state.isOpen = true
        return state.waiting
      }
      for continuation in waiting { continuation.resume() }
    }
  }

  @Test("requests that come one after the other travel alone")
  func alone() async throws {
    let (joiner, coordinator) = (Joiner(exchanges: 1, widest: 8), Coordinator())
    coordinator.open()
    for item in 0..<3 { #expect(try await joiner.perform(item, of: "ada") { await coordinator.answer($0) } == "answer to \(item)") }
    #expect(coordinator.came == [[0], [1], [2]])
  }

  @Test("what comes while exchanges are under way is joined, as many at a time as may be, and each gets its own outcome")
  func joined() async throws {
    let (joiner, coordinator) = (Joiner(exchanges: 2, widest: 4), Coordinator())
    try await withThrowingTaskGroup(of: Void.self) { group in
      for item in -3..<7 {
        group.addTask {
          do throws(Problem) {
            let answer = try await joiner.perform(item, of: "ada") { await coordinator.answer($0) }
            #expect(item >= 0 && answer == "answer to \(item)")
          } catch { #expect(item < 0 && error == Problem(.conflict, "\(item)")) }
        }
      }
      try await eventually("two are under way") { coordinator.came.count == 2 }
      // The others have to be in line before anything is answered.
      try await eventually("eight wait") { joiner.waitingCount == 8 }
      coordinator.open()
      try await group.waitForAll()
    }
    #expect(coordinator.came.map(\.count) == [1, 1, 4, 4])
    #expect(coordinator.came.flatMap { $0 }.sorted() == Array(-3..<7))
    #expect(joiner.waitingCount == 0)
    // The line is as it was: who comes now waits for nobody.
    #expect(try await joiner.perform(9, of: "ada") { await coordinator.answer($0) } == "answer to 9")
  }

  @Test("requests of different callers are never joined, and do not wait for each other")
  func callers() async throws {
    let (joiner, held, open) = (Joiner(exchanges: 1, widest: 8), Coordinator(), Coordinator())
    open.open()
    try await withThrowingTaskGroup(of: Void.self) { group in
      for item in 0..<3 { group.addTask { _ = try await joiner.perform(item, of: "ada") { await held.answer($0) } } }
      try await eventually("two of ada's wait") { joiner.waitingCount == 2 }
      for item in 10..<13 { #expect(try await joiner.perform(item, of: "bob") { await open.answer($0) } == "answer to \(item)") }
      #expect(held.came.count == 1)
      held.open()
      try await group.waitForAll()
    }
    #expect(open.came == [[10], [11], [12]])
    #expect(held.came.map(\.count) == [1, 2])
  }

  @Test("an exchange that answers for another number of requests fails all of them and holds up nobody")
  func miscounted() async throws {
    let joiner = Joiner(exchanges: 1, widest: 8)
    await #expect { _ = try await joiner.perform(1, of: "ada") { _ in [] } } throws: { ($0 as? Problem)?.kind == .internalError }
    #expect(try await joiner.perform(2, of: "ada") { _ in [.success("two")] } == "two")
  }

  @Test("those who wait are served although the request before them was cancelled")
  func cancelled() async throws {
    let (joiner, coordinator) = (Joiner(exchanges: 1, widest: 8), Coordinator())
    let first = Task { try await joiner.perform(1, of: "ada") { await coordinator.answer($0) } }
    try await eventually("it is under way") { coordinator.came.count == 1 }
    let leader = Task {
      try await joiner.perform(2, of: "ada") { items in
        // An exchange ends early where its task is cancelled.
        Task.isCancelled ? items.map { _ in .failure(Problem(.unavailable, "cancelled")) } : await coordinator.answer(items)
      }
    }
    try await eventually("it waits") { joiner.waitingCount == 1 }
    let follower = Task { try await joiner.perform(3, of: "ada") { await coordinator.answer($0) } }
    try await eventually("both wait") { joiner.waitingCount == 2 }
    leader.cancel()
    coordinator.open()
    #expect(try await follower.value == "answer to 3")
    #expect(try await first.value == "answer to 1")
  }
}
