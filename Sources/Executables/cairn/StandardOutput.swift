import CommandLineKit
import Glibc

/// Bytes to standard output, for contents.
enum StandardOutput {
  /// Writes all of it. Blocks.
  ///
  /// A reader that left, as `head` does, ends the process as other programs end then.
  static func write(_ bytes: UnsafeRawBufferPointer) throws {
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let count = Glibc.write(1, base + done, bytes.count - done)
      if count > 0 {
        done += count
      } else if errno == EPIPE {
        signal(SIGPIPE, SIG_DFL)
        raise(SIGPIPE)
      } else if errno != EINTR {
        let isFull = errno == ENOSPC
        throw CommandFailure(
          isFull ? .noSpace : .failed,
          "Standard output could not be written; \(isFull ? "make room" : "check where it goes") and try again.")
      }
    }
  }
}
