/// How a client reaches the cluster and how much it uses of this machine.
public struct Configuration: Sendable {
  /// Such as `http://127.0.0.1:8080`.
  public var gateway: String
  /// From `CairnClient.logIn`; secret.
  public var token: String?
  /// Path of a PEM file with the cluster's certificate authority; nil trusts the system's.
  public var caFile: String?
  /// Block transfers at a time, 1 to 64. Each takes 4 MiB of memory.
  public var parallel: Int
  /// Compresses blocks for which a sample says that it pays.
  public var compress: Bool
  /// Folder for the journals that let an interrupted transfer go on; nil keeps none.
  public var stateDirectory: String?
  /// Bytes a second that blocks may take, up and down together, over the time of a block and longer; nil sets no limit.
  public var bytesPerSecond: Int64?
  /// How long a request is tried again while the gateway or the nodes cannot be reached or are busy.
  public var patience: Duration

  /// Makes one from its parts.
  public init(
    gateway: String, token: String? = nil, caFile: String? = nil, parallel: Int = 8, compress: Bool = true,
    stateDirectory: String? = nil, bytesPerSecond: Int64? = nil, patience: Duration = .seconds(30)
  ) {
    self.gateway = gateway
    self.token = token
    self.caFile = caFile
    self.parallel = min(max(parallel, 1), 64)
    self.compress = compress
    self.stateDirectory = stateDirectory
    self.bytesPerSecond = bytesPerSecond
    self.patience = patience
  }
}
