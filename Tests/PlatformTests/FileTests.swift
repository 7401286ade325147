internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("Files")
struct FileTests {
  private let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test("random writes and reads of pieces agree with the same on an array")
  func model() throws {
    var random = Seeds.random()
    let file = try File(folder.path("model"), [.read, .write, .create])
    var model: [UInt8] = []
    for _ in 0..<300 {
      let offset = Int.random(in: 0...60_000, using: &random)
      let pieces = (0..<Int.random(in: 1...5, using: &random)).map { _ in random.bytes(Int.random(in: 0...3000, using: &random)) }
      let bytes = Array(pieces.joined())
      if Bool.random(using: &random) {
        try Pieces.write(pieces, to: file, at: Int64(offset))
      } else {
        try bytes.withUnsafeBytes { try file.pwrite($0, at: Int64(offset)) }
      }
      if !bytes.isEmpty {
        model += Array(repeating: 0, count: max(0, offset + bytes.count - model.count))
        model.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
      }
      let start = Int.random(in: 0...70_000, using: &random)
      let sizes = (0..<Int.random(in: 1...4, using: &random)).map { _ in Int.random(in: 0...4000, using: &random) }
      let expected = Array(model.dropFirst(start).prefix(sizes.reduce(0, +)))
      #expect(try Pieces.read(sizes, from: file, at: Int64(start)) == expected)
    }
    #expect(try file.size() == Int64(model.count))
  }

  @Test("more pieces than the system takes at once are written and read whole")
  func manyPieces() throws {
    let file = try File(folder.path("many"), [.read, .write, .create])
    let pieces = (0..<3000).map { [UInt8](repeating: UInt8($0 & 0xff), count: $0 % 3) }
    try Pieces.write(pieces, to: file, at: 10)
    #expect(try Pieces.read(pieces.map(\.count), from: file, at: 10) == Array(pieces.joined()))
  }

  @Test("a full read of a file that ends before says where it ends")
  func shortRead() throws {
    let file = try File(folder.path("short"), [.read, .write, .create])
    try [UInt8](repeating: 1, count: 10).withUnsafeBytes { try file.pwrite($0, at: 0) }
    var buffer = [UInt8](repeating: 0, count: 20)
    let error = #expect(throws: FileError.self) { try buffer.withUnsafeMutableBytes { try file.preadFully(into: $0, at: 0) } }
    #expect(error?.description.contains("ends at 10") == true)
  }

  @Test("an exclusive lock holds against every other open file until its file closes")
  func lock() throws {
    let path = folder.path("lock")
    var first: File? = try File(path, [.read, .write, .create])
    let second = try File(path, [.read, .write])
    #expect(try first?.lockExclusive() == true)
    #expect(try first?.lockExclusive() == true)
    #expect(try second.lockExclusive() == false)
    first = nil
    #expect(try second.lockExclusive() == true)
  }

  @Test("allocating grows the file unless it shall not, and keeps what is there")
  func allocate() throws {
    let file = try File(folder.path("space"), [.read, .write, .create])
    try [7].withUnsafeBytes { try file.pwrite(UnsafeRawBufferPointer(rebasing: $0[..<1]), at: 0) }
    try file.allocate(offset: 0, length: 1 << 20, keepSize: true)
    #expect(try file.size() == 1)
    try file.allocate(offset: 0, length: 1 << 20)
    #expect(try file.size() == 1 << 20)
    #expect(try Pieces.read([2], from: file, at: 0) == [7, 0])
    let attributes = try #require(try Directory.attributes(folder.path("space")))
    #expect(attributes.allocated >= 1 << 20 && attributes.size == 1 << 20)
  }

  @Test("a punched hole gives its space back and reads as zeros; what is beside it stays")
  func punch() throws {
    let file = try File(folder.path("hole"), [.read, .write, .create])
    try [UInt8](repeating: 9, count: 1 << 20).withUnsafeBytes { try file.pwrite($0, at: 0) }
    try file.fsync()
    try file.punchHole(offset: 4096, length: (1 << 20) - 8192)
    #expect(try file.size() == 1 << 20)
    #expect(try Pieces.read([1 << 20], from: file, at: 0).filter { $0 == 9 }.count == 8192)
    #expect(try #require(try Directory.attributes(folder.path("hole"))).allocated < 1 << 20)
  }

  @Test("direct reads past the page cache give what was written and synced")
  func direct() throws {
    let path = folder.path("direct")
    let file = try File(path, [.read, .write, .create])
    var random = Seeds.random()
    let bytes = random.bytes(16 << 10)
    try bytes.withUnsafeBytes { try file.pwrite($0, at: 0) }
    try file.fdatasync()
    let reader: File
    do { reader = try File(path, [.read, .direct]) } catch {
      // A file system without direct access, such as an older tmpfs, says so with EINVAL.
      #expect(error.description.contains("Invalid argument"))
      return
    }
    let buffer = IOBuffer(capacity: 16 << 10)
    #expect(try reader.pread(into: buffer.mutableBytes(0..<(16 << 10)), at: 0) == 16 << 10)
    #expect(Array(buffer.bytes(0..<(16 << 10))) == bytes)
  }

  @Test(
    "the time of the last change is set to the nanosecond, before 1970 as well",
    arguments: [0, 1_700_000_000_123_456_789, -1, -1_500_000_000])
  func modified(nanoseconds: Int64) throws {
    let path = folder.path("time")
    try File(path, [.write, .create]).setModified(nanoseconds: nanoseconds)
    #expect(try Directory.attributes(path)?.modifiedNanoseconds == nanoseconds)
  }

  @Test("errors name the call, the path and the system's reason")
  func errors() throws {
    let missing = #expect(throws: FileError.self) { try File(folder.path("missing"), .read) }
    #expect(missing?.isNotFound == true)
    #expect(missing?.description == "open of \(folder.path("missing")) failed: No such file or directory.")
    _ = try File(folder.path("there"), [.write, .create])
    let present = #expect(throws: FileError.self) { try File(folder.path("there"), [.write, .create, .exclusive]) }
    #expect(present?.alreadyExists == true)
  }
}

/// Arrays in place of raw memory.
enum Pieces {
  static func write(_ pieces: [[UInt8]], to file: any OpenFile, at offset: Int64) throws {
    let buffers = pieces.map { piece in
      let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.count, alignment: 1)
      buffer.copyBytes(from: piece)
      return buffer
    }
    defer { for buffer in buffers { buffer.deallocate() } }
    try file.pwritev(buffers.map { UnsafeRawBufferPointer($0) }, at: offset)
  }

  static func read(_ sizes: [Int], from file: any OpenFile, at offset: Int64) throws -> [UInt8] {
    let buffers = sizes.map { UnsafeMutableRawBufferPointer.allocate(byteCount: $0, alignment: 1) }
    defer { for buffer in buffers { buffer.deallocate() } }
    let count = try file.preadv(into: buffers, at: offset)
    return Array(buffers.map { Array($0) }.joined().prefix(count))
  }
}
