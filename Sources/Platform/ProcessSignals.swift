internal import CLinux
internal import Glibc
internal import Synchronization

/// Signals that ask a program for something, as values in a stream.
package enum ProcessSignal: Sendable, Equatable {
  /// SIGTERM: end in an orderly way.
  case terminate
  /// SIGINT: the same, from a terminal.
  case interrupt
  /// SIGHUP: read the configuration again.
  case hangUp

  fileprivate init?(number: UInt8) {
    switch Int32(number) {
    case SIGTERM: self = .terminate
    case SIGINT: self = .interrupt
    case SIGHUP: self = .hangUp
    default: return nil
    }
  }
}

package enum ProcessSignals {
  private static let installed = Mutex(false)

  /// Takes over SIGTERM, SIGINT and SIGHUP for the rest of the process's life and ignores SIGPIPE. Call it once, before anything is served.
  ///
  /// - Returns: the signals in the order they came; when nobody reads, the last 16 are kept.
  package static func stream() throws(FileError) -> AsyncStream<ProcessSignal> {
    let isFirst = installed.withLock { installed in
      defer { installed = true }
      return !installed
    }
    precondition(isFirst, "a process's signals have one reader")
    let numbers = [SIGTERM, SIGINT, SIGHUP]
    let pipe = try SystemCall.retrying("pipe", "signals") { cairn_signals_to_pipe(numbers, Int32(numbers.count)) }
    let (stream, continuation) = AsyncStream.makeStream(of: ProcessSignal.self, bufferingPolicy: .bufferingNewest(16))
    // The thread reads until the process ends, so nobody joins it.
    _ = WorkerThread.start(name: "signals") {
      var byte: UInt8 = 0
      while true {
        let count = read(pipe, &byte, 1)
        if count == 1, let signal = ProcessSignal(number: byte) { continuation.yield(signal) }
        if count == 0 || (count < 0 && errno != EINTR) { break }
      }
      continuation.finish()
    }
    return stream
  }

  /// A broken connection then answers `EPIPE` to a write and does not end the process; for programs that take no other signals.
  package static func ignoreBrokenPipes() {
    _ = cairn_ignore_sigpipe()
  }
}
