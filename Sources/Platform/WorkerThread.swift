internal import BlockModel
internal import CLinux
internal import Glibc

/// How much of the processor a thread gets when others want it too.
package enum ThreadPriority: Sendable {
  case normal
  /// About a tenth of what a thread of normal priority gets; all that is left when nobody else works.
  case background

  /// The kernel's figure, -20 to 19; each step is a quarter more or less.
  var niceness: Int32 { self == .normal ? 0 : 10 }
}

/// A thread of our own, for work that blocks.
package final class WorkerThread: Sendable {
  private final class Body: Sendable {
    let name: String
    let priority: ThreadPriority
    let run: @Sendable () -> Void
    init(name: String, priority: ThreadPriority, run: @escaping @Sendable () -> Void) {
      self.name = name
      self.priority = priority
      self.run = run
    }
  }

  private let finished = Semaphore()
  package let name: String

  /// Starts a thread that runs `body` and ends with it. The kernel shows the first 15 bytes of `name`.
  package static func start(
    name: String, priority: ThreadPriority = .normal, _ body: @escaping @Sendable () -> Void
  ) -> WorkerThread {
    WorkerThread(name: name, priority: priority, body)
  }

  private init(name: String, priority: ThreadPriority, _ body: @escaping @Sendable () -> Void) {
    self.name = name
    let finished = finished
    let boxed = Unmanaged.passRetained(
      Body(name: name, priority: priority) {
        body()
        finished.signal()
      })
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    pthread_attr_setstacksize(&attributes, 1 << 20)
    defer { pthread_attr_destroy(&attributes) }
    var thread = pthread_t()
    let made = pthread_create(&thread, &attributes, workerThreadEntry, boxed.toOpaque())
    // All threads are made while a daemon starts or in bounded number; a machine that has none left cannot go on.
    precondition(made == 0, "the system has no thread left")
  }

  /// Blocks until the body has returned. From any number of threads, but not from the thread itself.
  package func join() {
    finished.wait()
    finished.signal()
  }

  /// Blocks the calling thread, which is one of our own.
  package static func sleep(for duration: Duration) {
    let nanoseconds = max(0, duration.saturatedNanoseconds)
    var time = timespec(tv_sec: Int(nanoseconds / 1_000_000_000), tv_nsec: Int(nanoseconds % 1_000_000_000))
    var left = timespec()
    while nanosleep(&time, &left) != 0, errno == EINTR { time = left }
  }

  fileprivate static func enter(_ argument: UnsafeMutableRawPointer) {
    let body = Unmanaged<Body>.fromOpaque(argument).takeRetainedValue()
    cairn_name_thread(body.name)
    if body.priority != .normal { cairn_set_niceness(body.priority.niceness) }
    body.run()
  }
}

private func workerThreadEntry(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let argument { WorkerThread.enter(argument) }
  return nil
}
