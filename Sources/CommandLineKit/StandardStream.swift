internal import Glibc

/// The process's own streams. All calls block.
enum StandardStream {
  /// Writes all of it to standard output.
  ///
  /// - Throws: `CommandFailure` when the system refuses, as on a full disk.
  static func writeResults(_ bytes: [UInt8]) throws(CommandFailure) {
    let number = write(bytes, to: STDOUT_FILENO)
    guard number != 0 else { return }
    let isFull = number == ENOSPC || number == EDQUOT
    throw CommandFailure(isFull ? .noSpace : .failed, "standard output could not be written: \(String(cString: strerror(number))).")
  }

  /// Writes to standard error what it takes: nobody can be told when that fails.
  static func writeError(_ bytes: [UInt8]) { _ = write(bytes, to: STDERR_FILENO) }

  /// A reader that left, as `head` does, ends the process as other programs end then.
  /// - Returns: the system's error number; 0 when all was written.
  private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32 { bytes.withUnsafeBytes { write($0, to: descriptor) } }

  private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    if closed.contains(descriptor) { return EBADF }
    var done = 0
    while done < bytes.count, let base = bytes.baseAddress {
      let count = Glibc.write(descriptor, base + done, bytes.count - done)
      if count >= 0 {
        done += count
        continue
      }
      switch errno {
      case EINTR: continue
      case EAGAIN: waitForRoom(descriptor)
      case EPIPE: endAsByBrokenPipe()
      default: return errno
      }
    }
    return 0
  }

  /// Whoever shares the terminal or the pipe may have set it to answer at once.
  private static func waitForRoom(_ descriptor: Int32) {
    var state = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    _ = poll(&state, 1, -1)
  }

  /// Our programs ignore the signal because of their sockets.
  private static func endAsByBrokenPipe() {
    signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
  }

  /// Streams that whoever started us has closed, as with `>&-`. What libraries open before the program begins (dispatch its event queue)
  /// has their numbers then, and what would be written there is lost or worse; no stream is of those kinds, which have no type.
  private static let closed: Set<Int32> = Set(
    [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO].filter { descriptor in
      var status = stat()
      return fstat(descriptor, &status) != 0 || status.st_mode & S_IFMT == 0
    })

  /// Takes the numbers of closed streams that are still free, so that no file or socket that is opened later gets what was meant for the
  /// stream. To be called first of all.
  static func fillClosed() {
    for descriptor in closed.sorted() where fcntl(descriptor, F_GETFD) < 0 {
      _ = open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }
}
