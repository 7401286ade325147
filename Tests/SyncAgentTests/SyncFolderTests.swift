import BlockModel
import ClusterLogic
import Glibc
import Platform
import SyncAgent
import Synchronization
import TestSupport
import Testing

/// What both kinds of folder promise; the simulated one is only worth something when it behaves as a real one does.
@Suite("A local folder overwrites and removes nothing that was not seen")
struct SyncFolderTests {
  enum Kind: CaseIterable { case linux, simulated }

  /// A folder, and the user's hand in it.
  private struct Fixture {
    let folder: any SyncFolder
    let write: (String, String) throws -> Void
    let read: (String) -> String?
    let keep: Any

    init(_ kind: Kind) throws {
      switch kind {
      case .linux:
        let temporary = try TemporaryFolder()
        folder = LinuxSyncFolder(root: temporary.path)
        write = { path, text in try SyncFolderTests.write(temporary.path(path), text) }
        read = { path in
          (try? AtomicFile.read(temporary.path(path), limit: 1000)).flatMap { $0 }.map { String(decoding: $0, as: UTF8.self) }
        }
        keep = temporary
      case .simulated:
        let machine = SimulatedMachine(seed: 1, time: ManualTime(), people: People())
        folder = SimulatedFolder(machine: machine)
        write = { path, text in
          let now = machine.time.wall().microseconds * 1000
          machine.state.withLock { $0.disk.write(path, text, now: now, anew: false) }
        }
        read = { path in machine.state.withLock { $0.disk.content(path) } }
        keep = machine
      }
    }
  }

  private static func write(_ path: String, _ text: String) throws {
    let file = try File(path, [.write, .create, .truncate], mode: 0o644)
    try Array(text.utf8).withUnsafeBytes { try file.pwrite($0, at: 0) }
  }

  private func isStale(_ body: () throws(SyncError) -> Void) -> Bool {
    do throws(SyncError) {
      try body()
      return false
    } catch { return error.code == .stale }
  }

  @Test("a download takes the place of just what was there", arguments: Kind.allCases)
  func places(kind: Kind) throws {
    let fixture = try Fixture(kind)
    let folder = fixture.folder
    try fixture.write("a", "old")
    try fixture.write("part", "new")
    let seen = try folder.item("a")
    #expect(isStale { () throws(SyncError) in try folder.place("part", at: "a", expecting: nil) })
    try fixture.write("a", "edited by somebody")
    #expect(isStale { () throws(SyncError) in try folder.place("part", at: "a", expecting: seen) })
    #expect(fixture.read("a") == "edited by somebody")
    #expect(fixture.read("part") == "new")
    try folder.place("part", at: "a", expecting: try folder.item("a"))
    #expect(fixture.read("a") == "new")
    #expect(try folder.item("part") == nil)
    try fixture.write("part", "third")
    try folder.place("part", at: "b", expecting: nil)
    #expect(try folder.list("").map(\.name).sorted() == ["a", "b"])
  }

