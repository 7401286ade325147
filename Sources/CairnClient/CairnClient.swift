internal import BlockModel
package import HTTPTransport
package import Platform
internal import ServiceAPI

/// A client of a Cairn cluster: accounts, the tree of files, and transfers straight to and from the storage nodes.
///
/// All calls may be cancelled, and any number may be under way at once; they share one bound on memory and on transfers. Every error is a
/// `CairnError` that says what to do.
///
/// ```swift
/// let client = try CairnClient(Configuration(gateway: "http://127.0.0.1:8080"))
/// try await client.logIn(name: "ada", password: "…", device: "laptop")
/// try await client.upload("report.pdf", to: "/docs/report.pdf")
/// ```
public final class CairnClient: Sendable {
  let gateway: GatewayConnection
  let resources: TransferResources
  let journals: TransferJournals?

  /// - Throws: `CairnError` when the gateway's address is none, or the CA file cannot be read.
  public convenience init(_ configuration: Configuration) throws(CairnError) {
    var http = HTTPClient.Configuration()
    http.connectionsPerHost = max(16, configuration.parallel * 2)
    http.threads = 2
    // A block is sent from and received into a buffer of its own; these only carry it to the socket.
    http.uploadBufferBytes = 128 << 10
    http.receiveBufferBytes = 128 << 10
    http.usesEnvironmentProxy = true
    if let path = configuration.caFile {
      do { http.caPEM = try AtomicFile.read(path, limit: 4 << 20) } catch { throw CairnError(error) }
      guard http.caPEM != nil else {
        throw CairnError(.localFile, "\(path) does not exist; set CAIRN_CA_FILE to the cluster's CA certificate.")
      }
    }
    try self.init(configuration, transport: HTTPClient(configuration: http))
  }

  /// With another transport, for tests.
  package init(_ configuration: Configuration, transport: any HTTPRequesting, time: any TimeSource = SystemTime()) throws(CairnError) {
    let address = configuration.gateway
    guard address.hasPrefix("http://") || address.hasPrefix("https://"), !address.contains(where: { $0.isWhitespace || $0 == "?" }) else {
      throw CairnError(.invalidArgument, "“\(address)” is not a gateway's address; use one such as http://127.0.0.1:8080.")
    }
    guard PlainHTTP.mayReach(address) else {
      throw CairnError(
        .invalidArgument, "\(address) is plain HTTP to another machine, where anybody on the way could read the password; use https://.")
    }
    resources = TransferResources(transport: transport, configuration: configuration, time: time)
    gateway = GatewayConnection(
      transport: transport, base: address, token: configuration.token, patience: configuration.patience, time: time,
      folders: EncryptedFolders(
        store: KeyStore(stateDirectory: configuration.stateDirectory, gateway: address, time: time), threads: resources.threads, time: time)
    )
    journals = configuration.stateDirectory.map {
      TransferJournals(folder: $0, gateway: address, sweep: JournalSweep(folder: $0, time: time))
    }
  }

  /// Block buffers that transfers hold now, and at most.
  package var buffersLent: Int { resources.buffers.lent }
  package var bufferLimit: Int { resources.buffers.limit }

  /// Runs a call and turns whatever it throws into a `CairnError`.
  func answering<Value: Sendable>(_ body: () async throws -> Value) async throws(CairnError) -> Value {
    do { return try await body() } catch {
      // A transport that was cancelled says so in its own words.
      if Task.isCancelled { throw CairnError(CancellationError()) }
      throw CairnError(error)
    }
  }

  // MARK: Accounts

  /// Makes an account.
  @discardableResult
  public func signUp(name: String, password: String) async throws(CairnError) -> User {
    try await answering { User(try await gateway.signUp(name: name, password: password)) }
  }

  /// Logs in; the client uses the new token from here on.
  ///
  /// - Parameter device: what the list of devices calls this one.
  @discardableResult
  public func logIn(name: String, password: String, device: String) async throws(CairnError) -> Session {
    try await answering {
      let session = Session(try await gateway.logIn(name: name, password: password, device: device))
      gateway.setToken(session.token)
      try await gateway.folders.loggedIn(name, token: session.token)
      return session
    }
  }

  /// Changes the password of the user whose token this is.
  ///
  /// - Parameter keepDevices: whether the user's other devices stay logged in.
  /// - Throws: `CairnError` `notAllowed` when `password` is not the present one.
  public func changePassword(_ password: String, to newPassword: String, keepDevices: Bool = false) async throws(CairnError) {
    try await answering { try await gateway.changePassword(password, to: newPassword, keepDevices: keepDevices) }
  }

  /// Revokes the token and forgets it.
  public func logOut() async throws(CairnError) {
    try await answering { try await gateway.logOut() }
    gateway.setToken(nil)
  }

  /// Whose token this is.
  public func currentUser() async throws(CairnError) -> User {
    try await answering { User(try await gateway.currentUser()) }
  }

  /// All devices that the user is logged in from.
  public func devices() async throws(CairnError) -> [Device] {
    try await answering { try await gateway.devices().items.map(Device.init) }
  }

  /// Logs a device out, by its id or by its name when only one has it.
  public func revokeDevice(_ device: String) async throws(CairnError) {
    try await answering {
      let known = try await gateway.devices().items
      let found = known.filter { $0.id.hex == device || $0.name == device }
      guard let one = found.first else { throw CairnError(.notFound, "No device is called “\(device)”; see “cairn devices”.") }
      guard found.count == 1 else { throw CairnError(.conflict, "\(found.count) devices are called “\(device)”; name one by its id.") }
      try await gateway.revokeDevice(one.id)
    }
  }

  /// The space that the account takes.
  public func usage() async throws(CairnError) -> AccountUsage {
    try await answering { AccountUsage(try await gateway.usage()) }
  }
}
