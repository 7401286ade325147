internal import BlockModel
internal import Platform
internal import Synchronization

/// A user's program that reads and changes a few names of folders that others change too, and hands each call on to be recorded.
struct HistoryClient: Sendable {
  /// Names in a folder: few, so that clients are in each other's way.
  static let names = ["a", "b", "c"]
  private static let patience: Duration = .seconds(25)

  let api: MetadataAPI
  let contents: [MetadataAPI.Content]
  let clock: RunLog
  let record: @Sendable (RecordedCall) -> Void

  /// Works until it is told to stop.
  /// - Parameter folder: the folder to work in now.
  func run(seed: UInt64, folder: @Sendable (inout SeededRandom) -> String?) async {
    var random = SeededRandom(seed: seed)
    // What the last look at a folder showed: what changes are based on, right or outdated.
    var seen: [String: [RecordedCall.File]] = [:]
    while let group = folder(&random) {
      if seen[group] == nil { seen = [group: []] }
      let choice = random.next() % 100
      let known = seen[group] ?? []
      var isUnclear = false
      if choice < 35 {
        isUnclear = await write(group, known, &random)
      } else if choice < 45, let file = known.randomElement(using: &random) {
        isUnclear = await call(group, .delete(id: file.id, version: random.next() % 2 == 0 ? file.version : nil))
      } else if choice < 58, let file = known.randomElement(using: &random) {
        isUnclear = await call(group, .move(id: file.id, to: Self.name(&random)))
      } else if choice < 75 {
        isUnclear = await call(group, .read(name: Self.name(&random)))
      } else {
        isUnclear = await look(group, &seen)
      }
      // Nothing more is changed before a look succeeds: each call of unknown outcome doubles what the checker has to think of.
      while isUnclear, folder(&random) != nil {
        try? await Task.sleep(for: .milliseconds(100))
        isUnclear = await look(group, &seen)
      }
    }
  }

  private static func name(_ random: inout SeededRandom) -> String { names[Int(random.next() % UInt64(names.count))] }

  /// - Returns: whether the outcome is unknown.
  private func write(_ group: String, _ known: [RecordedCall.File], _ random: inout SeededRandom) async -> Bool {
    let name = Self.name(&random)
    let content = contents[Int(random.next() % UInt64(contents.count))]
    let base = known.first { $0.name == name }?.version
    guard let upload = await api.open(content, path: "/\(group)/\(name)", base: base) else { return true }
    let start = clock.nanoseconds
    guard let answer = await api.complete(upload, name: name, patience: Self.patience) else { return false }
    record(
      RecordedCall(
        group: group, request: .write(name: name, content: content.hash, base: base), answer: answer, start: start, end: clock.nanoseconds))
    return answer == .unknown
  }

  @discardableResult
  func call(_ group: String, _ request: RecordedCall.Request) async -> Bool {
    let start = clock.nanoseconds
    let answer: RecordedCall.Answer?
    switch request {
    case .read(let name): answer = await api.read(name, in: group)
    case .list: answer = await api.list(group)
    case .delete(let id, let version): answer = await api.delete(id, version: version)
    case .move(let id, let target): answer = await api.move(id, to: target, in: group)
    case .write: preconditionFailure("a write is two requests")
    }
    guard let answer else { return !RecordedCall(group: group, request: request, answer: .unknown, start: 0, end: 0).isMutation }
    record(RecordedCall(group: group, request: request, answer: answer, start: start, end: clock.nanoseconds))
    return answer == .unknown
  }

  /// Lists a folder, and remembers what is there.
  private func look(_ group: String, _ seen: inout [String: [RecordedCall.File]]) async -> Bool {
    let start = clock.nanoseconds
    guard let answer = await api.list(group), case .files(let files) = answer else { return true }
    record(RecordedCall(group: group, request: .list, answer: answer, start: start, end: clock.nanoseconds))
    seen[group] = files
    return false
  }
}

extension RunLog {
  /// Nanoseconds since the run began.
  var nanoseconds: Int64 { Int64(now * 1e9) }
}
