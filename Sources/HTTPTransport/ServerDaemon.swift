internal import CMicroHTTPD
internal import Glibc
internal import Synchronization

/// libmicrohttpd's daemon and the callbacks that it makes on its network threads. The only file where its calls come in.
///
/// `@unchecked Sendable`: the pointers are set by `init` and `stop` alone, and the owner calls `stop` once, after the listener ended.
final class ServerDaemon: @unchecked Sendable {
  private let daemon: OpaquePointer
  private let core: Unmanaged<ServerCore>
  private let texts: [UnsafeMutablePointer<CChar>?]

  /// The fast ciphers first: with AES instructions these run at memory speed.
  private static let priorities =
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:%SERVER_PRECEDENCE"

  /// - Parameter tls: nil serves plain HTTP.
  init(core: ServerCore, tls: HTTPServer.Configuration.TLS?) throws(HTTPServerError) {
    let configuration = core.configuration
    let texts = [tls?.keyPEM, tls?.certificatePEM, tls?.clientCAPEM].map { $0.flatMap(ServerDaemon.zeroTerminated) }
    let context = Unmanaged.passRetained(core)
    let daemon = ServerDaemon.priorities.withCString { priorities -> OpaquePointer? in
      var settings = cairn_mhd_settings()
      settings.threads = UInt32(max(1, configuration.threads))
      // The listener counts; the library divides its own limit among the threads, so it gets one that none of them reaches.
      settings.connection_limit = UInt32((configuration.connectionLimit + ServerCore.politeReserve) * max(1, configuration.threads))
      settings.connection_memory = max(4096, configuration.connectionMemoryBytes)
      settings.key = texts[0].map { UnsafePointer($0) }
      settings.certificate = texts[1].map { UnsafePointer($0) }
      settings.client_trust = texts[2].map { UnsafePointer($0) }
      settings.priorities = priorities
      settings.context = context.toOpaque()
      settings.handler = ServerDaemon.onStep
      settings.uri = ServerDaemon.onTarget
      settings.unescape = ServerDaemon.onUnescape
      settings.completed = ServerDaemon.onCompleted
      settings.notify = ServerDaemon.onConnection
      return cairn_mhd_start(&settings)
    }
    guard let daemon else {
      context.release()
      for text in texts { free(text) }
      throw tls == nil
        ? HTTPServerError(code: .cannotStart, message: "The HTTP server cannot start its threads.")
        : HTTPServerError(
          code: .invalidCertificate, message: "The TLS certificate and key cannot be used; they must be matching PEM texts.")
    }
    self.daemon = daemon
    self.core = context
    self.texts = texts
  }

  /// Gives an accepted socket to a network thread, which owns it from now on.
  func add(descriptor: Int32, address: UnsafePointer<sockaddr>, length: socklen_t) -> Bool {
    MHD_add_connection(daemon, descriptor, address, length) == cairn_mhd_yes
  }

  /// Closes every connection and ends the threads. Blocks; no connection may be suspended, and no `add` under way.
  func stop() {
    MHD_stop_daemon(daemon)
    core.release()
    for text in texts { free(text) }
  }

  private static func zeroTerminated(_ bytes: [UInt8]) -> UnsafeMutablePointer<CChar>? {
    let text = malloc(bytes.count + 1)?.assumingMemoryBound(to: CChar.self)
    guard let text else { return nil }
    for (index, byte) in bytes.enumerated() { text[index] = CChar(bitPattern: byte) }
    text[bytes.count] = 0
    return text
  }

  // MARK: Callbacks

  private static let onConnection: MHD_NotifyConnectionCallback = { context, connection, slot, code in
    guard let context, let connection, let slot else { return }
    let core = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
    if code == cairn_mhd_started {
      guard let opened = core.opened(descriptor: cairn_mhd_socket(connection)) else { return }
      slot.pointee = Unmanaged.passRetained(opened).toOpaque()
    } else if let opened = slot.pointee {
      slot.pointee = nil
      core.closed(Unmanaged<ServerConnection>.fromOpaque(opened).takeRetainedValue())
    }
  }

  private static let onTarget:
    @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?, OpaquePointer?) -> UnsafeMutableRawPointer? = {
      context, target, connection in
      guard let context, let connection, let opened = cairn_mhd_socket_context(connection) else { return nil }
      let core = Unmanaged<ServerCore>.fromOpaque(context).takeUnretainedValue()
      let bytes = target.map { Array(UnsafeRawBufferPointer(start: $0, count: strlen($0))) } ?? []
      let exchange = core.begin(
        Unmanaged<ServerConnection>.fromOpaque(opened).takeUnretainedValue(), handle: ConnectionHandle(pointer: connection), target: bytes)
      return Unmanaged.passRetained(exchange).toOpaque()
    }

  /// Leaves the text as it is: targets are decoded by `RequestTarget`, which refuses what this would let through.
  private static let onUnescape: @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, UnsafeMutablePointer<CChar>?) -> Int = {
    _, _, text in text.map { strlen($0) } ?? 0
  }

  private static let onStep: MHD_AccessHandlerCallback = { _, connection, url, method, version, bytes, size, slot in
    guard let connection, let url, let method, let version, let size, let context = slot?.pointee else { return cairn_mhd_no }
    let exchange = Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
    var taken = 0
    let goesOn = exchange.step(
      handle: ConnectionHandle(pointer: connection), line: RequestLine(url: url, method: method, version: version),
      bytes: UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : size.pointee), taken: &taken)
    size.pointee -= taken
    return goesOn ? cairn_mhd_yes : cairn_mhd_no
  }

  private static let onCompleted: MHD_RequestCompletedCallback = { _, _, slot, code in
    guard let context = slot?.pointee else { return }
    slot?.pointee = nil
    Unmanaged<Exchange>.fromOpaque(context).takeRetainedValue()
      .finish(code == cairn_mhd_completed ? .complete : .broken)
  }
}

/// The daemon that takes new connections, and the ones before it, which serve theirs to the end under the certificate that they began with.
final class ServerDaemons: Sendable {
  /// A daemon costs its threads; so many replacements in one life of a process are more than anybody makes.
  static let bound = 32
  private let daemons: Mutex<[ServerDaemon]>

  init(_ first: ServerDaemon) { daemons = Mutex([first]) }

  var newest: ServerDaemon { daemons.withLock { $0[$0.count - 1] } }

  /// False when there are too many already.
  func add(_ daemon: ServerDaemon) -> Bool {
    daemons.withLock { daemons in
      guard daemons.count < ServerDaemons.bound else { return false }
      daemons.append(daemon)
      return true
    }
  }

  /// As `ServerDaemon.stop`, of all of them.
  func stop() { for daemon in daemons.withLock({ $0 }) { daemon.stop() } }
}
