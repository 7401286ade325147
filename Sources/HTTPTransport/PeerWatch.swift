internal import CMicroHTTPD
internal import Glibc
internal import Synchronization

/// The thread that looks at every connection now and then, cuts the ones whose peer is idle, slow or gone, and reads lingering sockets on.
final class PeerWatch: Sendable {
  private let core: ServerCore
  private let lingering: LingeringSockets
  private let wake: WakePipe
  private let isStopped = Atomic<Bool>(false)
  /// Between two looks, in nanoseconds: short against every limit that is watched.
  private let interval: Int64
  private let idle: Int64
  private let grace: Int64

  init(core: ServerCore, lingering: LingeringSockets, wake: WakePipe) {
    self.core = core
    self.lingering = lingering
    self.wake = wake
    idle = core.configuration.idleTimeout.nanoseconds
    grace = core.configuration.minimumRateGrace.nanoseconds
    interval = max(10_000_000, min(1_000_000_000, idle / 4, grace / 4))
  }

  /// The body of a thread.
  func run() {
    var loop = LingeringSockets.Loop(lingering)
    var next = monotonicNow() + interval
    while !isStopped.load(ordering: .acquiring) {
      let now = monotonicNow()
      if now >= next {
        for connection in core.connections { look(at: connection, now) }
        next = now + interval
      }
      loop.turn(timeout: Int(max(0, next - monotonicNow()) / 1_000_000) + 1)
    }
    loop.closeAll()
  }

  func stop() {
    isStopped.store(true, ordering: .releasing)
    wake.wake()
  }

  private func look(at connection: ServerConnection, _ now: Int64) {
    let (exchange, isWatched) = connection.state.withLock { ($0.exchange, $0.descriptor >= 0 && !$0.isCut) }
    guard isWatched else { return }
    let activity = exchange?.activity ?? Exchange.Activity(kind: .idle, received: 0)
    let verdict = connection.state.withLock { state -> Bool in
      // Another request may have begun meanwhile; the next look sees it.
      guard state.exchange === exchange, state.descriptor >= 0 else { return false }
      let bytes =
        switch activity.kind {
        case .receiving: Int64(activity.received)
        case .sending: cairn_tcp_bytes_acknowledged(state.descriptor)
        case .idle, .head, .paused: Int64(0)
        }
      return isTooSlow(&state.watch, activity.kind, bytes, now, isOverLimit: connection.isOverLimit)
    }
    if verdict {
      core.counters.timedOut.add(1, ordering: .relaxed)
      if let exchange { exchange.abort(.timedOut) } else { connection.cut() }
    } else if isGone(connection, activity) {
      if let exchange { exchange.abort(.incomplete) } else { connection.cut() }
    }
  }

  private func isTooSlow(
    _ watch: inout ServerConnection.Watch, _ kind: ServerConnection.Watch.Kind, _ bytes: Int64, _ now: Int64, isOverLimit: Bool
  ) -> Bool {
    if watch.kind != kind {
      // From one request's head the time goes on: a head that trickles in has one deadline in all.
      watch = ServerConnection.Watch(since: now, bytes: bytes, kind: kind)
      return false
    }
    let span = now - watch.since
    switch kind {
    case .paused: return false
    case .idle, .head: return span > (isOverLimit ? min(idle, 2_000_000_000) : idle)
    case .receiving, .sending:
      guard span >= grace else { return false }
      let wanted = Double(core.configuration.minimumRate) * Double(span) / 1e9
      let isSlow = Double(bytes - watch.bytes) < wanted
      watch = ServerConnection.Watch(since: now, bytes: bytes, kind: kind)
      return isSlow
    }
  }

  /// Whether the peer hung up without the library noticing: it does not look at suspended connections, and it misses an end that
  /// came together with the last bytes, because its edge-triggered polling reports both as one.
  private func isGone(_ connection: ServerConnection, _ activity: Exchange.Activity) -> Bool {
    guard activity.kind != .sending else { return false }
    return connection.state.withLock { state in
      guard state.descriptor >= 0, PeerWatch.hasHungUp(state.descriptor) else {
        state.watch.hungUpAfter = nil
        return false
      }
      if activity.kind == .paused { return true }
      // What the peer sent before it hung up may still be on its way through the library; only a second look without any
      // progress tells.
      let hadHungUp = state.watch.hungUpAfter == activity.received && !PeerWatch.hasUnread(state.descriptor)
      state.watch.hungUpAfter = activity.received
      return hadHungUp
    }
  }

  private static func hasHungUp(_ descriptor: Int32) -> Bool {
    // Linux: the peer shut its sending side down. The number is the system's, its name hidden behind _GNU_SOURCE.
    let hungUp: Int16 = 0x2000
    var polled = pollfd(fd: descriptor, events: hungUp, revents: 0)
    return poll(&polled, 1, 0) > 0 && polled.revents & (hungUp | Int16(POLLHUP) | Int16(POLLERR)) != 0
  }

  private static func hasUnread(_ descriptor: Int32) -> Bool {
    var byte: UInt8 = 0
    return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT) | Int32(MSG_PEEK)) > 0
  }
}
