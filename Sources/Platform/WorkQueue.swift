internal import Synchronization

/// Where calls that block are run: on threads of the machine (`BlockingPool`), or by a simulator that decides what runs when.
package protocol WorkQueue: Sendable {
  /// Puts work in line without waiting for it; answers why not when it was refused.
  @discardableResult
  func submit(_ work: @Sendable @escaping () -> Void) -> BlockingPool.Refused?
}

extension WorkQueue {
  /// Runs `work` in its turn. Cancelling the task does not interrupt it; a job that has not begun then does not begin.
  ///
  /// - Throws: what `work` throws; `Refused` when it was not run; `CancellationError` when the task was cancelled before it began.
  package func run<T: Sendable>(_ work: @Sendable @escaping () throws -> T) async throws -> T {
    let cancelled = Flag()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<T, any Error>) in
        let refusal = submit {
          continuation.resume(with: Result { if cancelled.isSet { throw CancellationError() } else { return try work() } })
        }
        if let refusal { continuation.resume(throwing: refusal) }
      }
    } onCancel: {
      cancelled.set()
    }
  }
}

/// A flag that goes up once and is shared by reference.
private final class Flag: Sendable {
  private let value = Atomic<Bool>(false)
  var isSet: Bool { value.load(ordering: .acquiring) }
  func set() { value.store(true, ordering: .releasing) }
}
