internal import Glibc
internal import Synchronization

/// A program that this one started.
///
/// What must hold: a signal goes to the process that was started or to none. Its number is given back to the system only under the lock
/// that sending takes, so a number that the system used again is never hit.
package final class ChildProcess: Sendable {
  /// How a process ended.
  package enum Ending: Sendable, Equatable {
    case exited(status: Int32)
    case killed(signal: Int32)
  }

  package enum Signal: Sendable {
    case terminate, kill, interrupt, hangUp, stop, `continue`

    var number: Int32 {
      switch self {
      case .terminate: return SIGTERM
      case .kill: return SIGKILL
      case .interrupt: return SIGINT
      case .hangUp: return SIGHUP
      case .stop: return SIGSTOP
      case .continue: return SIGCONT
      }
    }
  }

  /// Where output or input of the process is connected.
  package enum Stream: Sendable {
    case inherited
    case null
    /// Output is appended to the file, input read from it.
    case file(String)
  }

  package struct Options: Sendable {
    /// Replaces the environment of this process when given.
    package var environment: [String: String]?
    package var workingDirectory: String?
    package var input: Stream = .null
    package var output: Stream = .inherited
    package var error: Stream = .inherited
    /// Makes the process the leader of a group of its own, so that a terminal's Ctrl-C does not reach it.
    package var ownGroup = false
    package init() {}
  }

  private struct State {
    var ending: Ending?
    var waiters: [CheckedContinuation<Ending, Never>] = []
  }

  package let processIdentifier: Int32
  private let state = Mutex(State())
  private let ended = Semaphore()

  /// - Parameter executable: a path; without a slash it is looked up in `PATH`.
  /// - Throws: `FileError` when the program cannot be started.
  package static func start(_ executable: String, _ arguments: [String] = [], _ options: Options = Options()) throws(FileError)
    -> ChildProcess
  {
    let child = ChildProcess(processIdentifier: try ProcessSpawner.spawn(executable, arguments, options))
    _ = WorkerThread.start(name: "child") { child.awaitEnding() }
    return child
  }

  private init(processIdentifier: Int32) { self.processIdentifier = processIdentifier }

  package var isRunning: Bool { state.withLock { $0.ending == nil } }

  /// Sends a signal; false when the process has ended.
  @discardableResult
  package func send(_ signal: Signal) -> Bool {
    state.withLock { state in
      guard state.ending == nil else { return false }
      return kill(processIdentifier, signal.number) == 0
    }
  }

  /// Waits until the process has ended. A cancelled task waits on.
  package func wait() async -> Ending {
    await withCheckedContinuation { continuation in
      let ending = state.withLock { state -> Ending? in
        if state.ending == nil { state.waiters.append(continuation) }
        return state.ending
      }
      if let ending { continuation.resume(returning: ending) }
    }
  }

  /// Blocks until the process has ended.
  package func waitBlocking() -> Ending {
    ended.wait()
    ended.signal()
    guard let ending = state.withLock({ $0.ending }) else { preconditionFailure("the ending is set before the signal") }
    return ending
  }

  /// Runs on a thread of its own: waits without reaping, then reaps under the lock.
  private func awaitEnding() {
    var information = siginfo_t()
    while waitid(P_PID, id_t(processIdentifier), &information, WEXITED | WNOWAIT) != 0, errno == EINTR {}
    let (ending, waiters) = state.withLock { state in
      var status: Int32 = 0
      while waitpid(processIdentifier, &status, 0) < 0, errno == EINTR {}
      let signal = status & 0x7f
      let ending: Ending = signal == 0 ? .exited(status: (status >> 8) & 0xff) : .killed(signal: signal)
      state.ending = ending
      defer { state.waiters = [] }
      return (ending, state.waiters)
    }
    ended.signal()
    for waiter in waiters { waiter.resume(returning: ending) }
  }
}
