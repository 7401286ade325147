import BlockModel
import MetadataStore
import ServiceAPI
import Testing

@Suite("Conflicts")
struct ConflictConformanceTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var base: Int64?
    var policy: ConflictPolicy?
    enum Outcome: Sendable, Equatable { case version(Int64), conflict, copy }
    var outcome: Outcome
  }

  /// Against a file that is at version 2.
  static let cases = [
    Case(testDescription: "the present base", base: 2, policy: .fail, outcome: .version(3)),
    Case(testDescription: "an old base, fail", base: 1, policy: .fail, outcome: .conflict),
    Case(testDescription: "an old base, nothing said", base: 1, policy: nil, outcome: .conflict),
    Case(testDescription: "an old base, copy", base: 1, policy: .copy, outcome: .copy),
    Case(testDescription: "an old base, overwrite", base: 1, policy: .overwrite, outcome: .version(3)),
    Case(testDescription: "no base, fail", base: nil, policy: .fail, outcome: .conflict),
    Case(testDescription: "no base, copy", base: nil, policy: .copy, outcome: .copy),
    Case(testDescription: "no base, overwrite", base: nil, policy: .overwrite, outcome: .version(3)),
    Case(testDescription: "must be new, fail", base: 0, policy: .fail, outcome: .conflict),
    Case(testDescription: "a base that never was", base: 9, policy: .fail, outcome: .conflict),
  ]

  @Test("a commit is compare-and-swap on the base version, and else what the request says", arguments: cases)
  func compareAndSwap(given: Case) async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    try await fixture.put("/f.txt", [Fixture.block(1)], as: ada)
    try await fixture.put("/f.txt", [Fixture.block(2)], as: ada, base: 1)
    let sequence = try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.count
    func put() async throws -> FileEntry {
      try await fixture.put("/f.txt", [Fixture.block(3)], as: ada, base: given.base, policy: given.policy)
    }
    switch given.outcome {
    case .version(let number):
      #expect(try await put().version == number)
      #expect(try await fixture.paths(of: ada) == ["/f.txt"])
    case .conflict:
      let refusal = await problem { try await put() }
      #expect(refusal?.kind == .conflict && refusal?.current?.version == 2)
      #expect(refusal?.base?.version == (given.base == 1 ? 1 : nil), "the answer carries both versions")
      #expect(try await fixture.store.stat(.path("/f.txt"), for: ada).version == 2)
      #expect(try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.count == sequence)
    case .copy:
      let copy = try await put()
      #expect(copy.version == 1 && copy.name == "f (conflicted copy laptop 2026-01-01 000000).txt")
      #expect(try await fixture.paths(of: ada).count == 2)
      let second = try await fixture.put("/f.txt", [Fixture.block(4)], as: ada, base: given.base, policy: .copy)
      #expect(second.name == "f (conflicted copy laptop 2026-01-01 000000 2).txt")
    }
    try await fixture.expectSound()
  }

  @Test("equal content is never a conflict, and its metadata merges", arguments: Engine.allCases)
  func equalContent(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let first = try await fixture.put("/f", [Fixture.block(1)], as: ada, modifiedAt: FileTime(nanoseconds: 5))
    let again = try await fixture.put("/f", [Fixture.block(1)], as: ada, base: 0, modifiedAt: FileTime(nanoseconds: 5))
    #expect(again == first)
    #expect(try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.count == 1, "nothing changed")
    let touched = try await fixture.put("/f", [Fixture.block(1)], as: ada, modifiedAt: FileTime(nanoseconds: 6))
    #expect(touched.version == 1 && touched.modifiedAt == FileTime(nanoseconds: 6))
  }

  @Test("an edit of what was deleted meanwhile: fail refuses, copy and overwrite keep the edit", arguments: Engine.allCases)
  func editAndDelete(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    for policy in [ConflictPolicy.fail, .copy, .overwrite] {
      try await fixture.put("/f", [Fixture.block(1)], as: ada)
      try await fixture.store.deleteEntry(
        .init(entry: .path("/f"), forever: false, recursive: false, ifVersion: nil), for: ada)
      if policy == .fail {
        let refusal = await problem { try await fixture.put("/f", [Fixture.block(2)], as: ada, base: 1, policy: policy) }
        #expect(refusal?.kind == .conflict)
      } else {
        #expect(try await fixture.put("/f", [Fixture.block(2)], as: ada, base: 1, policy: policy).path == "/f")
        try await fixture.store.deleteEntry(
          .init(entry: .path("/f"), forever: true, recursive: false, ifVersion: nil), for: ada)
      }
    }
    try await fixture.expectSound()
  }

  @Test("a folder is not replaced by a file; a copy goes beside it", arguments: Engine.allCases)
  func folderInTheWay(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    _ = try await fixture.folder("/f", as: ada)
    let refusal = await problem { try await fixture.put("/f", as: ada, policy: .overwrite) }
    #expect(refusal?.kind == .wrongKindOfEntry)
    #expect(try await fixture.put("/f", as: ada, policy: .copy).name.hasPrefix("f (conflicted copy"))
  }

  @Test("a base entry is meant with its version: another file at the path with the same version is a conflict", arguments: Engine.allCases)
  func baseEntry(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let first = try await fixture.put("/f", [Fixture.block(1)], as: ada)
    _ = try await fixture.store.updateEntry(
      .init(entry: .path("/f"), newPath: "/g", modifiedAt: nil, executable: nil, ifVersion: nil), for: ada)
    let other = try await fixture.put("/f", [Fixture.block(2)], as: ada)
    #expect(first.version == other.version)
    let refusal = await problem {
      try await fixture.put("/f", [Fixture.block(3)], as: ada, base: 1, entry: first.id, policy: .fail)
    }
    #expect(refusal?.kind == .conflict && refusal?.current?.id == other.id && refusal?.current?.version == 1)
    #expect(refusal?.base?.contentHash == first.contentHash, "the answer has the version that was meant")
    #expect(try await fixture.store.stat(.path("/f"), for: ada) == other)
    #expect(try await fixture.put("/f", [Fixture.block(2)], as: ada, base: 1, entry: first.id) == other, "equal content is no conflict")
    let copy = try await fixture.put("/f", [Fixture.block(3)], as: ada, base: 1, entry: first.id, policy: .copy)
    #expect(copy.id != other.id && copy.name.contains("conflicted copy"))
    let mine = try await fixture.put("/g", [Fixture.block(4)], as: ada, base: 1, entry: first.id, policy: .fail)
    #expect(mine.id == first.id && mine.version == 2)
    let old = await problem { try await fixture.put("/g", [Fixture.block(5)], as: ada, base: 1, entry: first.id, policy: .fail) }
    #expect(old?.kind == .conflict && old?.base?.version == 1 && old?.current?.version == 2)
    for base in [nil, 0] as [Int64?] {
      let malformed = await problem { try await fixture.put("/f", [Fixture.block(6)], as: ada, base: base, entry: first.id) }
      #expect(malformed?.kind == .malformed)
    }
    try await fixture.expectSound()
  }

  @Test("an edit brings back the deleted file that it was made from, and no other that was deleted there", arguments: Engine.allCases)
  func baseEntryDeleted(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let first = try await fixture.put("/f", [Fixture.block(1)], as: ada)
    try await fixture.store.deleteEntry(.init(entry: .path("/f"), forever: false, recursive: false, ifVersion: nil), for: ada)
    try await fixture.put("/f", [Fixture.block(2)], as: ada)
    try await fixture.store.deleteEntry(.init(entry: .path("/f"), forever: false, recursive: false, ifVersion: nil), for: ada)
    let back = try await fixture.put("/f", [Fixture.block(3)], as: ada, base: 1, entry: first.id, policy: .copy)
    #expect(back.id == first.id && back.version == 2)
    try await fixture.expectSound()
  }

  @Test("of many commits on one base exactly one wins", arguments: Engine.allCases)
  func race(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/f", [Fixture.block(0)], as: ada)
    for round in 1...5 as ClosedRange<Int64> {
      let wins = try await withThrowingTaskGroup(of: Bool.self) { group in
        for task in 0..<16 {
          group.addTask {
            do {
              try await fixture.put("/f", [Fixture.block(UInt64(round) * 100 + UInt64(task))], as: ada, base: round)
              return true
            } catch let error as MetadataError where error.problem?.kind == .conflict { return false }
          }
        }
        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
      }
      #expect(wins == 1)
      #expect(try await fixture.store.stat(.path("/f"), for: ada).version == round + 1)
    }
    try await fixture.expectSound()
  }

  @Test("a long name's conflicted copy is still a name", arguments: ["é", "x", "日"])
  func longNames(letter: String) async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    let name = String(repeating: letter, count: 251 / letter.utf8.count) + ".txt"
    try await fixture.put("/" + name, [Fixture.block(1)], as: ada)
    let copy = try await fixture.put("/" + name, [Fixture.block(2)], as: ada, policy: .copy)
    #expect(copy.name.utf8.count <= 255 && copy.name.hasSuffix(".txt") && copy.name.contains("(conflicted copy laptop"))
  }
}
