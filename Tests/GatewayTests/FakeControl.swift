import BlockModel
import ServiceAPI
import Synchronization

/// A coordinator that answers as a test tells it to, and remembers what it was asked.
final class FakeControl: ControlPlane {
  struct Call: Sendable {
    var name: String
    var operation: any ControlOperation
    var context: ControlContext
  }

  /// Throws `Problem` only.
  private typealias Answer = @Sendable (any ControlOperation, ControlContext) throws -> any Sendable

  private struct State {
    var answers: [String: Answer] = [:]
    var calls: [Call] = []
  }

  private let state = Mutex(State())

  func on<Operation: ControlOperation>(
    _ type: Operation.Type, _ answer: @escaping @Sendable (Operation, ControlContext) throws -> Operation.Response
  ) {
    state.withLock { state in
      state.answers[type.name] = { operation, context in
        guard let operation = operation as? Operation else { throw Problem(.internalError, "the test mixed operations up") }
        return try answer(operation, context)
      }
    }
  }

  func on<Operation: ControlOperation>(_ type: Operation.Type, fails problem: Problem) {
    on(type) { _, _ in throw problem }
  }

  /// What was asked so far, what the gateway asks by itself left out.
  var calls: [Call] {
    let background = [ClusterOperations.GetView.name, UserOperations.AwaitChanges.name]
    return state.withLock { $0.calls.filter { !background.contains($0.name) } }
  }
  var names: [String] { calls.map(\.name) }
  func last<Operation: ControlOperation>(_ type: Operation.Type) -> Operation? {
    calls.last { $0.name == type.name }?.operation as? Operation
  }

  func perform<Operation: ControlOperation>(_ operation: Operation, context: ControlContext) async throws(Problem) -> Operation.Response {
    let answer = state.withLock { state in
      state.calls.append(Call(name: Operation.name, operation: operation, context: context))
      return state.answers[Operation.name]
    }
    if let view = operation as? ClusterOperations.GetView { await hold(view) }
    if operation is UserOperations.AwaitChanges { try? await Task.sleep(for: .milliseconds(20)) }
    guard let answer else { throw Problem(.unavailable, "the test has no answer for \(Operation.name)") }
    do {
      guard let response = try answer(operation, context) as? Operation.Response else { throw Problem(.internalError, "another answer") }
      return response
    } catch { throw error as? Problem ?? Problem(.internalError, "the test threw \(error)") }
  }

  /// A question with a waiting time is held a little, so that the long-poll does not spin.
  private func hold(_ question: ClusterOperations.GetView) async {
    if question.waitMilliseconds > 0, question.revision > 0 { try? await Task.sleep(for: .milliseconds(20)) }
  }
}
