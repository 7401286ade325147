internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Wakes those who wait for changes when the coordinator says that a namespace of theirs has changed: one question to the coordinator is
/// held for all of them.
///
/// What must hold: a ring between two waits of a subscription is not lost; while the coordinator is away, or answers that hints were
/// missed, all who wait are woken or poll; whoever waits is woken when the gateway stops.
final class ChangeBell: Sendable {
  private struct State {
    var byTopic: [Int64: Set<UInt64>] = [:]
    var subscriptions: [UInt64: Weak] = [:]
    var nextNumber: UInt64 = 0
    var isLive = false
    var following: Task<Void, Never>?

    mutating func drop(_ number: UInt64, _ topic: Int64) {
      byTopic[topic]?.remove(number)
      if byTopic[topic]?.isEmpty == true { byTopic[topic] = nil }
    }
  }

  private struct Weak: Sendable {
    weak var subscription: Subscription?
  }

  /// One who waits. Leaves when the last reference goes.
  final class Subscription: Sendable {
    private struct State {
      var topics: [Int64] = []
      var isRung = false
      var sleeper: CheckedContinuation<Void, Never>?
      /// Counts waits, so that an old alarm wakes nobody.
      var waits: UInt64 = 0
    }

    private let bell: ChangeBell
    fileprivate let number: UInt64
    private let state = Mutex(State())

    fileprivate init(_ bell: ChangeBell, number: UInt64) {
      self.bell = bell
      self.number = number
    }

    deinit { bell.leave(number, topics: state.withLock { $0.topics }) }

    /// What it wants to hear of.
    func follow(_ topics: [Int64]) {
      let old = state.withLock { state in
        let old = state.topics
        state.topics = topics
        return old
      }
      if old != topics { bell.move(number, from: old, to: topics) }
    }

    fileprivate func ring() {
      let sleeper = state.withLock { state in
        state.isRung = true
        defer { state.sleeper = nil }
        return state.sleeper
      }
      sleeper?.resume()
    }

    /// Returns at the next ring, at once when it rang since the last wait, or after `limit`.
    func wait(atMost limit: Duration) async {
      let alarm = Alarm()
      await withTaskCancellationHandler {
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
          let number: UInt64? = state.withLock { state in
            guard !state.isRung else { return nil }
            state.waits += 1
            state.sleeper = continuation
            return state.waits
          }
          guard let number else { return continuation.resume() }
          alarm.set(after: limit) { [weak self] in self?.wake(number) }
        }
      } onCancel: {
        ring()
      }
      alarm.cancel()
      state.withLock { $0.isRung = false }
    }

    private func wake(_ number: UInt64) {
      let sleeper = state.withLock { state -> CheckedContinuation<Void, Never>? in
        guard state.waits == number else { return nil }
        defer { state.sleeper = nil }
        return state.sleeper
      }
      sleeper?.resume()
    }
  }

  /// A timer that is taken back when what it was for came first.
  private final class Alarm: Sendable {
    private let task = Mutex<Task<Void, Never>?>(nil)
    func set(after limit: Duration, _ body: @escaping @Sendable () -> Void) {
      let task = Task {
        try? await Task.sleep(for: limit)
        if !Task.isCancelled { body() }
      }
      self.task.withLock { $0 = task }
    }
    func cancel() { task.withLock { $0 }?.cancel() }
  }

  private let control: any ControlPlane
  private let logger: Logger
  private let state = Mutex(State())

  init(control: any ControlPlane, logger: Logger) {
    self.control = control
    self.logger = logger
  }

  deinit { state.withLock { $0.following }?.cancel() }

  /// Whether hints come; while they do not, whoever waits has to poll.
  var isLive: Bool { state.withLock { $0.isLive } }

  func subscribe() -> Subscription {
    state.withLock { state in
      state.nextNumber += 1
      let subscription = Subscription(self, number: state.nextNumber)
      state.subscriptions[state.nextNumber] = Weak(subscription: subscription)
      return subscription
    }
  }

  private func move(_ number: UInt64, from old: [Int64], to new: [Int64]) {
    state.withLock { state in
      for topic in old { state.drop(number, topic) }
      for topic in new { state.byTopic[topic, default: []].insert(number) }
    }
  }

  private func leave(_ number: UInt64, topics: [Int64]) {
    state.withLock { state in
      state.subscriptions[number] = nil
      for topic in topics { state.drop(number, topic) }
    }
  }

  func ringAll() {
    for subscription in state.withLock({ $0.subscriptions.values.compactMap(\.subscription) }) { subscription.ring() }
  }

  private func ring(_ topics: [Int64]) {
    let woken = state.withLock { state in
      var numbers: Set<UInt64> = []
      for topic in topics { numbers.formUnion(state.byTopic[topic] ?? []) }
      return numbers.compactMap { state.subscriptions[$0]?.subscription }
    }
    for subscription in woken { subscription.ring() }
  }

  // MARK: Following

  private static let hold = 20_000

  func start() {
    state.withLock { state in
      guard state.following == nil else { return }
      state.following = Task { [weak self] in
        var last: ServiceAPI.ChangeHints?
        var pause = Duration.milliseconds(100)
        while !Task.isCancelled {
          // Held only while it asks, so that a gateway that nobody uses any more goes away.
          guard let next = await self?.ask(after: last) else { return }
          switch next {
          case .success(let hints):
            last = hints
            pause = .milliseconds(100)
          case .failure:
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(5))
          }
        }
      }
    }
  }

  func stop() {
    let task = state.withLock { state in
      defer { state.following = nil }
      state.isLive = false
      return state.following
    }
    task?.cancel()
    ringAll()
  }

  private func ask(after last: ServiceAPI.ChangeHints?) async -> Result<ServiceAPI.ChangeHints, Problem> {
    let question = UserOperations.AwaitChanges(
      instance: last?.instance, position: last?.position ?? 0, waitMilliseconds: last == nil ? 0 : ChangeBell.hold)
    do throws(Problem) {
      let hints = try await control.perform(question, context: ControlContext(requestID: "hints"))
      let wasLive = state.withLock { state in
        defer { state.isLive = true }
        return state.isLive
      }
      // Between two lives of the connection anything may have changed.
      if hints.wasMissed || !wasLive { ringAll() } else { ring(hints.namespaces) }
      return .success(hints)
    } catch {
      let wasLive = state.withLock { state in
        defer { state.isLive = false }
        return state.isLive
      }
      if wasLive {
        logger.warning("The coordinator gives no hints of changes; those who wait poll.", ["error": .string(error.detail)])
        ringAll()
      }
      return .failure(error)
    }
  }
}
