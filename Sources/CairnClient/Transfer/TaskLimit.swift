internal import Synchronization

/// Lets at most so many tasks at a time do something; the others wait in line. Whoever waits is part of a bounded group.
final class TaskLimit: Sendable {
  private struct State {
    var free: Int
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  private let state: Mutex<State>

  init(_ limit: Int) {
    precondition(limit > 0, "somebody may go")
    state = Mutex(State(free: limit))
  }

  func run<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
    await enter()
    defer { leave() }
    try Task.checkCancellation()
    return try await body()
  }

  private func enter() async {
    await withCheckedContinuation { continuation in
      let goes = state.withLock { state in
        guard state.free == 0 else {
          state.free -= 1
          return true
        }
        state.waiting.append(continuation)
        return false
      }
      if goes { continuation.resume() }
    }
  }

  private func leave() {
    let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
      guard !state.waiting.isEmpty else {
        state.free += 1
        return nil
      }
      return state.waiting.removeFirst()
    }
    next?.resume()
  }
}

/// Runs tasks in a group, at most `limit` at a time, and stops at the first error.
struct BoundedGroup {
  private var running = 0
  private let limit: Int

  init(limit: Int) { self.limit = limit }

  mutating func add(
    to group: inout ThrowingTaskGroup<Void, any Error>, _ body: @escaping @Sendable () async throws -> Void
  ) async throws {
    if running >= limit {
      try await group.next()
      running -= 1
    }
    running += 1
    group.addTask { try await body() }
  }
}
