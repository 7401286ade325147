import BlockModel
import Chaos
import TestSupport
import Testing

private typealias File = RecordedCall.File

/// A call from `start` to `end`, on names of one folder.
private func call(_ start: Int64, _ end: Int64, _ request: RecordedCall.Request, _ answer: RecordedCall.Answer) -> RecordedCall {
  RecordedCall(group: "g", request: request, answer: answer, start: start, end: end)
}

private func write(_ name: String, _ content: String, base: Int64? = nil) -> RecordedCall.Request {
  .write(name: name, content: content, base: base)
}

private func file(_ name: String, _ version: Int64, _ content: String, id: String = "1") -> RecordedCall.Answer {
  .file(File(name: name, id: id, version: version, content: content))
}

private func isLinearizable(_ calls: [RecordedCall]) -> Bool { LinearizabilityChecker.check(calls) == .linearizable }

@Suite("Linearizability") struct LinearizabilityTests {
  struct Example: CustomTestStringConvertible, Sendable {
    var testDescription: String
    var isRight: Bool
    fileprivate var calls: [RecordedCall]
  }

  static let examples: [Example] = [
    Example(testDescription: "nothing at all", isRight: true, calls: []),
    Example(
      testDescription: "one after the other", isRight: true,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, .read(name: "a"), file("a", 1, "x")),
        call(4, 5, write("a", "y", base: 1), file("a", 2, "y")), call(6, 7, .delete(id: "1", version: 2), .done),
        call(8, 9, .read(name: "a"), .absent), call(10, 11, .delete(id: "1", version: nil), .absent),
      ]),
    Example(
      testDescription: "a read beside a write sees either", isRight: true,
      calls: [
        call(0, 10, write("a", "x"), file("a", 1, "x")), call(1, 2, .read(name: "a"), .absent),
        call(3, 4, .read(name: "a"), file("a", 1, "x")),
      ]),
    Example(
      testDescription: "a read goes back in time", isRight: false,
      calls: [
        call(0, 10, write("a", "x"), file("a", 1, "x")), call(1, 2, .read(name: "a"), file("a", 1, "x")),
        call(3, 4, .read(name: "a"), .absent),
      ]),
    Example(
      testDescription: "a read after an acknowledged write misses it", isRight: false,
      calls: [call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, .read(name: "a"), .absent)]),
    Example(
      testDescription: "two writes on one base both succeed: an update is lost", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 9, write("a", "y", base: 1), file("a", 2, "y")),
        call(3, 8, write("a", "z", base: 1), file("a", 2, "z")),
      ]),
    Example(
      testDescription: "of two writes on one base one conflicts", isRight: true,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 9, write("a", "y", base: 1), file("a", 2, "y")),
        call(3, 8, write("a", "z", base: 1), .conflict),
      ]),
    Example(
      testDescription: "a conflict with nothing in the way", isRight: false,
      calls: [call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, write("a", "y", base: 1), .conflict)]),
    Example(
      testDescription: "equal content is no conflict and no version", isRight: true,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, write("a", "x", base: 7), file("a", 1, "x")),
        call(4, 5, .read(name: "a"), file("a", 1, "x")),
      ]),
    Example(
      testDescription: "one write counts twice", isRight: false,
      calls: [call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, .read(name: "a"), file("a", 2, "x"))]),
    Example(
      testDescription: "a write of unknown outcome took effect late", isRight: true,
      calls: [
        call(0, 1, write("a", "x"), .unknown), call(2, 3, .read(name: "a"), .absent), call(4, 5, .read(name: "a"), file("a", 1, "x")),
      ]),
    Example(
      testDescription: "a write of unknown outcome never took effect", isRight: true,
      calls: [call(0, 1, write("a", "x"), .unknown), call(2, 3, write("a", "y"), file("a", 1, "y", id: "2"))]),
    Example(
      testDescription: "a write of unknown outcome took effect and went away again", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), .unknown), call(2, 3, .read(name: "a"), file("a", 1, "x")), call(4, 5, .read(name: "a"), .absent),
      ]),
    Example(
      testDescription: "what nobody wrote is read", isRight: false,
      calls: [call(0, 1, write("a", "x"), .unknown), call(2, 3, .read(name: "a"), file("a", 1, "y"))]),
    Example(
      testDescription: "a deleted file comes back", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, .delete(id: "1", version: nil), .done),
        call(4, 5, .read(name: "a"), file("a", 1, "x")),
      ]),
    Example(
      testDescription: "a file is deleted twice", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, .delete(id: "1", version: nil), .done),
        call(2, 3, .delete(id: "1", version: nil), .done),
      ]),
    Example(
      testDescription: "a move takes the file along", isRight: true,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, .move(id: "1", to: "b"), file("b", 1, "x")),
        call(4, 5, .list, .files([File(name: "b", id: "1", version: 1, content: "x")])),
      ]),
    Example(
      testDescription: "a list sees a moved file under both names", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 9, .move(id: "1", to: "b"), file("b", 1, "x")),
        call(
          3, 8, .list,
          .files([File(name: "a", id: "1", version: 1, content: "x"), File(name: "b", id: "1", version: 1, content: "x")])),
      ]),
    Example(
      testDescription: "a list in the middle of a move sees the file under neither name", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 9, .move(id: "1", to: "b"), file("b", 1, "x")),
        call(3, 8, .list, .files([])),
      ]),
    Example(
      testDescription: "a move onto another file's name is refused, and only then", isRight: true,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(0, 1, write("b", "y"), file("b", 1, "y", id: "2")),
        call(2, 3, .move(id: "1", to: "b"), .taken), call(4, 5, .delete(id: "2", version: nil), .done),
        call(6, 7, .move(id: "1", to: "b"), file("b", 1, "x")),
      ]),
    Example(
      testDescription: "a move onto another file's name succeeds", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(0, 1, write("b", "y"), file("b", 1, "y", id: "2")),
        call(2, 3, .move(id: "1", to: "b"), file("b", 1, "x")),
      ]),
    Example(
      testDescription: "two files have one id", isRight: false,
      calls: [
        call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, write("b", "y"), .unknown),
        call(4, 5, .read(name: "b"), file("b", 1, "y", id: "1")),
      ]),
    Example(
      testDescription: "two lists show two new files in opposite orders", isRight: false,
      calls: [
        call(0, 9, write("a", "x"), file("a", 1, "x")), call(0, 9, write("b", "y"), file("b", 1, "y", id: "2")),
        call(1, 5, .list, .files([File(name: "a", id: "1", version: 1, content: "x")])),
        call(1, 5, .list, .files([File(name: "b", id: "2", version: 1, content: "y")])),
      ]),
  ]

  @Test("a history is taken when an order explains it, and refused when none does", arguments: examples)
  func knownHistories(example: Example) { #expect(isLinearizable(example.calls) == example.isRight) }

  @Test("a search over its bound is given up and not called a success")
  func bounded() {
    let calls = (0..<20).map { call(0, 100, write("a", "\($0)"), $0 == 0 ? .conflict : .unknown) }
    #expect(LinearizabilityChecker.check(calls + [call(0, 1, .read(name: "a"), file("a", 9, "z"))], stepLimit: 50) == .givenUp)
  }

  @Test("the search agrees with trying every order")
  func agreesWithBruteForce() {
    var random = Seeds.random()
    var verdicts = [true: 0, false: 0]
    for _ in 0..<1500 {
      var calls = RandomHistory.make(calls: 7, unknownOf: 8, &random)
      // Half of them get an answer that something else got.
      if random.next() % 2 == 0 {
        let (from, to) = (Int(random.next() % 7), Int(random.next() % 7))
        calls[to].answer = calls[from].answer
      }
      let expected = BruteForce.isLinearizable(calls)
      verdicts[expected, default: 0] += 1
      #expect(isLinearizable(calls) == expected, "\(calls)")
    }
    #expect(verdicts[true, default: 0] > 100 && verdicts[false, default: 0] > 100, "both verdicts came up: \(verdicts)")
  }

  @Test("long histories that happened in some order are taken, and refused when a read misses an acknowledged write")
  func longHistories() {
    var random = Seeds.random()
    for _ in 0..<10 {
      var calls = RandomHistory.make(calls: 300, unknownOf: 60, &random)
      #expect(isLinearizable(calls))
      calls.append(call(20_000, 20_001, write("c", "x"), file("c", 1, "x", id: "last")))
      calls.append(call(20_002, 20_003, .read(name: "c"), .absent))
      #expect(!isLinearizable(calls))
    }
  }
}

