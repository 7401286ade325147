internal import Glibc

/// A system call on a file that failed: what was tried, where, and what the system said.
package struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The call, such as `open` or `fdatasync`.
  package var operation: String
  package var path: String
  /// The system's error number; 0 when the system reported none, such as for a file that is longer than allowed.
  package var errno: Int32
  /// Said instead of the system's own words when `errno` is 0.
  package var reason: String?

  package init(operation: String, path: String, errno: Int32, reason: String? = nil) {
    self.operation = operation
    self.path = path
    self.errno = errno
    self.reason = reason
  }

  package var description: String { "\(operation) of \(path) failed: \(reason ?? SystemCall.text(of: errno))." }

  package var isNotFound: Bool { errno == ENOENT }
  package var alreadyExists: Bool { errno == EEXIST }
  package var isDirectoryNotEmpty: Bool { errno == ENOTEMPTY || errno == EEXIST }
  /// The file system or the quota is full.
  package var isOutOfSpace: Bool { errno == ENOSPC || errno == EDQUOT }
  package var isPermissionDenied: Bool { errno == EACCES || errno == EPERM || errno == EROFS }
  /// The call is not known to this file system, such as `fallocate` on some network file systems.
  package var isNotSupported: Bool { errno == EOPNOTSUPP || errno == ENOSYS }
  /// The device failed to read or write.
  package var isInputOutput: Bool { errno == EIO }
}