  @Test("only what was seen is removed, and no folder that is not empty", arguments: Kind.allCases)
  func removes(kind: Kind) throws {
    let fixture = try Fixture(kind)
    let folder = fixture.folder
    try folder.makeFolder("f")
    try fixture.write("f/a", "old")
    #expect(try folder.list("f").map(\.name) == ["a"])
    #expect(isStale { () throws(SyncError) in _ = try folder.list("f/a") })
    let seen = try #require(try folder.item("f/a"))
    let parent = try #require(try folder.item("f"))
    #expect(isStale { () throws(SyncError) in try folder.remove("f", expecting: parent) })
    try fixture.write("f/a", "edited")
    #expect(isStale { () throws(SyncError) in try folder.remove("f/a", expecting: seen) })
    #expect(fixture.read("f/a") == "edited")
    try folder.remove("f/a", expecting: try #require(try folder.item("f/a")))
    try folder.remove("f", expecting: try #require(try folder.item("f")))
    #expect(try folder.list("").isEmpty)
  }

  @Test("nothing moves onto something else, and renaming keeps inode, size and time", arguments: Kind.allCases)
  func moves(kind: Kind) throws {
    let fixture = try Fixture(kind)
    let folder = fixture.folder
    try fixture.write("a", "one")
    try fixture.write("b", "two")
    #expect(isStale { () throws(SyncError) in try folder.move("a", to: "b") })
    #expect(isStale { () throws(SyncError) in try folder.move("a", to: "missing/b") })
    let before = try #require(try folder.item("a")?.identity)
    try folder.move("a", to: "c")
    let after = try #require(try folder.item("c")?.identity)
    #expect(before.inode == after.inode && before.size == after.size && before.modified == after.modified)
    #expect(fixture.read("b") == "two")
  }

  @Test("a file is hashed only when it is what it was", arguments: Kind.allCases)
  func hashes(kind: Kind) throws {
    let fixture = try Fixture(kind)
    let folder = fixture.folder
    try fixture.write("a", "abc")
    let identity = try #require(try folder.item("a")?.identity)
    _ = try folder.contentHash("a", expecting: identity)
    try fixture.write("a", "abcd")
    #expect(isStale { () throws(SyncError) in _ = try folder.contentHash("a", expecting: identity) })
  }

  @Test("a folder is listed in the order of names, links as links, and what has no name that can be synced is told apart")
  func listing() throws {
    let temporary = try TemporaryFolder()
    let folder = LinuxSyncFolder(root: temporary.path)
    try folder.makeFolder("é")
    try folder.makeFolder("B")
    try Self.write(temporary.path("B/a"), "one")
    try folder.makeSymlink("link", target: "B")
    #expect(mkfifo(temporary.path("pipe"), 0o600) == 0)
    #expect(open(temporary.path + "/\u{2}x", O_CREAT | O_WRONLY, 0o600) >= 0)
    var misnamed = Array(temporary.path("bad").utf8CString)
    misnamed[misnamed.count - 2] = -1
    #expect(open(misnamed, O_CREAT | O_WRONLY, 0o600) >= 0)
    let items = try folder.list("")
    #expect(items.map(\.name) == ["\u{2}x", "B", "ba\u{fffd}", "link", "pipe", "é"])
    #expect(items.map(\.kind) == [.file, .folder, .misnamed, .symlink, .special, .folder])
    #expect(items.first { $0.kind == .symlink }?.target == "B")
    #expect(try folder.list("B") == [try #require(try folder.item("B/a"))])
    #expect(isStale { () throws(SyncError) in _ = try folder.list("link") })
    #expect(isStale { () throws(SyncError) in _ = try folder.list("missing") })
    #expect(isStale { () throws(SyncError) in _ = try folder.list("B/a") })
  }

  @Test("a folder tells whether a program has a file open for writing")
  func writers() throws {
    let temporary = try TemporaryFolder()
    let folder = LinuxSyncFolder(root: temporary.path)
    try Self.write(temporary.path("a"), "one")
    #expect(try folder.hasWriter("a") == false)
    let reader = try File(temporary.path("a"), .read)
    #expect(try folder.hasWriter("a") == false)
    do {
      let writer = try File(temporary.path("a"), [.write])
      #expect(try folder.hasWriter("a") == true)
      withExtendedLifetime(writer) {}
    }
    #expect(try folder.hasWriter("a") == false)
    withExtendedLifetime(reader) {}
    #expect(isStale { () throws(SyncError) in _ = try folder.hasWriter("b") })
  }

  @Test("attributes are set on what was seen, links are not followed", arguments: Kind.allCases)
  func attributes(kind: Kind) throws {
    let fixture = try Fixture(kind)
    let folder = fixture.folder
    try fixture.write("a", "x")
    try folder.setAttributes("a", executable: true, modified: 1_234_567_890_123, expecting: try #require(try folder.item("a")))
    let item = try #require(try folder.item("a"))
    #expect(item.executable && item.identity.modified == 1_234_567_890_123)
    try folder.makeSymlink("l", target: "a")
    #expect(try folder.item("l")?.target == "a")
    #expect(try folder.item("l")?.kind == .symlink)
  }

  @Test("the content hash of a real file is the published one")
  func publishedHash() throws {
    let fixture = try Fixture(.linux)
    try fixture.write("a", "abc")
    let identity = try #require(try fixture.folder.item("a")?.identity)
    #expect(
      try fixture.folder.contentHash("a", expecting: identity) == "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358")
  }

  @Test(
    "a large file has the content hash of its pieces in their order, however many threads hash them",
    arguments: [0, 1, Limits.blockBytes, 9 * Limits.blockBytes, 9 * Limits.blockBytes + 5])
  func largeContents(size: Int) throws {
    let temporary = try TemporaryFolder()
    let folder = LinuxSyncFolder(root: temporary.path)
    var random = Seeds.random()
    let bytes = random.bytes(size)
    try AtomicFile.write(temporary.path("a"), bytes, mode: 0o644)
    var hashes: [UInt8] = []
    for start in stride(from: 0, to: size, by: Limits.blockBytes) {
      hashes += SHA256Hasher.hash(Array(bytes[start..<min(start + Limits.blockBytes, size)]))
    }
    var identity = try #require(try folder.item("a")).identity
    #expect(try folder.contentHash("a", expecting: identity).text == HexDigits.encode(SHA256Hasher.hash(hashes)))
    identity.size += 1
    #expect(isStale { () throws(SyncError) in _ = try folder.contentHash("a", expecting: identity) })
  }

  @Test("a watch hints at what changed in the folders that it was given")
  func watches() async throws {
    let temporary = try TemporaryFolder()
    try Directory.create(temporary.path("sub"))
    let (hints, continuation) = AsyncStream.makeStream(of: FolderWatch.Hint.self, bufferingPolicy: .bufferingNewest(100))
    let watch = try FolderWatch(root: temporary.path) { for hint in $0 { continuation.yield(hint) } }
    #expect(watch.update(["", "sub"]).sorted() == ["", "sub"])
    #expect(watch.update(["", "sub"]).isEmpty)
    try AtomicFile.write(temporary.path("sub/a"), [1])
    var hasSeen = false
    for await hint in hints where hint == .closed("sub/a") {
      hasSeen = true
      break
    }
    #expect(hasSeen)
    watch.stop()
  }
}

@Suite("Hashed pieces")
struct HashedPiecesTests {
  private func identity(_ inode: UInt64) -> LocalIdentity { LocalIdentity(inode: inode, size: 1, modified: 1, changed: 1) }
  private let piece = BlockID(words: (1, 2, 3, 4))

  @Test("those of a large file are given until they are forgotten, and only for the state that they are of")
  func kept() {
    let pieces = HashedPieces()
    pieces.keep([piece, piece], of: identity(1))
    pieces.keep([piece], of: identity(2))
    #expect(pieces.of(identity(1)) == [piece, piece])
    #expect(pieces.of(identity(2)) == nil)
    var later = identity(1)
    later.changed = 2
    #expect(pieces.of(later) == nil)
    pieces.forget(identity(1))
    #expect(pieces.of(identity(1)) == nil)
  }

  @Test("the oldest go when there are too many")
  func bounded() {
    let pieces = HashedPieces()
    let many = [BlockID](repeating: piece, count: 8000)
    for inode in 1...3 { pieces.keep(many, of: identity(UInt64(inode))) }
    #expect(pieces.of(identity(1)) == nil)
    #expect(pieces.of(identity(2)) != nil && pieces.of(identity(3)) != nil)
    pieces.keep([piece, piece], of: identity(3))
    #expect(pieces.of(identity(2)) != nil && pieces.of(identity(3))?.count == 2)
  }
}
