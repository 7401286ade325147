package import MetadataStore
package import Platform
internal import ServiceAPI
internal import Synchronization

/// `cairnctl metadata …`: where the metadata is, and moving it from SQLite into PostgreSQL while the cluster works.
package final class MigrationService: Sendable {
  private struct State {
    var move: MetadataStatus.Move?
    var waiting: [CheckedContinuation<Void, Never>] = []
  }

  package typealias Move = @Sendable (_ report: @escaping @Sendable (MoveStep) -> Void) async throws -> Void

  private let engine: MetadataStatus.Engine
  private let move: Move
  private let log: Logger
  private let state = Mutex(State())

  /// - Parameters:
  ///   - isShared: the metadata is in PostgreSQL.
  ///   - move: moves it there; when it returns the store refuses whatever writes.
  package init(isShared: Bool, logger: Logger, move: @escaping Move) {
    engine = isShared ? .postgres : .sqlite
    self.move = move
    log = logger.component("metadata-move")
  }

  package func register(on dispatcher: ControlDispatcher) {
    dispatcher.register(OperatorOperations.GetMetadata.self) { [self] (_, _) async throws(Problem) in status }
    dispatcher.register(OperatorOperations.MigrateMetadata.self) { [self] (_, _) async throws(Problem) in
      guard engine == .sqlite else { throw Problem(.conflict, "This cluster's metadata is in PostgreSQL already.") }
      let begins = state.withLock { state in
        guard state.move?.state != .running, state.move?.state != .done else { return false }
        state.move = MetadataStatus.Move()
        return true
      }
      // One that runs already is what was asked for.
      if begins { Task { await self.run() } }
      return status
    }
  }

  package var hasMoved: Bool { state.withLock { $0.move?.state == .done } }

  /// Returns when the metadata has moved, so that this process has to start anew, or the task was cancelled.
  package func untilMoved() async {
    await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        let isOver = state.withLock { state in
          let isOver = state.move?.state == .done || Task.isCancelled
          if !isOver { state.waiting.append(continuation) }
          return isOver
        }
        if isOver { continuation.resume() }
      }
    } onCancel: {
      release()
    }
  }

  private var status: MetadataStatus { MetadataStatus(engine: engine, move: state.withLock { $0.move }) }

  private func run() async {
    log.info("moving the metadata to PostgreSQL")
    do {
      try await move { step in
        self.state.withLock { state in
          switch step {
          case .copying(let rows): state.move?.rows = rows
          case .catchingUp(let round, let rows):
            state.move?.rounds = round
            state.move?.lastRound = rows
          }
        }
      }
      log.info("the metadata has moved to PostgreSQL", ["rows": .int(Int(status.move?.rows ?? 0))])
      state.withLock { $0.move?.state = .done }
      release()
    } catch {
      log.error("the metadata could not be moved to PostgreSQL", ["reason": .error(error)])
      state.withLock { state in
        state.move?.state = .failed
        state.move?.failure = "\(error)"
      }
    }
  }

  private func release() {
    let waiting = state.withLock { state in
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }
}
