internal import BlockModel
internal import ClusterLogic
package import Platform
package import ServiceAPI
internal import Synchronization

/// The newest view of the cluster that this gateway has heard of, kept fresh by one long-poll of the coordinator.
///
/// What must hold: a view is never replaced by one of a lower generation or of a lower layout version of the same generation, nor by the
/// answer to a question that was asked before the present one was; with the coordinator away, the last view stays in use.
package final class ClusterViewCache: Sendable {
  private struct State {
    var planned: PlannedView?
    /// The place in line of the question that `planned` answered.
    var viewQuestion: UInt64 = 0
    var lastQuestion: UInt64 = 0
    /// When an answer last came.
    var lastContact: MonotonicTime?
    /// When the first question failed since then.
    var failingSince: MonotonicTime?
    /// Shared by all who ask for a fresh view at the same time.
    var refreshing: Task<Void, Never>?
    var polling: Task<Void, Never>?
  }

  private let control: any ControlPlane
  private let time: any TimeSource
  private let logger: Logger
  private let poll: Duration
  private let state = Mutex(State())

  /// - Parameter poll: how long the coordinator may hold a question that has nothing new to answer.
  package init(control: any ControlPlane, time: any TimeSource, logger: Logger, poll: Duration = .seconds(20)) {
    self.control = control
    self.time = time
    self.logger = logger.component("view")
    self.poll = poll
  }

  deinit { state.withLock { $0.polling }?.cancel() }

  /// Begins to follow the coordinator; once is enough.
  package func start() {
    state.withLock { state in
      guard state.polling == nil else { return }
      let wait = Int(poll.saturatedMilliseconds)
      state.polling = Task { [weak self] in
        var pause = Duration.milliseconds(100)
        while !Task.isCancelled {
          // Held only while it asks, so that a cache that nobody uses any more goes away.
          guard let answered = await self?.ask(waitMilliseconds: wait) else { return }
          if !answered { try? await Task.sleep(for: pause) }
          pause = answered ? .milliseconds(100) : min(pause * 2, .seconds(2))
        }
      }
    }
  }

  package func stop() {
    let task = state.withLock { state in
      defer { state.polling = nil }
      return state.polling
    }
    task?.cancel()
  }

  /// The newest view, nil before the first answer.
  package var current: ClusterView? { state.withLock { $0.planned?.view } }

  /// How long ago the coordinator last answered; nil when it never did.
  package var silence: Duration? {
    let contact = state.withLock { $0.lastContact }
    return contact.map { time.monotonic() - $0 }
  }

  /// For how long questions have failed; nil when the last one was answered.
  package var trouble: Duration? {
    let since = state.withLock { $0.failingSince }
    return since.map { time.monotonic() - $0 }
  }

  /// The newest view; asks for one when there is none.
  ///
  /// - Parameter age: asks anew unless the coordinator answered within this time, and takes the view at hand when it does not answer.
  /// - Throws: `.unavailable` when the coordinator has never answered.
  func planned(freshWithin age: Duration? = nil) async throws(Problem) -> PlannedView {
    if let age, let silence, silence > age { await refresh() }
    if let planned = state.withLock({ $0.planned }) { return planned }
    await refresh()
    guard let planned = state.withLock({ $0.planned }) else {
      throw Problem(.unavailable, "The gateway has not reached the coordinator yet; try again.", retryAfter: 1)
    }
    return planned
  }

  /// Asks for the present view at once. Callers at the same time share one question.
  package func refresh() async {
    let task = state.withLock { state in
      if let running = state.refreshing { return running }
      let task = Task { [weak self] in
        await self?.ask(waitMilliseconds: 0)
        self?.state.withLock { $0.refreshing = nil }
      }
      state.refreshing = task
      return task
    }
    await task.value
  }

  // MARK: Asking

  @discardableResult
  private func ask(waitMilliseconds: Int) async -> Bool {
    let (question, revision) = state.withLock { state in
      state.lastQuestion += 1
      return (state.lastQuestion, state.planned?.view.revision ?? 0)
    }
    let operation = ClusterOperations.GetView(revision: revision, waitMilliseconds: waitMilliseconds)
    do throws(Problem) {
      take(try await control.perform(operation, context: ControlContext(requestID: "view-\(question)")), question: question)
      return true
    } catch {
      let now = time.monotonic()
      state.withLock { $0.failingSince = $0.failingSince ?? now }
      if !Task.isCancelled { logger.warning("The coordinator does not tell its view.", ["error": .string(error.detail)]) }
      return false
    }
  }

  private func take(_ view: ClusterView, question: UInt64) {
    let now = time.monotonic()
    let planned = PlannedView(view)
    let changed = state.withLock { state in
      (state.lastContact, state.failingSince) = (now, nil)
      guard question > state.viewQuestion else { return false }
      if let known = state.planned?.view, ClusterViewCache.isOlder(view, than: known) { return false }
      let changed = state.planned?.view.revision != view.revision
      state.planned = planned
      state.viewQuestion = question
      return changed
    }
    if changed {
      logger.info("The view of the cluster changed.", ["layout": .int(view.layout.version), "members": .int(view.members.count)])
    }
  }

  private static func isOlder(_ view: ClusterView, than known: ClusterView) -> Bool {
    if view.generation != known.generation { return view.generation < known.generation }
    return view.layout.version < known.layout.version
  }
}
