/// Attempts at one thing that start one after the other: the next when the one before failed, or took too long. The first success wins.
enum Race {
  private enum Event<Value: Sendable>: Sendable {
    case success(Value)
    case failure(any Error)
    case late(attempt: Int)
  }

  /// - Parameters:
  ///   - count: attempts at most; above zero.
  ///   - hedgeAfter: how long an attempt has the field alone.
  ///   - mayHedge: asked before an attempt is started beside one that is still running.
  ///   - isFinal: an error that no other attempt would change; it ends the race.
  /// - Throws: the last error, or the final one.
  static func run<Value: Sendable>(
    count: Int, hedgeAfter: Duration, mayHedge: @Sendable () -> Bool, isFinal: (any Error) -> Bool,
    attempt: @escaping @Sendable (Int) async throws -> Value
  ) async throws -> Value {
    precondition(count > 0, "a race has a runner")
    return try await withThrowingTaskGroup(of: Event<Value>.self) { group in
      var started = 0
      var running = 0
      func start() {
        let index = started
        started += 1
        running += 1
        group.addTask {
          do { return .success(try await attempt(index)) } catch { return .failure(error) }
        }
        guard started < count else { return }
        group.addTask {
          try? await Task.sleep(for: hedgeAfter)
          return .late(attempt: index)
        }
      }
      defer { group.cancelAll() }
      start()
      while let event = try await group.next() {
        switch event {
        case .success(let value): return value
        case .failure(let error):
          running -= 1
          if isFinal(error) || Task.isCancelled { throw error }
          if started < count { start() } else if running == 0 { throw error }
        case .late(let attempt):
          if attempt == started - 1, started < count, !Task.isCancelled, mayHedge() { start() }
        }
      }
      throw CancellationError()
    }
  }
}
