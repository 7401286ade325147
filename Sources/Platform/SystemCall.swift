internal import CLinux
internal import Glibc

/// The one place where interrupted system calls are called again.
enum SystemCall {
  /// Calls `body` until a signal does not interrupt it; a negative result becomes a `FileError` with the system's number.
  @discardableResult
  static func retrying<Result: FixedWidthInteger & SignedInteger>(
    _ operation: String, _ path: String, _ body: () -> Result
  ) throws(FileError) -> Result {
    while true {
      let result = body()
      if result >= 0 { return result }
      let number = errno
      if number != EINTR { throw FileError(operation: operation, path: path, errno: number) }
    }
  }

  /// The system's words for an error number, without the trailing point.
  static func text(of number: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
      buffer.initialize(repeating: 0)
      guard let base = buffer.baseAddress else { return "error \(number)" }
      // glibc's `strerror_r` is one of two functions by feature macros; `strerror` would share a buffer between threads.
      cairn_error_text(number, base, buffer.count)
      return String(cString: base)
    }
  }
}
