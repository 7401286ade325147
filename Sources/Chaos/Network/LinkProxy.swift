internal import BlockModel
internal import Glibc
internal import Platform
internal import Synchronization

/// Stands between the processes of a local cluster: each is reached through a port of the proxy, and calls from an address of its own, so
/// that every connection is known by who opened it and who takes it. One thread carries the bytes as `LinkRules` say.
///
/// What must hold: a rule counts from the moment it is there, for open connections too; what a cut link holds back is not lost, as TCP
/// would send it again; an attempt to connect over a cut link fails after `patience`, as an attempt without an answer does.
package final class LinkProxy: Sendable {
  /// A process of the cluster.
  package struct Party: Sendable {
    package var name: String
    /// Where others believe it to be, and where it is: ports on 127.0.0.1.
    package var advertised: Int
    package var actual: Int
    /// The address that it calls from.
    package var source: String

    package init(name: String, advertised: Int, actual: Int, source: String) {
      (self.name, self.advertised, self.actual, self.source) = (name, advertised, actual, source)
    }
  }

  /// Whoever calls from an address that is no process's: clients, operators, scripts.
  package static let outside = "outside"
  /// Seconds after which an attempt to connect over a cut link fails.
  package static let patience = 3.0
  /// Connections at once; more wait in the kernel's queue.
  static let limit = 4000

  private let rules = Mutex(LinkRules())
  private let isStopped = Atomic(false)
  private let thread = Mutex<WorkerThread?>(nil)
  private let parties: [Party]
  private let seed: UInt64

  package init(_ parties: [Party], seed: UInt64) {
    self.parties = parties
    self.seed = seed
  }

  deinit { stop() }

  package func change(_ body: (inout sending LinkRules) -> Void) { rules.withLock { body(&$0) } }

  /// - Throws: `FileError` when a port is taken.
  package func start() throws {
    var listeners: [(descriptor: Int32, party: Party)] = []
    do {
      for party in parties { listeners.append((try Sockets.listen(party.advertised), party)) }
    } catch {
      for listener in listeners { close(listener.descriptor) }
      throw error
    }
    let names = Dictionary(parties.map { ($0.source, $0.name) }) { first, _ in first }
    let opened = listeners
    let seed = seed
    thread.withLock {
      $0 = WorkerThread.start(name: "link-proxy") { [self] in
        var carrier = LinkCarrier(listeners: opened, names: names, random: SeededRandom(seed: seed))
        while !isStopped.load(ordering: .relaxed) { carrier.turn(rules.withLock { $0 }) }
        carrier.closeAll()
      }
    }
  }

  /// Ends all connections. Safe to call again.
  package func stop() {
    isStopped.store(true, ordering: .relaxed)
    thread.withLock { $0.take() }?.join()
  }
}

/// The few calls that the proxy needs of the kernel.
enum Sockets {
  static func listen(_ port: Int) throws -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    var one: Int32 = 1
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    let bound = withAddress(port) { bind(descriptor, $0, $1) }
    guard descriptor >= 0, bound == 0, Glibc.listen(descriptor, 512) == 0 else {
      let number = errno
      if descriptor >= 0 { close(descriptor) }
      throw PortTaken(port: port, number: number)
    }
    return descriptor
  }

  struct PortTaken: Error, CustomStringConvertible {
    var port: Int
    var number: Int32
    var description: String { "The proxy cannot listen on port \(port): errno \(number)." }
  }

  /// The next waiting connection and the address it comes from.
  static func accept(_ listener: Int32) -> (descriptor: Int32, source: String)? {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.accept(listener, $0, &length) }
    }
    guard descriptor >= 0 else { return nil }
    prepare(descriptor)
    let number = UInt32(bigEndian: address.sin_addr.s_addr)
    let source = [24, 16, 8, 0].map { String((number >> UInt32($0)) & 255) }.joined(separator: ".")
    return (descriptor, source)
  }

  /// Begins to connect to a port of this machine.
  static func connect(_ port: Int) -> Int32? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { return nil }
    prepare(descriptor)
    let result = withAddress(port) { Glibc.connect(descriptor, $0, $1) }
    guard result == 0 || errno == EINPROGRESS else {
      close(descriptor)
      return nil
    }
    return descriptor
  }

  /// Ends a connection so that the other side sees an error and not an end.
  static func reset(_ descriptor: Int32) {
    var option = linger(l_onoff: 1, l_linger: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    close(descriptor)
  }

  private static func prepare(_ descriptor: Int32) {
    var one: Int32 = 1
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
  }

  private static func withAddress(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(truncatingIfNeeded: port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
  }
}

extension LinkProxy {
  /// A running proxy for the cluster that `cluster/up` makes of these arguments, and the further arguments that put it there.
  /// - Throws: `Sockets.PortTaken` when no range of free ports was found.
  static func standing(before arguments: [String], seed: UInt64) throws -> (proxy: LinkProxy, arguments: [String]) {
    func count(_ option: String, _ otherwise: Int) -> Int {
      arguments.firstIndex(of: option).flatMap { $0 + 1 < arguments.count ? Int(arguments[$0 + 1]) : nil } ?? otherwise
    }
    var names: [String] = []
    for (kind, number) in [("coordinator", count("--coordinators", 1)), ("gateway", count("--gateways", 1)), ("node", count("--nodes", 6))]
    {
      names += (1...max(1, number)).map { "\(kind)-\($0)" }
    }
    var random = SystemRandomNumberGenerator()
    var failure: any Error = Sockets.PortTaken(port: 0, number: EADDRINUSE)
    for _ in 0..<20 {
      // Below the range from which the kernel lends ports to clients.
      let base = Int.random(in: 10_000...(32_000 - 2 * names.count), using: &random)
      let parties = names.enumerated().map { index, name in
        Party(name: name, advertised: base + names.count + index, actual: base + index, source: "127.0.1.\(index + 1)")
      }
      do {
        // Whether those of the processes are free is found out in the same way.
        for party in parties { close(try Sockets.listen(party.actual)) }
        let proxy = LinkProxy(parties, seed: seed)
        try proxy.start()
        return (proxy, ["--base-port", "\(base)", "--advertise-base-port", "\(base + names.count)"])
      } catch { failure = error }
    }
    throw failure
  }
}
