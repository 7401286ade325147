internal import CMicroHTTPD
internal import Glibc
internal import Synchronization

/// A pointer to libmicrohttpd's connection. `@unchecked`: the library's calls that take it from other threads than its own
/// (suspend is only called on its own; resume from any) lock inside, and `Exchange` calls them only while the connection lives.
struct ConnectionHandle: @unchecked Sendable, Equatable {
  let pointer: OpaquePointer

  /// Only on the connection's own network thread, inside a callback.
  func suspend() { MHD_suspend_connection(pointer) }
  /// Once for each `suspend`, from any thread.
  func resume() { MHD_resume_connection(pointer) }
}

/// One accepted connection, from `accept` until the library closes it.
final class ServerConnection: Sendable {
  /// What a peer is watched for.
  struct Watch {
    /// When the present span of waiting for the peer began, and how many bytes had moved by then.
    var since: Int64
    var bytes: Int64
    var kind: Kind
    /// Body bytes that had come when the peer was first seen to have hung up.
    var hungUpAfter: Int?
    enum Kind: Equatable { case idle, head, receiving, sending, paused }
  }

  struct State {
    /// -1 before the library has taken the connection over, and after it let go.
    var descriptor: Int32 = -1
    var exchange: Exchange?
    /// The library closed its side while the peer may still be sending a refused body; read on for a while.
    var lingers = false
    /// Nil before the first request was looked at.
    var peer: PeerIdentity?
    /// Cut from this side already; the library has yet to see it.
    var isCut = false
    var watch: Watch
  }

  /// Numeric, without the port.
  let remoteAddress: String
  /// Let in above a limit, only to be told so.
  let isOverLimit: Bool
  let state: Mutex<State>

  init(remoteAddress: String, isOverLimit: Bool) {
    self.remoteAddress = remoteAddress
    self.isOverLimit = isOverLimit
    state = Mutex(State(watch: Watch(since: monotonicNow(), bytes: 0, kind: .idle)))
  }

  /// Cuts the connection; the library sees its end and closes it. The lock keeps the descriptor from being another's by then.
  func cut() {
    state.withLock { state in
      state.isCut = true
      if state.descriptor >= 0 { _ = shutdown(state.descriptor, Int32(SHUT_RDWR)) }
    }
  }
}
