internal import BlockModel
internal import Platform
internal import PostgreSQLDatabase
internal import Synchronization

/// Tells the other coordinators of a database which namespaces have changed, and hears it from them, by LISTEN and NOTIFY: hints only.
///
/// What must hold: commits do not wait for it. A NOTIFY inside of a transaction would make all commits wait for each other, so the hints of
/// many commits go out together, afterwards, in transactions that write nothing. Hints that may have been lost count as missed.
final class HintExchange: Sendable {
  fileprivate static let channel = "cairn_changes"
  /// Between two looks at what is to be told; also the longest that a hint waits here.
  fileprivate static let interval: Duration = .milliseconds(20)
  fileprivate static let reconnectPause: Duration = .milliseconds(500)
  /// Namespaces in one message, whose length is limited to 8,000 bytes; and the most that wait, beyond which all count as changed.
  fileprivate static let perMessage = 300
  private static let waitingLimit = 16_384
  fileprivate static let everything = "*"

  fileprivate struct State {
    var changed: Set<Int64> = []
    var hasOverflowed = false
    var isStopping = false
  }

  fileprivate final class Shared: Sendable {
    let state = Mutex(State())
    let instance = UInt64.random(in: 1...(.max))
    let options: PostgreSQLOptions
    let hub: ChangeHub
    init(_ options: PostgreSQLOptions, _ hub: ChangeHub) {
      self.options = options
      self.hub = hub
    }
  }

  private let shared: Shared
  private let thread: WorkerThread

  init(_ options: PostgreSQLOptions, _ hub: ChangeHub) {
    let shared = Shared(options, hub)
    self.shared = shared
    thread = WorkerThread.start(name: "metadata-hints") { shared.work() }
  }

  deinit { shared.state.withLock { $0.isStopping = true } }

  /// Called after each commit.
  func tell(_ namespaces: Set<Int64>) {
    shared.state.withLock { state in
      guard state.changed.count + namespaces.count <= HintExchange.waitingLimit else {
        state.changed = []
        state.hasOverflowed = true
        return
      }
      state.changed.formUnion(namespaces)
    }
  }

  func stop() {
    shared.state.withLock { $0.isStopping = true }
    thread.join()
  }
}

extension HintExchange.Shared {
  func work() {
    while !state.withLock({ $0.isStopping }) {
      do {
        let connection = try PostgreSQLConnection(options)
        try connection.listen(HintExchange.channel)
        // What others said before this is lost.
        hub.noteMissed()
        try exchange(connection)
      } catch { WorkerThread.sleep(for: HintExchange.reconnectPause) }
    }
  }

  private func exchange(_ connection: PostgreSQLConnection) throws {
    while !state.withLock({ $0.isStopping }) {
      let (changed, hasOverflowed) = state.withLock { state in
        defer {
          state.changed = []
          state.hasOverflowed = false
        }
        return (state.changed.sorted(), state.hasOverflowed)
      }
      if hasOverflowed { try connection.notify(HintExchange.channel, "\(instance) \(HintExchange.everything)") }
      for start in stride(from: 0, to: changed.count, by: HintExchange.perMessage) {
        let numbers = changed[start..<min(start + HintExchange.perMessage, changed.count)].map(String.init)
        try connection.notify(HintExchange.channel, "\(instance) " + numbers.joined(separator: " "))
      }
      for message in try connection.notifications(waitingAtMost: HintExchange.interval) { hear(message) }
    }
  }

  private func hear(_ message: String) {
    let words = message.split(separator: " ")
    guard let sender = words.first, sender != Substring(String(instance)) else { return }
    if words.dropFirst().first == Substring(HintExchange.everything) { return hub.noteMissed() }
    hub.publish(Set(words.dropFirst().compactMap { Int64($0) }))
  }
}
