import BlockModel
import MetadataStore
import ServiceAPI
import Testing

@Suite("The tree")
struct TreeConformanceTests {
  @Test("a rename keeps the id and everything below", arguments: Engine.allCases)
  func rename(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let file = try await fixture.put("/a/b/f", as: ada)
    let folder = try await fixture.store.stat(.path("/a"), for: ada)
    let moved = try await fixture.store.updateEntry(
      .init(entry: .id(folder.id), newPath: "/z", modifiedAt: nil, executable: nil, ifVersion: nil), for: ada)
    #expect(moved.id == folder.id && moved.path == "/z")
    #expect(try await fixture.store.stat(.id(file.id), for: ada).path == "/z/b/f")
    #expect(try await fixture.paths(of: ada) == ["/z", "/z/b", "/z/b/f"])
    let last = try await fixture.store.changes(since: nil, limit: 100, for: ada).changes.last
    #expect(last?.action == .moved && last?.oldPath == "/a" && last?.entry.path == "/z")
    try await fixture.expectSound()
  }

  @Test("an entry is found at every depth that a path may have, and nothing is found below a file", arguments: Engine.allCases)
  func depths(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    var folder = ""
    for depth in 1...64 {
      let file = try await fixture.put("\(folder)/f", as: ada)
      let found = try await fixture.store.stat(.path("\(folder)/f"), for: ada)
      #expect(found.id == file.id && found.path == "\(folder)/f", "at depth \(depth)")
      for absent in ["\(folder)/g"] + (depth < 64 ? ["\(folder)/f/x"] : []) + (depth < 63 ? ["\(folder)/f/d/x"] : []) {
        #expect(await problem { _ = try await fixture.store.stat(.path(absent), for: ada) }?.kind == .notFound, "at depth \(depth)")
      }
      folder += "/d"
    }
    try await fixture.expectSound()
  }

  @Test(
    "a file has the media type that its uploader said, else its name's; others have none, wherever they are shown",
    arguments: Engine.allCases)
  func mediaTypes(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let file = try await fixture.put("/d/notes.txt", as: ada)
    #expect(file.mimeType == "text/plain; charset=utf-8")
    #expect(try await fixture.store.stat(.path("/d"), for: ada).mimeType == nil)
    let moved = try await fixture.store.updateEntry(
      .init(entry: .id(file.id), newPath: "/d/notes.pdf", modifiedAt: nil, executable: nil, ifVersion: nil), for: ada)
    #expect(moved.mimeType == "application/pdf")
    let state = try await fixture.store.openUpload(
      UploadRequest(path: "/d/said.pdf", size: 0, blocks: [], mimeType: "text/x-mine", modifiedAt: nil, parents: true), for: ada, once: nil)
    let said = try await fixture.store.completeUpload(Completion(upload: state.uploadID, receipts: []), for: ada)
    #expect(said.mimeType == "text/x-mine")
    #expect(try await fixture.entries(of: ada).map(\.mimeType) == [nil, "application/pdf", "text/x-mine"])
    let changes = try await fixture.store.changes(since: nil, limit: 100, for: ada).changes
    #expect(changes.filter { $0.entry.kind == .file }.map(\.entry.mimeType) == [file.mimeType, "application/pdf", "text/x-mine"])
  }

