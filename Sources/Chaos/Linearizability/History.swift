internal import BlockModel
internal import Platform
internal import Synchronization

/// A recorded run: of each user the calls and, in the end, the feed and the tree. Kept in a file, so that what was refused can be looked
/// at, and checked again.
package struct History: Sendable, Codable {
  package struct Namespace: Sendable, Codable {
    package var calls: [RecordedCall] = []
    package var changes: [RecordedChange] = []
    /// Every file, `name` being its path.
    package var listing: [RecordedCall.File] = []
    package init() {}
  }

  /// What a check found.
  package struct Findings: Sendable {
    package var groups = 0
    package var calls = 0
    package var unknown = 0
    /// Sentences; none when all is well.
    package var faults: [String] = []
  }

  package var namespaces: [Namespace] = []
  package init() {}

  /// Holds every folder's calls against the sequential specification, and each namespace's feed against its calls and its tree.
  package func check() -> Findings {
    var findings = Findings()
    for (number, namespace) in namespaces.enumerated() {
      let groups = Dictionary(grouping: namespace.calls, by: \.group)
      for name in groups.keys.sorted() {
        let calls = groups[name] ?? []
        findings.groups += 1
        findings.calls += calls.count
        findings.unknown += calls.count { $0.answer == .unknown }
        switch LinearizabilityChecker.check(calls) {
        case .linearizable: break
        case .impossible(let stuck):
          findings.faults.append(
            "user \(number), folder \(name): no order of its \(calls.count) calls explains their answers; the furthest got to \(stuck)")
        case .givenUp: findings.faults.append("user \(number), folder \(name): the search for an order was given up")
        }
      }
      findings.faults += FeedAudit.faults(namespace.changes, listing: namespace.listing, calls: namespace.calls).map {
        "user \(number): \($0)"
      }
    }
    return findings
  }

  package func write(to path: String) throws { try AtomicFile.write(path, JSONCoding.encode(self), mode: 0o644) }

  package static func read(_ path: String) throws -> History? {
    try AtomicFile.read(path, limit: 1 << 30).map { try JSONCoding.decode(History.self, from: $0, limit: 1 << 30) }
  }
}

/// The calls of a run that goes on, by user.
final class HistoryRecorder: Sendable {
  private let calls: Mutex<[[RecordedCall]]>
  private let surprises = Mutex<[String]>([])
  init(users: Int) { calls = Mutex(Array(repeating: [], count: users)) }

  private let over = Atomic(false)
  /// Whether clients shall stop.
  var isOver: Bool { over.load(ordering: .relaxed) }
  func finish() { over.store(true, ordering: .relaxed) }

  func add(_ call: RecordedCall, of user: Int) { calls.withLock { $0[user].append(call) } }
  func note(_ surprise: String) { surprises.withLock { if $0.count < 100 { $0.append(surprise) } } }
  func all(of user: Int) -> [RecordedCall] { calls.withLock { $0[user] } }
  var faults: [String] { surprises.withLock { $0 } }
}
