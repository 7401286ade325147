internal import BlockModel
internal import Glibc
internal import Platform

/// A file that lines are added to, for going on after this process was killed.
///
/// Each line ends with its CRC-32C; reading stops at the first line that is torn or damaged, and the next line takes its place.
/// Nothing is synced: a killed process loses nothing that was written, and after a loss of power everything read from here is checked
/// against hashes anyway.
final class Journal: Sendable {
  /// Bytes of a journal that are read back at most; 50 GB of blocks with their receipts take a third of it.
  private static let readLimit = 64 << 20

  let path: String
  private let file: File

  /// Opens or makes the journal and reads what is there. Blocks.
  ///
  /// - Returns: nil when another process has it: two transfers of one thing must not share a journal.
  static func open(_ path: String) throws(FileError) -> (journal: Journal, lines: [String])? {
    try Directory.create(Directory.parent(of: path))
    let file = try File(path, [.read, .write, .create, .append, .noFollow])
    guard try file.lockExclusive() else { return nil }
    let (lines, length) = try read(file)
    if try file.size() != length { try file.truncate(to: length) }
    return (Journal(path: path, file: file), lines)
  }

  private init(path: String, file: File) {
    self.path = path
    self.file = file
  }

  /// Adds lines, all with one write. Blocks for as long as the page cache takes.
  func append(_ lines: [String]) throws(FileError) {
    guard !lines.isEmpty else { return }
    var bytes: [UInt8] = []
    for line in lines { bytes += Self.sealed(line) }
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(FileError) in
        try file.withDescriptor { descriptor throws(FileError) in
          let written = write(descriptor, bytes.baseAddress, bytes.count)
          guard written == bytes.count else { throw FileError(operation: "write", path: path, errno: written < 0 ? errno : ENOSPC) }
        }
      }
    }
    try result.get()
  }

  /// Empties it.
  func reset() throws(FileError) { try file.truncate(to: 0) }

  /// The transfer is done.
  func remove() throws(FileError) { try Directory.remove(path) }

  private static func sealed(_ line: String) -> [UInt8] {
    let text = Array(line.utf8)
    let check = text.withUnsafeBytes { CRC32C.checksum($0) }
    return text + Array(" ".utf8) + Array(hex(check).utf8) + [UInt8(ascii: "\n")]
  }

  private static func read(_ file: File) throws(FileError) -> (lines: [String], length: Int64) {
    let size = Int(min(try file.size(), Int64(readLimit)))
    guard size > 0 else { return ([], 0) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
    defer { buffer.deallocate() }
    let count = try file.pread(into: buffer, at: 0)
    var lines: [String] = []
    var start = 0
    while let end = buffer[start..<count].firstIndex(of: UInt8(ascii: "\n")) {
      guard let line = opened(buffer[start..<end]) else { break }
      lines.append(line)
      start = end + 1
    }
    return (lines, Int64(start))
  }

  private static func opened(_ bytes: Slice<UnsafeMutableRawBufferPointer>) -> String? {
    guard bytes.count > 9 else { return nil }
    let text = Array(bytes.dropLast(9))
    let check = text.withUnsafeBytes { CRC32C.checksum($0) }
    guard bytes.suffix(9).elementsEqual(Array((" " + hex(check)).utf8)) else { return nil }
    return String(decoding: text, as: UTF8.self)
  }

  private static func hex(_ check: UInt32) -> String {
    HexDigits.encode((0..<4).map { UInt8(truncatingIfNeeded: check >> UInt32(24 - 8 * $0)) })
  }
}
