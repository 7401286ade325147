internal import CMicroHTTPD
internal import Glibc

/// The listening socket and the thread that accepts. Own rather than the library's, because at a limit a client is to be told so,
/// and because stopping to accept must not race with the library's threads.
final class Listener: Sendable {
  /// The port that was bound.
  let port: Int
  private let descriptor: Int32
  private let wake = WakePipe()

  init(address: String, port: Int) throws(HTTPServerError) {
    let storage = try Listener.socketAddress(address, port)
    let descriptor = socket(Int32(storage.family), Int32(SOCK_STREAM.rawValue), 0)
    guard descriptor >= 0 else { throw Listener.error(errno, address, port) }
    do throws(HTTPServerError) {
      self.port = try Listener.bind(descriptor, storage, address, port)
    } catch {
      close(descriptor)
      throw error
    }
    self.descriptor = descriptor
  }

  private struct Address {
    var storage = sockaddr_storage()
    var length: socklen_t = 0
    var family: sa_family_t { storage.ss_family }
  }

  private static func socketAddress(_ address: String, _ port: Int) throws(HTTPServerError) -> Address {
    guard let port = in_port_t(exactly: port) else {
      throw HTTPServerError(code: .invalidAddress, message: "\(port) is no port; a port is 0 to 65535.")
    }
    var result = Address()
    var v4 = sockaddr_in()
    var v6 = sockaddr_in6()
    if inet_pton(AF_INET, address, &v4.sin_addr) == 1 {
      v4.sin_family = sa_family_t(AF_INET)
      v4.sin_port = port.bigEndian
      result.length = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutableBytes(of: &result.storage) { to in withUnsafeBytes(of: v4) { to.copyMemory(from: $0) } }
    } else if inet_pton(AF_INET6, address, &v6.sin6_addr) == 1 {
      v6.sin6_family = sa_family_t(AF_INET6)
      v6.sin6_port = port.bigEndian
      result.length = socklen_t(MemoryLayout<sockaddr_in6>.size)
      withUnsafeMutableBytes(of: &result.storage) { to in withUnsafeBytes(of: v6) { to.copyMemory(from: $0) } }
    } else {
      throw HTTPServerError(code: .invalidAddress, message: "\(address) is no numeric IPv4 or IPv6 address.")
    }
    return result
  }

  private static func bind(_ descriptor: Int32, _ to: Address, _ address: String, _ port: Int) throws(HTTPServerError) -> Int {
    var one: Int32 = 1
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
    var bound = to
    let result = withUnsafePointer(to: &bound.storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.bind(descriptor, $0, to.length) }
    }
    guard result == 0, listen(descriptor, 1024) == 0 else { throw error(errno, address, port) }
    let named = withUnsafeMutablePointer(to: &bound.storage) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &bound.length) }
    }
    guard named == 0 else { throw error(errno, address, port) }
    return withUnsafeBytes(of: bound.storage) { Int($0.loadUnaligned(fromByteOffset: 2, as: UInt16.self).byteSwapped) }
  }

  private static func error(_ number: Int32, _ address: String, _ port: Int) -> HTTPServerError {
    switch number {
    case EADDRINUSE:
      HTTPServerError(
        code: .addressInUse, message: "Port \(port) of \(address) is in use by another program; stop it or choose another port.")
    case EACCES: HTTPServerError(code: .notPermitted, message: "This user may not listen on port \(port) of \(address).")
    case EADDRNOTAVAIL: HTTPServerError(code: .invalidAddress, message: "This machine has no address \(address).")
    default:
      HTTPServerError(code: .cannotListen, message: "Cannot listen on port \(port) of \(address): \(String(cString: strerror(number))).")
    }
  }

  /// Accepts until `stop`, then closes the socket. Blocks: the body of a thread.
  func run(core: ServerCore, daemons: ServerDaemons) {
    defer { closeSocket() }
    var waitsForDescriptors = false
    while true {
      var polled = [
        pollfd(fd: wake.reader, events: Int16(POLLIN), revents: 0), pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
      ]
      // Without a free descriptor accepting would spin; looking again a little later is all that helps.
      let count = poll(&polled, waitsForDescriptors ? 1 : 2, waitsForDescriptors ? 100 : -1)
      if polled[0].revents != 0 { return }
      waitsForDescriptors = false
      if count == 0 || polled[1].revents != 0 { waitsForDescriptors = !acceptAll(core, daemons.newest) }
    }
  }

  /// Ends `run`. Callable from any thread.
  func stop() { wake.wake() }

  /// For a listener that never ran; at the end of `run` otherwise.
  func closeSocket() { close(descriptor) }

  /// False when the process is out of descriptors or memory.
  private func acceptAll(_ core: ServerCore, _ daemon: ServerDaemon) -> Bool {
    while true {
      var storage = sockaddr_storage()
      var length: socklen_t = 0
      let accepted = cairn_accept(descriptor, &storage, &length)
      guard accepted >= 0 else { return ![EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(errno) }
      guard core.admit(descriptor: accepted, address: Listener.text(storage)) != nil else {
        close(accepted)
        continue
      }
      let isTaken = withUnsafePointer(to: &storage) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { daemon.add(descriptor: accepted, address: $0, length: length) }
      }
      if !isTaken { core.dropArriving(descriptor: accepted) }
    }
  }

  private static func text(_ storage: sockaddr_storage) -> String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let isV4 = storage.ss_family == sa_family_t(AF_INET)
    withUnsafeBytes(of: storage) { bytes in
      // The address stands behind family and port, in IPv6 behind the flow label too.
      let address = UnsafeRawBufferPointer(rebasing: bytes[(isV4 ? 4 : 8)...])
      _ = inet_ntop(Int32(storage.ss_family), address.baseAddress, &text, socklen_t(text.count))
    }
    let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    return address.hasPrefix("::ffff:") && address.contains(".") ? String(address.dropFirst(7)) : address
  }
}
