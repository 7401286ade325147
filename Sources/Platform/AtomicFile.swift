internal import BlockModel
internal import Glibc

/// Small files that are either the old ones or the new ones, whatever happens in between.
package enum AtomicFile {
  /// Writes a temporary file beside `path`, syncs it, renames it into place and syncs the folder. Blocks.
  package static func write(_ path: String, _ bytes: [UInt8], mode: UInt32 = 0o600) throws(FileError) {
    let temporary = path + "." + HexDigits.encode(SecureRandom.bytes(6)) + ".tmp"
    do {
      let file = try File(temporary, [.write, .create, .exclusive], mode: mode)
      try writeAndSync(file, bytes)
      try Directory.renameDurably(temporary, to: path)
    } catch {
      // The first error is the one to report; a left-over temporary file harms nobody.
      try? Directory.remove(temporary)
      throw error
    }
  }

  /// The whole file, nil when there is none. Blocks.
  ///
  /// - Parameter limit: bytes; a longer file is an error and not read.
  package static func read(_ path: String, limit: Int) throws(FileError) -> [UInt8]? {
    let file: File
    do { file = try File(path, .read) } catch {
      if error.isNotFound { return nil }
      throw error
    }
    let size = try file.size()
    guard size <= Int64(limit) else {
      throw FileError(operation: "read", path: path, errno: 0, reason: "it has \(size) bytes, and at most \(limit) are taken")
    }
    // Files of /proc and devices say 0 and have more; one byte beyond what is taken shows that there is too much.
    let most = size == 0 ? min(limit, 1 << 20) : Int(size)
    var bytes = [UInt8](repeating: 0, count: size == 0 ? most + 1 : most)
    let count = try fill(&bytes, from: file)
    guard count <= most else {
      throw FileError(operation: "read", path: path, errno: 0, reason: "it has more than \(most) bytes")
    }
    bytes.removeSubrange(count...)
    return bytes
  }

  private static func writeAndSync(_ file: File, _ bytes: [UInt8]) throws(FileError) {
    let result = bytes.withUnsafeBytes { bytes in
      Result { () throws(FileError) in try file.pwrite(bytes, at: 0) }
    }
    try result.get()
    try file.fsync()
  }

  private static func fill(_ bytes: inout [UInt8], from file: File) throws(FileError) -> Int {
    let result = bytes.withUnsafeMutableBytes { bytes in
      Result { () throws(FileError) in try file.pread(into: bytes, at: 0) }
    }
    return try result.get()
  }
}
