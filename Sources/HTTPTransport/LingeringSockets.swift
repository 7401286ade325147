internal import Glibc
internal import Synchronization

/// Sockets whose response is sent while the peer is still sending a refused body. Closing them at once would reset the connection,
/// and the peer would see a broken pipe instead of the refusal; so they are read on and dropped for a bounded while.
final class LingeringSockets: Sendable {
  private struct Socket {
    let descriptor: Int32
    var budget: Int
    let deadline: Int64
    /// Without a byte until then, the peer is taken to be done.
    var quietUntil: Int64
  }

  /// The most at once; further ones are closed without ceremony.
  private static let limit = 128

  private let drainLimit: Int
  private let quiet: Int64
  private let longest: Int64
  private let wake: WakePipe
  private let arrived = Mutex<[Socket]>([])

  init(drainLimit: Int, minimumRate: Int, grace: Duration, wake: WakePipe) {
    self.drainLimit = drainLimit
    quiet = max(grace.nanoseconds, 1_000_000)
    longest = min(60_000_000_000, quiet + Int64(drainLimit / max(1, minimumRate)) * 1_000_000_000)
    self.wake = wake
  }

  /// Keeps the connection open after its owner closes `descriptor`.
  func take(duplicateOf descriptor: Int32) {
    let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    guard copy >= 0 else { return }
    _ = shutdown(copy, Int32(SHUT_WR))
    let now = monotonicNow()
    let isTaken = arrived.withLock { arrived in
      guard arrived.count < LingeringSockets.limit else { return false }
      arrived.append(Socket(descriptor: copy, budget: drainLimit, deadline: now + longest, quietUntil: now + quiet))
      return true
    }
    if isTaken { wake.wake() } else { close(copy) }
  }

  /// The sockets of one thread's loop.
  struct Loop {
    private let owner: LingeringSockets
    private var sockets: [Socket] = []
    private var scratch = [UInt8](repeating: 0, count: 64 << 10)

    init(_ owner: LingeringSockets) { self.owner = owner }

    /// Waits at most `timeout` milliseconds for the wake pipe or a socket, and reads what came.
    mutating func turn(timeout: Int) {
      var polled = [pollfd(fd: owner.wake.reader, events: Int16(POLLIN), revents: 0)]
      polled += sockets.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
      let count = poll(&polled, nfds_t(polled.count), Int32(clamping: timeout))
      if polled[0].revents != 0 { owner.wake.clear() }
      let now = monotonicNow()
      var kept: [Socket] = []
      for (socket, polled) in zip(sockets, polled.dropFirst()) {
        var socket = socket
        let goesOn = count <= 0 || polled.revents == 0 || readOn(&socket, now)
        if goesOn, now < min(socket.deadline, socket.quietUntil) { kept.append(socket) } else { close(socket.descriptor) }
      }
      let arrived = owner.arrived.withLock { arrived in
        defer { arrived = [] }
        return arrived
      }
      for socket in arrived {
        if kept.count < LingeringSockets.limit { kept.append(socket) } else { close(socket.descriptor) }
      }
      sockets = kept
    }

    /// False when there is nothing more to read, or it is too much.
    private mutating func readOn(_ socket: inout Socket, _ now: Int64) -> Bool {
      let capacity = scratch.count
      while true {
        let count = recv(socket.descriptor, &scratch, capacity, Int32(MSG_DONTWAIT))
        if count < 0 { return errno == EAGAIN || errno == EINTR }
        socket.budget -= count
        socket.quietUntil = now + owner.quiet
        if count == 0 || socket.budget <= 0 { return false }
      }
    }

    mutating func closeAll() {
      turn(timeout: 0)
      for socket in sockets { close(socket.descriptor) }
      sockets = []
    }
  }
}