  struct Refusal: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var kind: Problem.Kind
    var run: @Sendable (Fixture, Principal) async throws -> Void
  }

  private static func move(_ from: String, _ to: String, ifVersion: Int64? = nil) -> @Sendable (Fixture, Principal) async throws -> Void {
    { fixture, ada in
      _ = try await fixture.store.updateEntry(
        .init(entry: .path(from), newPath: to, modifiedAt: nil, executable: nil, ifVersion: ifVersion), for: ada)
    }
  }

  private static func copy(_ from: String, _ to: String) -> @Sendable (Fixture, Principal) async throws -> Void {
    { fixture, ada in _ = try await fixture.store.copyEntry(.init(entry: .path(from), newPath: to), for: ada, once: nil) }
  }

  private static func delete(_ path: String, recursive: Bool = false, ifVersion: Int64? = nil)
    -> @Sendable (Fixture, Principal) async throws -> Void
  {
    { fixture, ada in
      try await fixture.store.deleteEntry(
        .init(entry: .path(path), forever: false, recursive: recursive, ifVersion: ifVersion), for: ada)
    }
  }

  private static func mkdir(_ path: String, parents: Bool = false) -> @Sendable (Fixture, Principal) async throws -> Void {
    { fixture, ada in
      _ = try await fixture.store.createFolder(.init(path: path, parents: parents, modifiedAt: nil), for: ada, once: nil)
    }
  }

  private static func open(_ path: String) -> @Sendable (Fixture, Principal) async throws -> Void {
    { fixture, ada in _ = try await fixture.store.openUpload(UploadRequest(path: path, blocks: []), for: ada, once: nil) }
  }

  /// In a tree with the folder /d/e, the file /d/f and the file /g.
  static let refusals: [Refusal] = [
    Refusal(testDescription: "a folder into itself", kind: .conflict, run: move("/d", "/d/e/x")),
    Refusal(testDescription: "onto an entry", kind: .alreadyExists, run: move("/g", "/d/f")),
    Refusal(testDescription: "into a folder that is not there", kind: .notFound, run: move("/g", "/no/g")),
    Refusal(testDescription: "into a file", kind: .wrongKindOfEntry, run: move("/d", "/g/d")),
    Refusal(testDescription: "nothing", kind: .notFound, run: move("/no", "/x")),
    Refusal(testDescription: "the root", kind: .forbidden, run: move("/", "/x")),
    Refusal(testDescription: "at another version", kind: .preconditionFailed, run: move("/g", "/x", ifVersion: 7)),
    Refusal(testDescription: "copying a folder into itself", kind: .conflict, run: copy("/d", "/d/x")),
    Refusal(testDescription: "copying onto an entry", kind: .alreadyExists, run: copy("/g", "/d")),
    Refusal(testDescription: "deleting a full folder", kind: .notEmpty, run: delete("/d")),
    Refusal(testDescription: "deleting the root", kind: .forbidden, run: delete("/", recursive: true)),
    Refusal(testDescription: "deleting another version", kind: .preconditionFailed, run: delete("/g", ifVersion: 2)),
    Refusal(testDescription: "a folder that is there", kind: .alreadyExists, run: mkdir("/d")),
    Refusal(testDescription: "a folder where a file is", kind: .alreadyExists, run: mkdir("/g", parents: true)),
    Refusal(testDescription: "a folder below a file", kind: .wrongKindOfEntry, run: mkdir("/g/x", parents: true)),
    Refusal(testDescription: "a folder without parents", kind: .notFound, run: mkdir("/x/y")),
    Refusal(testDescription: "a relative path", kind: .invalidName, run: mkdir("x")),
    Refusal(testDescription: "dots", kind: .invalidName, run: mkdir("/d/../x")),
    Refusal(testDescription: "an empty component", kind: .invalidName, run: mkdir("/d//x")),
    Refusal(testDescription: "a control character", kind: .invalidName, run: mkdir("/d/\u{7}")),
    Refusal(testDescription: "a name of 256 bytes", kind: .invalidName, run: mkdir("/" + String(repeating: "n", count: 256))),
    Refusal(testDescription: "65 components", kind: .invalidName, run: mkdir(String(repeating: "/n", count: 65), parents: true)),
    Refusal(testDescription: "an upload onto the root", kind: .wrongKindOfEntry, run: open("/")),
    Refusal(testDescription: "an upload onto a folder", kind: .wrongKindOfEntry, run: open("/d")),
    Refusal(testDescription: "an upload without its folder", kind: .notFound, run: open("/no/f")),
    Refusal(testDescription: "an upload below a file", kind: .wrongKindOfEntry, run: open("/g/f")),
  ]

  @Test("what cannot be is refused with its reason and changes nothing", arguments: refusals)
  func refused(given: Refusal) async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    _ = try await fixture.folder("/d/e", as: ada)
    try await fixture.put("/d/f", as: ada)
    try await fixture.put("/g", as: ada)
    let before = try await fixture.entries(of: ada)
    let refusal = await problem { try await given.run(fixture, ada) }
    #expect(refusal?.kind == given.kind)
    #expect(try await fixture.entries(of: ada) == before)
    try await fixture.expectSound()
  }

  @Test("names are unique by their NFC bytes; case is another name", arguments: Engine.allCases)
  func names(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let composed = try await fixture.folder("/caf\u{e9}", as: ada)
    #expect(try await fixture.folder("/cafe\u{301}", as: ada).id == composed.id)
    _ = try await fixture.folder("/Caf\u{e9}", as: ada)
    #expect(try await fixture.paths(of: ada).count == 2)
  }

  @Test("moving deep folders deeper than paths can say is refused", arguments: Engine.allCases)
  func depth(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    _ = try await fixture.folder(String(repeating: "/a", count: 40), as: ada)
    _ = try await fixture.folder(String(repeating: "/b", count: 30), as: ada)
    let refusal = await problem {
      try await fixture.store.updateEntry(
        .init(
          entry: .path("/a"), newPath: String(repeating: "/b", count: 30) + "/a", modifiedAt: nil, executable: nil, ifVersion: nil),
        for: ada)
    }
    #expect(refusal?.kind == .invalidName)
  }

  @Test("lists page without a gap or a repeat, whatever the page's size", arguments: [1, 2, 7, 1000])
  func paging(size: Int) async throws {
    let fixture = try await Fixture()
    let ada = try await fixture.user()
    for folder in ["/a", "/a/b", "/a-b", "/a/b/c", "/z"] { _ = try await fixture.folder(folder, as: ada) }
    for number in 0..<9 { _ = try await fixture.folder("/a/b/\(number)", as: ada) }
    try await fixture.put("/a/b/c/f", as: ada)
    let all = try await fixture.entries(of: ada, pageSize: size)
    #expect(all == all.sorted { (try? RemotePath($0.path)) ?? .root < (try? RemotePath($1.path)) ?? .root })
    #expect(all.count == 15 && Set(all.map(\.path)).count == 15)
    var names: [String] = []
    var cursor: String?
    repeat {
      let page = try await fixture.store.list(.path("/a/b"), recursive: false, limit: size, cursor: cursor, for: ada)
      names += page.items.map(\.name)
      cursor = page.next
    } while cursor != nil
    #expect(names == (0..<9).map(String.init) + ["c"])
    let refusal = await problem {
      try await fixture.store.list(.path("/"), recursive: true, limit: 1, cursor: "%%", for: ada)
    }
    #expect(refusal?.kind == .invalidCursor)
  }

  @Test("a copy refers to the same blocks: no bytes are used and the original can go", arguments: Engine.allCases)
  func copies(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    try await fixture.put("/d/big", Fixture.blocks(Array(1...7)), as: ada)
    try await fixture.put("/d/small", as: ada)
    _ = try await fixture.store.createSymlink(
      .init(path: "/d/link", target: "big", parents: false, modifiedAt: nil), for: ada, once: nil)
    let used = try await fixture.store.usage(of: ada)
    let copy = try await fixture.store.copyEntry(.init(entry: .path("/d"), newPath: "/e"), for: ada, once: nil)
    #expect(copy.path == "/e")
    #expect(try await fixture.paths(of: ada, below: "/e") == ["/e/big", "/e/link", "/e/small"])
    let after = try await fixture.store.usage(of: ada)
    #expect(after.used == used.used && after.files == 4)
    try await fixture.expectSound()
    try await fixture.store.deleteEntry(.init(entry: .path("/d"), forever: true, recursive: true, ifVersion: nil), for: ada)
    #expect(try await fixture.store.usage(of: ada).used == used.used)
    let plan = try await fixture.store.downloadPlan(.path("/e/big"), version: nil, cursor: nil, limit: 100, for: ada)
    #expect(plan.blocks.count == 7)
    try await fixture.expectSound()
  }

  @Test("deleting forever frees what nothing else refers to; the trash keeps it", arguments: Engine.allCases)
  func deletion(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    let blocks = Fixture.blocks(Array(1...6))
    let file = try await fixture.put("/f", blocks, as: ada)
    try await fixture.put("/f", Fixture.blocks(Array(2...6) + [9]), as: ada, policy: .overwrite)
    let used = try await fixture.store.usage(of: ada).used
    try await fixture.store.deleteEntry(.init(entry: .path("/f"), forever: false, recursive: false, ifVersion: nil), for: ada)
    #expect(try await fixture.store.usage(of: ada).used == used)
    #expect(await problem { try await fixture.store.stat(.id(file.id), for: ada) }?.kind == .notFound)
    try await fixture.put("/f", Fixture.blocks(Array(1...6)), as: ada)
    try await fixture.store.deleteEntry(.init(entry: .path("/f"), forever: true, recursive: false, ifVersion: nil), for: ada)
    try await fixture.expectSound()
    let uses = try await fixture.store.uses(of: blocks[0].id, limit: 10)
    #expect(uses.uses.map(\.path) == ["(in the trash)"] && uses.size == Limits.blockBytes)
  }

  @Test("a large deletion goes on in the background until all of it is gone", arguments: Engine.allCases)
  func purging(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    for folder in 0..<40 {
      let requests = (0..<25).map { UploadRequest(path: "/top/\(folder)/sub/\($0)", blocks: [Fixture.block(UInt64($0))], parents: true) }
      let states = try await fixture.store.openUploads(requests, for: ada, once: nil).compactMap(\.value)
      let completions = states.map { state in
        Completion(
          upload: state.uploadID,
          receipts: state.missing.flatMap { Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size)) })
      }
      #expect(try await fixture.store.completeUploads(completions, for: ada).allSatisfy { $0.value != nil })
    }
    try await fixture.store.deleteEntry(.init(entry: .path("/top"), forever: true, recursive: true, ifVersion: nil), for: ada)
    #expect(try await fixture.paths(of: ada).isEmpty)
    try await fixture.expectSound()
    var rounds = 0
    while try await fixture.store.expire() > 0 { rounds += 1 }
    #expect(rounds > 0)
    let usage = try await fixture.store.usage(of: ada)
    #expect(usage.used == 0 && usage.files == 0)
    #expect(try await fixture.store.referencedBlockCounts().allSatisfy { $0 == 0 })
    try await fixture.expectSound()
  }

  @Test("a long version's plan pages, and its blocks are shared with the next version", arguments: Engine.allCases)
  func longVersions(engine: Engine) async throws {
    let fixture = try await Fixture(engine)
    let ada = try await fixture.user()
    var numbers = Array(UInt64(1)...2500)
    let file = try await putLong("/big", numbers, fixture, ada, policy: nil)
    numbers[1300] = 99_999
    #expect(try await putLong("/big", numbers, fixture, ada, policy: .overwrite).version == 2)
    for (version, expected) in [(Int64(1), UInt64(1301)), (2, 99_999)] {
      var blocks: [DownloadPlan.Block] = []
      var cursor: String?
      repeat {
        let plan = try await fixture.store.downloadPlan(.id(file.id), version: version, cursor: cursor, limit: 700, for: ada)
        blocks += plan.blocks
        cursor = plan.next
      } while cursor != nil
      #expect(blocks.count == 2500 && blocks[1300].id == Fixture.block(expected, size: Limits.blockBytes).id)
      #expect(zip(blocks, blocks.dropFirst()).allSatisfy { $0.offset + Int64($0.size) == $1.offset })
    }
    #expect(try await fixture.store.usage(of: ada).used == Int64(2500 * Limits.blockBytes + 1000))
    try await fixture.expectSound()
  }

  private func putLong(
    _ path: String, _ numbers: [UInt64], _ fixture: Fixture, _ ada: Principal, policy: ConflictPolicy?
  ) async throws -> FileEntry {
    let blocks = Fixture.blocks(numbers)
    let state = try await fixture.store.openUpload(UploadRequest(path: path, onConflict: policy), for: ada, once: nil)
    // The last run first: runs come in any order.
    for start in stride(from: 0, to: blocks.count, by: 1000).reversed() {
      let run = Array(blocks[start..<min(start + 1000, blocks.count)])
      for _ in 0..<2 {
        let answer = try await fixture.store.addBlocks(BlocksRequest(start: start, blocks: run), to: state.uploadID, for: ada)
        #expect(answer.missing.allSatisfy { blocks[$0.index].id == $0.id && $0.index >= start && $0.index < start + 1000 })
      }
    }
    var lacking: [MissingBlock] = []
    var cursor: String?
    repeat {
      let page = try await fixture.store.uploadState(state.uploadID, cursor: cursor, for: ada)
      lacking += page.missing
      cursor = page.next
    } while cursor != nil
    #expect(lacking.map(\.index) == lacking.map(\.index).sorted())
    for start in stride(from: 0, to: lacking.count, by: 500) {
      let receipts = lacking[start..<min(start + 500, lacking.count)].flatMap {
        Fixture.receipts(state.uploadID, BlockRef(id: $0.id, size: $0.size))
      }
      try await fixture.store.addReceipts(receipts, to: state.uploadID, for: ada)
    }
    return try await fixture.store.completeUpload(Completion(upload: state.uploadID), for: ada)
  }
}