/// Histories that have an order by construction: each call takes effect at one moment, and its ends are somewhere around it.
private enum RandomHistory {
  static func make(calls count: Int, unknownOf: UInt64, _ random: inout SeededRandom) -> [RecordedCall] {
    var files: [File] = []
    var calls: [RecordedCall] = []
    var nextID = 1
    // A client can only name what it was shown.
    var shown: Set<String> = []
    let names = ["a", "b"]
    for moment in 0..<count {
      let name = names[Int(random.next() % 2)]
      let place = files.firstIndex { $0.name == name }
      let known = place.flatMap { shown.contains(files[$0].id) ? $0 : nil }
      let request: RecordedCall.Request
      let answer: RecordedCall.Answer
      switch random.next() % 6 {
      case 0, 1:
        let content = "\(random.next() % 3)"
        let base: Int64? = random.next() % 4 == 0 ? 7 : place.map { files[$0].version }
        request = .write(name: name, content: content, base: base)
        if let place, files[place].content == content {
          answer = .file(files[place])
        } else if let place, files[place].version == base {
          files[place].version += 1
          files[place].content = content
          answer = .file(files[place])
        } else if place == nil, base == nil {
          files.append(File(name: name, id: "\(nextID)", version: 1, content: content))
          nextID += 1
          answer = .file(files[files.count - 1])
        } else {
          answer = .conflict
        }
      case 2:
        let id = known.map { files[$0].id } ?? "0"
        request = .delete(id: id, version: nil)
        answer = known == nil ? .absent : .done
        if let known { files.remove(at: known) }
      case 3:
        let target = names[Int(random.next() % 2)]
        request = .move(id: known.map { files[$0].id } ?? "0", to: target)
        if let known {
          if files.contains(where: { $0.name == target && $0.id != files[known].id }) {
            answer = .taken
          } else {
            files[known].name = target
            answer = .file(files[known])
          }
        } else {
          answer = .absent
        }
      case 4:
        request = .read(name: name)
        answer = place.map { .file(files[$0]) } ?? .absent
      default:
        request = .list
        answer = .files(files)
      }
      let at = Int64(moment) * 10
      let isUnknown = random.next() % unknownOf == 0
      switch answer {
      case .file(let file) where !isUnknown: shown.insert(file.id)
      case .files(let files) where !isUnknown: shown.formUnion(files.map(\.id))
      default: break
      }
      calls.append(
        call(at - Int64(random.next() % 30), at + Int64(random.next() % 30), request, isUnknown ? .unknown : answer))
    }
    return calls
  }
}

