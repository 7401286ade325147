internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("Folders and atomic files")
struct DirectoryTests {
  private let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test("making a folder makes those above it, and again changes nothing")
  func create() throws {
    for _ in 0..<2 { try Directory.create(folder.path("a/b/c/")) }
    #expect(try Directory.attributes(folder.path("a/b/c"))?.kind == .directory)
    _ = try File(folder.path("file"), [.write, .create])
    #expect(throws: FileError.self) { try Directory.create(folder.path("file")) }
    #expect(throws: FileError.self) { try Directory.create(folder.path("file/below")) }
  }

  @Test("names are listed in the order of their bytes")
  func list() throws {
    for name in ["b", "a", "B", "ä", ".hidden", "a b"] { _ = try File(folder.path(name), [.write, .create]) }
    #expect(try Directory.list(folder.path) == [".hidden", "B", "a", "a b", "b", "ä"])
    let error = #expect(throws: FileError.self) { try Directory.list(folder.path("missing")) }
    #expect(error?.isNotFound == true)
  }

  @Test("a durable rename replaces what was there, within and between folders")
  func rename() throws {
    try Directory.create(folder.path("other"))
    try AtomicFile.write(folder.path("a"), [1])
    try AtomicFile.write(folder.path("other/b"), [2])
    try Directory.renameDurably(folder.path("a"), to: folder.path("other/b"))
    #expect(try AtomicFile.read(folder.path("other/b"), limit: 10) == [1])
    #expect(try Directory.attributes(folder.path("a")) == nil)
  }

  @Test("removing a tree does not follow links out of it")
  func removeTree() throws {
    try Directory.create(folder.path("tree/deep/er"))
    try AtomicFile.write(folder.path("kept"), [1])
    try AtomicFile.write(folder.path("tree/deep/file"), [1])
    try Directory.makeSymbolicLink(at: folder.path("tree/link"), to: folder.path)
    try Directory.removeTree(folder.path("tree"))
    #expect(try Directory.list(folder.path) == ["kept"])
    try Directory.removeTree(folder.path("tree"))
  }

  @Test("a symbolic link is seen as itself and says where it leads")
  func links() throws {
    try Directory.makeSymbolicLink(at: folder.path("link"), to: "no/where")
    #expect(try Directory.attributes(folder.path("link"))?.kind == .symbolicLink)
    #expect(try Directory.readSymbolicLink(folder.path("link")) == "no/where")
    let long = String(repeating: "x/", count: 1500)
    try Directory.makeSymbolicLink(at: folder.path("long"), to: long)
    #expect(try Directory.readSymbolicLink(folder.path("long")) == long)
  }

  @Test(
    "the folder above a path",
    arguments: [
      ("/a/b", "/a"), ("/a", "/"), ("/", "/"), ("a", "."), ("a/b", "a"), ("a/b/", "a"), ("a//b", "a"), ("//a", "/"), ("", "."),
      ("/ä/ö", "/ä"),
    ])
  func parent(path: String, parent: String) {
    #expect(Directory.parent(of: path) == parent)
  }

  @Test("space is what the file system says: free at least what is available, at most the total")
  func space() throws {
    let space = try Directory.space(folder.path)
    #expect(space.total > 0 && space.available > 0)
    #expect(space.available <= space.free && space.free <= space.total)
  }

  @Test("an atomic write leaves the new contents, the mode, and nothing else")
  func atomicWrite() throws {
    let path = folder.path("file")
    for contents: [UInt8] in [[], [1], Array(repeating: 7, count: 100_000)] {
      try AtomicFile.write(path, contents, mode: 0o600)
      #expect(try AtomicFile.read(path, limit: 100_000) == contents)
    }
    #expect(try Directory.attributes(path)?.mode == 0o600)
    #expect(try Directory.list(folder.path) == ["file"])
  }

  @Test("an atomic write that fails leaves the old file and nothing else")
  func failedWrite() throws {
    try Directory.create(folder.path("target/full"))
    #expect(throws: FileError.self) { try AtomicFile.write(folder.path("target"), [1]) }
    #expect(try Directory.list(folder.path) == ["target"])
  }

  @Test("reading a whole file stops at the limit, and a missing one is nil")
  func limit() throws {
    try AtomicFile.write(folder.path("file"), Array(repeating: 1, count: 11))
    #expect(throws: FileError.self) { try AtomicFile.read(folder.path("file"), limit: 10) }
    #expect(try AtomicFile.read(folder.path("missing"), limit: 10) == nil)
    #expect(try AtomicFile.read("/proc/self/stat", limit: 4096)?.isEmpty == false)
    #expect(throws: FileError.self) { try AtomicFile.read("/proc/self/stat", limit: 10) }
  }

  @Test("unique folders differ and are closed to others")
  func unique() throws {
    let paths = try (0..<10).map { _ in try Directory.makeUnique(in: folder.path, prefix: "x") }
    #expect(Set(paths).count == 10)
    #expect(try paths.allSatisfy { try Directory.attributes($0)?.mode == 0o700 })
  }

  @Test("the machine's disks do through the protocol what they do without it")
  func fileSystem() throws {
    let disk: any FileSystem = LinuxFileSystem()
    try disk.createDirectory(folder.path("d"))
    let file = try disk.open(folder.path("d/f"), [.read, .write, .create, .exclusive])
    try Pieces.write([[1, 2], [3]], to: file, at: 1)
    try file.fdatasync()
    try file.truncate(to: 3)
    try disk.rename(folder.path("d/f"), to: folder.path("d/g"))
    try disk.syncDirectory(folder.path("d"))
    #expect(try disk.list(folder.path("d")) == ["g"])
    #expect(try disk.attributes(folder.path("d/g"))?.size == 3)
    try disk.remove(folder.path("d/g"))
    #expect(try disk.attributes(folder.path("d/g")) == nil)
    #expect(try Pieces.read([9], from: file, at: 0) == [0, 1, 2])
    #expect(try disk.space(folder.path).total > 0)
  }
}
