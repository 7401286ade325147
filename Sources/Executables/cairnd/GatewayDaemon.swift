import BlockModel
import ClusterLogic
import ControlClient
import Credentials
import Gateway
import HTTPTransport
import Platform

/// `cairnd gateway`: follows the coordinator and serves clients. It keeps no state.
enum GatewayDaemon {
  private static let keys =
    DaemonSettings.keys + ["keys", "coordinators", "url-lifetime-seconds", "zone", "cors-origins", "raw-buffers", "trusted-proxy"]
    + rateKeys
  private static let rateKeys = ["requests-per-second", "requests-per-second-of-address", "attempts-per-minute-of-address"]
  private static let shutdownGrace: Duration = .seconds(10)
  /// For heads, whose paths and cursors may be long; the library touches half of it, and there are thousands of connections.
  private static let connectionMemoryBytes = 48 << 10

  static func run(_ path: String) async throws {
    let file = try ConfigurationFile.load(path, knownKeys: keys)
    let settings = try DaemonSettings(file, component: "gateway")
    let keyPath = try file.requiredString("keys")
    let keys = try KeyFile.readGateway(keyPath)
    let coordinators = try file.list("coordinators") ?? []
    guard !coordinators.isEmpty else { throw ConfigurationError(message: "“coordinators” has to name the coordinators' base URLs.") }
    try DaemonSettings.checkReach(coordinators, "coordinators")
    let configuration = try configuration(file, settings)
    let signals = try ProcessSignals.stream()

    let client = settings.client(connectionsPerHost: 64)
    let control = RemoteControlPlane(http: client, urls: coordinators, token: keys.token)
    let view = ClusterViewCache(control: control, time: SystemTime(), logger: settings.logger)
    let signer = CapabilitySigner(root: keys.capabilityRoot)
    let service = GatewayService(
      control: control, view: view, signer: signer, client: client, time: SystemTime(),
      configuration: configuration, logger: settings.logger, metrics: settings.metrics)
    let observer = RequestObserver(metrics: settings.metrics, logger: settings.logger)
    var server = settings.server(connectionMemoryBytes: connectionMemoryBytes, asksDaemons: false) { observer.observe($0) }
    server.corsOrigins = try file.list("cors-origins") ?? []
    server.connectionLimit = 4096
    server.perAddressLimit = 4096
    let http = HTTPServer(configuration: server, router: service.router())
    try http.start()
    service.start()
    settings.logger.info("serving", ["address": .string(settings.advertise)])
    await Lifetime.untilTold(signals, settings.logger) {
      let fresh = try KeyFile.readGateway(keyPath)
      guard fresh.cluster == keys.cluster, fresh.name == keys.name else {
        throw ConfigurationError(message: "\(keyPath) holds the keys of another gateway.")
      }
      control.replace(token: fresh.token)
      signer.replace(root: fresh.capabilityRoot)
      try settings.reloadTLS(http, client)
    }

    settings.logger.info("stopping")
    service.stop()
    await http.shutdown(grace: shutdownGrace)
    client.shutdown()
  }

  private static func configuration(_ file: ConfigurationFile, _ settings: DaemonSettings) throws -> GatewayConfiguration {
    var configuration = GatewayConfiguration()
    configuration.publicAddress = settings.advertise
    if let seconds = try file.int("url-lifetime-seconds", in: 10...86_400) { configuration.urlLifetime = .seconds(seconds) }
    if let buffers = try file.int("raw-buffers", in: 3...1024) { configuration.rawBuffers = buffers }
    // A burst is what comes in ten seconds, or in the minute that a rate is for; 0 sets no limit.
    func rate(_ key: String, seconds: Int, _ standard: RequestRate?) throws -> RequestRate? {
      guard let count = try file.int(key, in: 0...1_000_000) else { return standard }
      return count == 0 ? nil : RequestRate(count: count, inSeconds: seconds, burst: count * max(10, seconds) / seconds)
    }
    configuration.tokenRate = try rate("requests-per-second", seconds: 1, configuration.tokenRate)
    configuration.addressRate = try rate("requests-per-second-of-address", seconds: 1, configuration.addressRate)
    configuration.attemptRate = try rate("attempts-per-minute-of-address", seconds: 60, configuration.attemptRate)
    guard let proxies = TrustedProxies(try file.list("trusted-proxy") ?? []) else {
      throw ConfigurationError(
        message: "“trusted-proxy” has to be networks such as 10.0.0.0/8 or single addresses, with commas between them.")
    }
    configuration.trustedProxies = proxies
    configuration.zone = try file.typed("zone", expected: "a zone's name") { ZoneID($0) }
    return configuration
  }
}
