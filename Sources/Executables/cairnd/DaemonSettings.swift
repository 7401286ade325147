import BlockModel
import HTTPTransport
import Platform

/// What the configuration of every daemon begins with: its name, where it listens, how others reach it, TLS, and logging.
///
/// Keys: `name`, `listen` (`ADDRESS:PORT`), `advertise` (the base URL that others use), `source-address` (where its own calls come from, on
/// a machine with several addresses), `tls-certificate`, `tls-key`, `tls-ca`, `log-level`.
struct DaemonSettings: Sendable {
  static let keys = ["name", "listen", "advertise", "source-address", "tls-certificate", "tls-key", "tls-ca", "log-level"]
  private static let pemLimit = 1 << 20

  let name: String
  let address: String
  let port: Int
  /// Without a trailing slash.
  let advertise: String
  /// The address that calls to others come from; nil leaves it to the kernel.
  let sourceAddress: String?
  let tls: HTTPServer.Configuration.TLS?
  /// The authority that peers' certificates are checked against; nil without TLS.
  let authorityPEM: [UInt8]?
  private let file: ConfigurationFile
  let logger: Logger
  let metrics = Metrics()

  /// - Throws: `ConfigurationError` or `FileError`, each a sentence for the operator.
  init(_ file: ConfigurationFile, component: String) throws {
    self.file = file
    name = try file.requiredString("name")
    (address, port) = try DaemonSettings.endpoint(try file.requiredString("listen"))
    advertise = try DaemonSettings.baseURL(
      file.string("advertise"), address: address, port: port, hasTLS: file.string("tls-certificate") != nil)
    sourceAddress = file.string("source-address")
    tls = try DaemonSettings.readTLS(file)
    authorityPEM = try file.string("tls-ca").map(DaemonSettings.readPEM)
    let level = try file.typed("log-level", expected: "one of debug, info, warning, error") { LogLevel(name: $0) }
    logger = Logger(component: component, level: level ?? .info).with(["daemon": .string(name)])
    try DaemonSettings.refusePlainOffLoopback(address: address, hasTLS: tls != nil)
    if let tls { noteCertificate(tls) }
  }

  /// A server's configuration with what these settings say; `connectionMemoryBytes` by what the daemon serves.
  /// - Parameter asksDaemons: whether other daemons are asked for their certificates, which takes `tls-ca`.
  func server(connectionMemoryBytes: Int, asksDaemons: Bool, observer: (@Sendable (HTTPExchangeRecord) -> Void)? = nil)
    -> HTTPServer.Configuration
  {
    var configuration = HTTPServer.Configuration()
    configuration.address = address
    configuration.port = port
    configuration.tls = tls.map { asking($0, asksDaemons, authorityPEM) }
    configuration.connectionMemoryBytes = connectionMemoryBytes
    // More network threads than processors only take turns, and interrupt each other inside of locks.
    configuration.threads = min(configuration.threads, Machine.processorCount)
    configuration.observer = observer
    return configuration
  }

  /// A client that trusts the cluster's authority.
  /// - Parameter bufferBytes: of each request's buffers, in each direction.
  func client(connectionsPerHost: Int = 32, bufferBytes: Int = 512 << 10) -> HTTPClient {
    var configuration = HTTPClient.Configuration()
    (configuration.uploadBufferBytes, configuration.receiveBufferBytes) = (bufferBytes, bufferBytes)
    configuration.caPEM = authorityPEM
    configuration.clientCertificatePEM = tls?.certificatePEM
    configuration.clientKeyPEM = tls?.keyPEM
    configuration.connectionsPerHost = connectionsPerHost
    configuration.sourceAddress = sourceAddress
    return HTTPClient(configuration: configuration)
  }

