internal import BlockModel
internal import Glibc

/// The proxy's loop: accepts, connects, and carries bytes both ways. Owned by one thread.
struct LinkCarrier {
  /// Bytes read at once.
  private static let readBytes = 64 << 10
  /// The longest sleep, in milliseconds: how late a changed rule is noticed.
  private static let sleep = 20.0

  private struct Connection {
    var from: String
    var to: LinkProxy.Party
    var opened: Double
    /// Towards who opened it, and towards who takes it; -1 while that is not connected.
    var near: Int32
    var far: Int32 = -1
    /// Away from who opened it, and back.
    var there = DelayLine()
    var back = DelayLine()
    var isOver = false
  }

  private let listeners: [(descriptor: Int32, party: LinkProxy.Party)]
  private let names: [String: String]
  private var random: SeededRandom
  private var connections: [Connection] = []
  private var buffer = [UInt8](repeating: 0, count: LinkCarrier.readBytes)
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant

  init(listeners: [(descriptor: Int32, party: LinkProxy.Party)], names: [String: String], random: SeededRandom) {
    (self.listeners, self.names, self.random) = (listeners, names, random)
    start = clock.now
  }

  private var now: Double { Double((clock.now - start).components.seconds) + Double((clock.now - start).components.attoseconds) / 1e18 }

  /// Waits until something can be done, and does it.
  mutating func turn(_ rules: LinkRules) {
    let effects = connections.map { rules.effect(from: $0.from, to: $0.to.name) }
    var polled = listeners.map { pollfd(fd: connections.count < LinkProxy.limit ? $0.descriptor : -1, events: Int16(POLLIN), revents: 0) }
    var wake = now + Self.sleep / 1000
    for (connection, effect) in zip(connections, effects) {
      // A cut link is not even looked at: what the other side does, its end included, is not known here.
      let open = !effect.isCut
      polled.append(Self.interest(open ? connection.near : -1, reads: connection.there, writes: connection.back, now))
      polled.append(Self.interest(open ? connection.far : -1, reads: connection.back, writes: connection.there, now))
      if open { wake = min(wake, connection.there.nextDue ?? wake, connection.back.nextDue ?? wake) }
    }
    _ = poll(&polled, nfds_t(polled.count), Int32(max(0, (wake - now) * 1000).rounded(.up)))
    for index in connections.indices {
      let place = listeners.count + 2 * index
      carry(index, effects[index], near: polled[place].revents, far: polled[place + 1].revents)
    }
    connections.removeAll { connection in
      guard connection.isOver else { return false }
      if connection.near >= 0 { close(connection.near) }
      if connection.far >= 0 { close(connection.far) }
      return true
    }
    for (index, listener) in listeners.enumerated() where polled[index].revents != 0 {
      while connections.count < LinkProxy.limit, let (descriptor, source) = Sockets.accept(listener.descriptor) {
        connections.append(Connection(from: names[source] ?? LinkProxy.outside, to: listener.party, opened: now, near: descriptor))
      }
    }
  }

  mutating func closeAll() {
    for connection in connections {
      Sockets.reset(connection.near)
      if connection.far >= 0 { Sockets.reset(connection.far) }
    }
    for listener in listeners { close(listener.descriptor) }
    connections = []
  }

  private static func interest(_ descriptor: Int32, reads: DelayLine, writes: DelayLine, _ now: Double) -> pollfd {
    var events: Int32 = 0
    if reads.room > 0 { events |= POLLIN }
    if writes.ready(at: now) != nil { events |= POLLOUT }
    // Asked for nothing, the kernel would still tell of errors, again and again.
    return pollfd(fd: events == 0 ? -1 : descriptor, events: Int16(events), revents: 0)
  }

  private mutating func carry(_ index: Int, _ effect: LinkRules.Effect, near: Int16, far: Int16) {
    var connection = connections[index]
    defer { connections[index] = connection }
    if effect.isCut {
      guard connection.far < 0, now - connection.opened > LinkProxy.patience else { return }
      return end(&connection)
    }
    if connection.far < 0 {
      guard let descriptor = Sockets.connect(connection.to.actual) else { return end(&connection) }
      connection.far = descriptor
      return
    }
    let mayRead = Int16(POLLIN | POLLHUP | POLLERR)
    var alive = true
    if near & mayRead != 0 { alive = read(connection.near, &connection.there, effect) && alive }
    if far & mayRead != 0 { alive = read(connection.far, &connection.back, effect) && alive }
    alive = write(connection.far, &connection.there) && alive
    alive = write(connection.near, &connection.back) && alive
    if !alive { return end(&connection) }
    let isDone = connection.there.hasEnded && connection.back.hasEnded && connection.there.isEmpty && connection.back.isEmpty
    if isDone { connection.isOver = true }
  }

  /// Both sides see that it broke.
  private func end(_ connection: inout Connection) {
    Sockets.reset(connection.near)
    connection.near = -1
    if connection.far >= 0 { Sockets.reset(connection.far) }
    connection.far = -1
    connection.isOver = true
  }

  /// False when the connection broke.
  private mutating func read(_ descriptor: Int32, _ line: inout DelayLine, _ effect: LinkRules.Effect) -> Bool {
    guard line.room > 0 else { return true }
    let limit = min(buffer.count, line.room)
    let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, limit, 0) }
    if count < 0 { return errno == EAGAIN || errno == EINTR }
    line.take(ArraySlice(Array(buffer[0..<count])), at: now, effect, &random)
    return true
  }

  /// False when the connection broke.
  private func write(_ descriptor: Int32, _ line: inout DelayLine) -> Bool {
    while let bytes = line.ready(at: now) {
      if bytes.isEmpty {
        shutdown(descriptor, Int32(SHUT_WR))
        line.wrote(0)
        continue
      }
      let count = bytes.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      // Not yet connected, or its buffer is full.
      if count < 0 { return errno == EAGAIN || errno == EINTR || errno == ENOTCONN }
      line.wrote(count)
    }
    return true
  }
}
