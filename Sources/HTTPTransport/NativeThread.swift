internal import CMicroHTTPD
internal import Glibc

/// A thread of the operating system, for loops that block in C and so may not sit on Swift's cooperative pool.
struct NativeThread: Sendable {
  private final class Start {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }

  private let id: pthread_t

  /// Starts a thread. SIGPIPE is blocked on it: a broken connection is an error of the call, never a signal.
  init(name: String, _ body: @escaping @Sendable () -> Void) {
    var id = pthread_t()
    let context = Unmanaged.passRetained(Start(name: name, body: body)).toOpaque()
    let result = pthread_create(&id, nil, NativeThread.run, context)
    // Without threads nothing of this process works; there is no caller that could do better.
    precondition(result == 0, "the system has no thread left: error \(result)")
    self.id = id
  }

  private static let run: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { context in
    guard let context else { return nil }
    let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    cairn_thread_name(start.name)
    start.body()
    return nil
  }

  /// Waits for its end. Call it once, and not on the cooperative pool.
  func join() { pthread_join(id, nil) }

  /// Runs a blocking piece of work on a thread of its own.
  static func run<Value: Sendable>(name: String, _ body: @escaping @Sendable () -> Value) async -> Value {
    await withCheckedContinuation { continuation in
      let thread = NativeThread(name: name) { continuation.resume(returning: body()) }
      pthread_detach(thread.id)
    }
  }
}

/// A pipe that wakes a thread out of `poll`.
final class WakePipe: Sendable {
  let reader: Int32
  private let writer: Int32

  init() {
    var ends: [Int32] = [-1, -1]
    let result = pipe(&ends)
    precondition(result == 0, "the process has no descriptor left for a pipe")
    reader = ends[0]
    writer = ends[1]
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
  }

  /// Callable from any thread; a full pipe is awake already.
  func wake() {
    var byte: UInt8 = 1
    _ = write(writer, &byte, 1)
  }

  func clear() {
    var bytes: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    while read(reader, &bytes, MemoryLayout.size(ofValue: bytes)) > 0 {}
  }

  deinit {
    close(reader)
    close(writer)
  }
}

/// Nanoseconds of the monotonic clock.
func monotonicNow() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

extension Duration {
  /// Saturating; durations of transport settings are far below 292 years.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    guard seconds < Int64.max / 1_000_000_000 else { return .max }
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
  var milliseconds: Int { Int(nanoseconds / 1_000_000) }
}