/// Every order of every choice of the calls whose outcome is unknown.
private enum BruteForce {
  static func isLinearizable(_ calls: [RecordedCall]) -> Bool {
    place(calls.filter { $0.isMutation || $0.answer != .unknown }, FolderModel())
  }

  private static func place(_ left: [RecordedCall], _ state: FolderModel) -> Bool {
    guard left.contains(where: { $0.answer != .unknown }) else { return true }
    for (index, call) in left.enumerated() {
      // Nothing that was over before it began may come later.
      guard !left.contains(where: { $0.answer != .unknown && $0.end < call.start }) else { continue }
      guard let after = state.after(call.request, call.answer) else { continue }
      var rest = left
      rest.remove(at: index)
      if place(rest, after) { return true }
    }
    return false
  }
}

@Suite("The feed of a history") struct FeedAuditTests {
  private let changes = [
    RecordedChange(sequence: 1, action: .created, id: "0", path: "/g", oldPath: nil, version: 1, content: nil),
    RecordedChange(sequence: 2, action: .created, id: "1", path: "/g/a", oldPath: nil, version: 1, content: "x"),
    RecordedChange(sequence: 3, action: .modified, id: "1", path: "/g/a", oldPath: nil, version: 2, content: "y"),
    RecordedChange(sequence: 4, action: .created, id: "2", path: "/g/b", oldPath: nil, version: 1, content: "x"),
    RecordedChange(sequence: 5, action: .moved, id: "1", path: "/g/c", oldPath: "/g/a", version: 2, content: "y"),
    RecordedChange(sequence: 6, action: .deleted, id: "2", path: "/g/b", oldPath: nil, version: 1, content: "x"),
  ]
  private let listing = [File(name: "/g/c", id: "1", version: 2, content: "y")]
  private let calls = [
    call(0, 1, write("a", "x"), file("a", 1, "x")), call(2, 3, write("a", "y", base: 1), file("a", 2, "y")),
    call(2, 5, write("b", "x"), file("b", 1, "x", id: "2")), call(6, 7, .move(id: "1", to: "c"), file("c", 2, "y")),
    call(8, 9, .delete(id: "2", version: nil), .done),
  ]

  private func faults(_ changes: [RecordedChange], _ listing: [File]? = nil, _ calls: [RecordedCall]? = nil) -> [String] {
    FeedAudit.faults(changes, listing: listing ?? self.listing, calls: calls ?? self.calls)
  }

  @Test("a feed that says what happened is taken")
  func right() { #expect(faults(changes) == []) }

  @Test("a feed that lacks a change is refused", arguments: 1..<6)
  func lacking(index: Int) {
    var changes = changes
    changes.remove(at: index)
    #expect(!faults(changes).isEmpty)
    // Also when the numbers go on without a gap.
    for place in index..<changes.count { changes[place].sequence -= 1 }
    #expect(!faults(changes).isEmpty)
  }

  @Test("a feed that says a change twice is refused", arguments: 1..<6)
  func twice(index: Int) {
    var changes = changes
    changes.insert(changes[index], at: index)
    for place in (index + 1)..<changes.count { changes[place].sequence += 1 }
    #expect(!faults(changes).isEmpty)
  }

  @Test("a feed that does not lead to the tree is refused")
  func otherTree() {
    #expect(!faults(changes, []).isEmpty)
    #expect(!faults(changes, [File(name: "/g/c", id: "1", version: 1, content: "x")]).isEmpty)
    #expect(!faults(changes, listing + [File(name: "/g/d", id: "3", version: 1, content: "x")]).isEmpty)
  }

  @Test("a feed in another order than clients saw is refused")
  func otherOrder() {
    var changes = changes
    // The file b was asked for after a's first version was acknowledged.
    changes.swapAt(1, 3)
    changes.swapAt(2, 3)
    for place in changes.indices { changes[place].sequence = Int64(place + 1) }
    #expect(faults(changes).contains { $0.contains("comes after it") })
  }

  @Test("a content that nobody wrote is refused")
  func nobodys() {
    #expect(faults(changes, nil, calls.filter { $0.answer != file("a", 2, "y") }).contains { $0.contains("nobody wrote") })
  }
}
