internal import BlockModel
internal import HTTPTransport
internal import ServiceAPI
internal import Synchronization

/// The coordinators, as one to ask: the one that answered last first, then the others.
final class CoordinatorTurn: Sendable {
  private let control: [any ControlPlane]
  private let node: NodeID
  private let turn = Mutex(0)

  init(_ control: [any ControlPlane], node: NodeID) {
    self.control = control
    self.node = node
  }

  /// - Throws: what the last one that was asked threw.
  func perform<Operation: ControlOperation>(
    _ operation: Operation, requestID: String = RequestID.make()
  ) async throws -> Operation.Response {
    var failure: any Error = Problem(.unavailable, "The node has no coordinator to ask.")
    let first = turn.withLock { $0 }
    for offset in control.indices {
      let index = (first + offset) % control.count
      do {
        let response = try await control[index].perform(operation, context: ControlContext(requestID: requestID, node: node))
        turn.withLock { $0 = index }
        return response
      } catch { failure = error }
    }
    throw failure
  }
}