  /// Reads certificate, key and authority again and puts them in use for new connections.
  /// - Throws: and what was read before stays in use.
  func reloadTLS(_ server: HTTPServer, _ client: HTTPClient) throws {
    guard tls != nil, let fresh = try DaemonSettings.readTLS(file) else { return }
    let authority = try file.string("tls-ca").map(DaemonSettings.readPEM)
    try server.replaceTLS(asking(fresh, server.configuration.tls?.clientCAPEM != nil, authority))
    client.replaceTLS(caPEM: authority, certificatePEM: fresh.certificatePEM, keyPEM: fresh.keyPEM)
    noteCertificate(fresh)
  }

  /// Shows in the metrics when the certificate ends.
  private func noteCertificate(_ tls: HTTPServer.Configuration.TLS) {
    guard let seconds = Certificates.secondsLeft(tls.certificatePEM) else { return }
    metrics.gauge("cairn_certificate_end_seconds", help: "When this daemon's certificate ends, in seconds since 1970.")
      .set(Int(SystemTime().wall().seconds) + seconds)
    if seconds < 14 * 86_400 { logger.warning("the certificate ends soon", ["days": .int(seconds / 86_400)]) }
  }

  private func asking(_ tls: HTTPServer.Configuration.TLS, _ asksDaemons: Bool, _ authority: [UInt8]?) -> HTTPServer.Configuration.TLS {
    var tls = tls
    // Asked, and only needed for what daemons do: clients and operators have none.
    tls.clientCAPEM = asksDaemons ? authority : nil
    tls.requiresClientCertificate = false
    return tls
  }

  /// - Throws: `ConfigurationError` for a URL that would send tokens in the clear to another machine.
  static func checkReach(_ urls: [String], _ key: String) throws {
    for url in urls where !PlainHTTP.mayReach(url) {
      throw ConfigurationError(line: nil, message: "“\(key)” names \(url); plain HTTP is spoken on loopback only, so use https://.")
    }
  }

  private static func endpoint(_ text: String) throws -> (String, Int) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65_535).contains(port) else {
      throw ConfigurationError(line: nil, message: "“listen” is “\(text)” and has to be ADDRESS:PORT, such as 127.0.0.1:7000.")
    }
    let address = text[..<colon].trimmingPrefix("[")
    return (String(address.last == "]" ? address.dropLast() : address), port)
  }

  private static func baseURL(_ given: String?, address: String, port: Int, hasTLS: Bool) throws -> String {
    guard let given else { return "\(hasTLS ? "https" : "http")://\(address):\(port)" }
    guard given.hasPrefix(hasTLS ? "https://" : "http://"), !given.hasSuffix("/") else {
      throw ConfigurationError(
        line: nil,
        message: "“advertise” is “\(given)” and has to begin with \(hasTLS ? "https" : "http")://, without a slash at its end.")
    }
    return given
  }

  private static func readTLS(_ file: ConfigurationFile) throws -> HTTPServer.Configuration.TLS? {
    switch (file.string("tls-certificate"), file.string("tls-key")) {
    case (nil, nil): return nil
    case (let certificate?, let key?):
      return HTTPServer.Configuration.TLS(certificatePEM: try readPEM(certificate), keyPEM: try readPEM(key))
    default: throw ConfigurationError(line: nil, message: "“tls-certificate” and “tls-key” go together: set both or neither.")
    }
  }

  private static func readPEM(_ path: String) throws -> [UInt8] {
    guard let bytes = try AtomicFile.read(path, limit: pemLimit) else {
      throw ConfigurationError(line: nil, message: "There is no file \(path).")
    }
    return bytes
  }

  /// Passwords, tokens and signed URLs travel here: in the clear they may only stay on this machine.
  private static func refusePlainOffLoopback(address: String, hasTLS: Bool) throws {
    guard !hasTLS, !address.hasPrefix("127."), address != "::1" else { return }
    throw ConfigurationError(
      line: nil, message: "Plain HTTP is served on loopback only; set “tls-certificate” and “tls-key” to listen on \(address).")
  }
}
