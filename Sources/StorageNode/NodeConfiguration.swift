package import BlockModel
package import Platform

/// How one storage node runs: what its configuration file says.
package struct NodeConfiguration: Sendable {
  /// Paths of PEM files.
  package struct TLS: Sendable, Equatable {
    package var certificate: String
    package var key: String
    /// The cluster's CA, which other nodes' and the coordinator's certificates come from.
    package var authority: String
  }

  package var node: NodeID
  package var zone: ZoneID
  /// Share of data relative to other nodes, 0.1 to 20.
  package var weight = 1.0
  package var listenAddress: String
  package var listenPort: Int
  /// Base URL under which clients and other nodes reach this one, without a trailing slash.
  package var advertisedAddress: String
  /// Folder for the node's own state: the last view of the cluster, the data keys.
  package var dataFolder: String
  /// One folder per disk.
  package var diskFolders: [String]
  package var keyFile: String
  /// Holds the key that wraps the data keys at rest; nil only with encryption off.
  package var masterKeyFile: String?
  /// In its place a command that prints it, such as one that asks a key service.
  package var masterKeyCommand: String?
  /// Base URLs of the coordinators, asked in turn.
  package var coordinators: [String]
  package var durability = Receipt.Durability.strict
  package var encryption = true
  /// Bytes that blocks may take on each disk; nil for what the file system has.
  package var diskBytes: Int64?
  package var segmentBytes: Int64?
  package var tls: TLS?
  /// Origins whose pages may read from and write to this node by signed URL.
  package var corsOrigins: [String] = []
  package var limits = NodeLimits()
  package var scrub = ScrubPacer.Configuration()
  /// How long a deleted block can be taken back: at least as long as the longest upload lease and the longest life of a URL together.
  package var quarantineHold: Duration = .seconds(25 * 3600)

  package init(
    node: NodeID, zone: ZoneID, listenAddress: String, listenPort: Int, advertisedAddress: String, dataFolder: String,
    diskFolders: [String], keyFile: String, coordinators: [String]
  ) {
    self.node = node
    self.zone = zone
    self.listenAddress = listenAddress
    self.listenPort = listenPort
    self.advertisedAddress = advertisedAddress
    self.dataFolder = dataFolder
    self.diskFolders = diskFolders
    self.keyFile = keyFile
    self.coordinators = coordinators
  }
}

/// The bounds that keep a node's memory and its peers' patience in hand.
package struct NodeLimits: Sendable, Equatable {
  /// Whole-block buffers (4.2 MiB each) for bodies that clients upload.
  package var clientBuffers = 24
  /// Whole-block buffers for records that other nodes send. Separate, so that nodes which forward to each other never wait in a circle.
  package var replicaBuffers = 20
  /// Whole-block buffers for reads; each is held until its last byte has left.
  package var readBuffers = 12
  /// Whole-block buffers for decoding what a reader wants plain.
  package var decodeBuffers = 3
  /// Buffers for small blocks (about 130 KiB each), as many again for clients, replicas and reads.
  package var smallBuffers = 96
  /// How long a client's upload waits for a buffer before it is told 503.
  package var clientPatience: Duration = .milliseconds(500)
  /// How long a record from another node waits for a buffer.
  package var replicaPatience: Duration = .seconds(2)
  /// The longest that one copy to another node may take.
  package var forwardDeadline: Duration = .seconds(20)
  package var forwardConnectTimeout: Duration = .seconds(1)
  /// Streaming to replicas starts when the rest of the body is expected within this time, so that a slow client costs one buffer on one
  /// node and not one on each.
  package var streamingHorizon: Duration = .milliseconds(250)
  /// Records that a `copy` command fetches at once.
  package var parallelCopies = 4
  /// Items of a batch that are stored together, and blocks that are read for one at once.
  package var parallelBatchItems = 64
  package init() {}
}

extension NodeConfiguration {
  /// Every key that the file may have.
  package static let keys = [
    "name", "zone", "weight", "listen", "advertise", "source-address", "data", "disks", "keys", "master-key-file", "master-key-command",
    "coordinators",
    "durability",
    "encryption", "disk-bytes", "segment-bytes", "tls-certificate", "tls-key", "tls-ca", "cors-origins", "client-buffers",
    "replica-buffers", "read-buffers", "small-buffers", "scrub-bytes-per-second", "scrub-interval-hours",
    "quarantine-hours", "quarantine-seconds",
  ]

  /// Reads a configuration file. Blocks.
  /// - Throws: `ConfigurationError` or `FileError`, in words that name the line.
  package static func load(_ path: String) throws -> NodeConfiguration {
    try NodeConfiguration(ConfigurationFile.load(path, knownKeys: keys))
  }

  package init(_ file: ConfigurationFile) throws(ConfigurationError) {
    let listen = try NodeConfiguration.required(file, "listen", "an address and a port, such as 127.0.0.1:7001") {
      NodeConfiguration.splitListen($0)
    }
    self.init(
      node: try NodeConfiguration.required(file, "name", "a name of 1 to 63 of a–z, 0–9 and -") { NodeID($0) },
      zone: try NodeConfiguration.required(file, "zone", "a name of 1 to 63 of a–z, 0–9 and -") { ZoneID($0) },
      listenAddress: listen.address, listenPort: listen.port,
      advertisedAddress: try NodeConfiguration.required(file, "advertise", "a URL without a path, such as https://node-1.example:7001") {
        NodeConfiguration.isBaseURL($0) ? $0 : nil
      },
      dataFolder: try file.requiredString("data"),
      diskFolders: try NodeConfiguration.required(file, "disks", "folders separated by commas, each once") {
        NodeConfiguration.distinctList($0)
      },
      keyFile: try file.requiredString("keys"),
      coordinators: try NodeConfiguration.required(file, "coordinators", "URLs separated by commas, each once") {
        NodeConfiguration.distinctList($0).flatMap { $0.allSatisfy(NodeConfiguration.isBaseURL) ? $0 : nil }
      })
    try readOptions(file)
    try readLimits(file)
  }

  private mutating func readOptions(_ file: ConfigurationFile) throws(ConfigurationError) {
    weight =
      try file.typed("weight", expected: "a number from 0.1 to 20") { Double($0).flatMap { (0.1...20).contains($0) ? $0 : nil } } ?? 1
    durability = try file.typed("durability", expected: "strict or relaxed") { Receipt.Durability(rawValue: $0) } ?? .strict
    encryption = try file.typed("encryption", expected: "on or off") { ["on": true, "off": false][$0] } ?? true
    masterKeyFile = file.string("master-key-file")
    masterKeyCommand = file.string("master-key-command")
    if encryption, (masterKeyFile == nil) == (masterKeyCommand == nil) {
      throw ConfigurationError(
        line: nil,
        message:
          "With encryption on, either “master-key-file” names the file with this node's master key, or “master-key-command” a command.")
    }
    diskBytes = try file.size("disk-bytes")
    segmentBytes = try file.size("segment-bytes")
    if let rate = try file.size("scrub-bytes-per-second") { scrub.fastestBytes = Double(max(64 << 10, rate)) }
    if let hours = try file.int("scrub-interval-hours", in: 1...(20 * 24)) { scrub.passInterval = .seconds(hours * 3600) }
    if let seconds = try file.int("quarantine-seconds", in: 1...(365 * 24 * 3600)) { quarantineHold = .seconds(seconds) }
    if let hours = try file.int("quarantine-hours", in: 1...(365 * 24)) { quarantineHold = .seconds(hours * 3600) }
    corsOrigins = try file.typed("cors-origins", expected: "origins separated by commas") { NodeConfiguration.distinctList($0) } ?? []
    let (certificate, key, authority) = (file.string("tls-certificate"), file.string("tls-key"), file.string("tls-ca"))
    if let certificate, let key, let authority {
      tls = TLS(certificate: certificate, key: key, authority: authority)
    } else if certificate != nil || key != nil || authority != nil {
      throw ConfigurationError(line: nil, message: "TLS needs all of “tls-certificate”, “tls-key” and “tls-ca”.")
    }
  }

  private mutating func readLimits(_ file: ConfigurationFile) throws(ConfigurationError) {
    limits.clientBuffers = try file.int("client-buffers", in: 1...4096) ?? limits.clientBuffers
    limits.replicaBuffers = try file.int("replica-buffers", in: 1...4096) ?? limits.replicaBuffers
    limits.readBuffers = try file.int("read-buffers", in: 1...4096) ?? limits.readBuffers
    limits.smallBuffers = try file.int("small-buffers", in: 1...65536) ?? limits.smallBuffers
  }

  private static func required<Value>(
    _ file: ConfigurationFile, _ key: String, _ expected: String, _ parse: (String) -> Value?
  ) throws(ConfigurationError) -> Value {
    _ = try file.requiredString(key)
    guard let value = try file.typed(key, expected: expected, parse) else {
      throw ConfigurationError(line: nil, message: "“\(key)” has to be set.")
    }
    return value
  }

  private static func splitListen(_ text: String) -> (address: String, port: Int)? {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]), (0...65535).contains(port) else {
      return nil
    }
    var address = String(text[..<colon])
    if address.hasPrefix("["), address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
    return address.isEmpty ? nil : (address, port)
  }

  private static func isBaseURL(_ text: String) -> Bool {
    for scheme in ["http://", "https://"] where text.hasPrefix(scheme) {
      let rest = text.dropFirst(scheme.count)
      return !rest.isEmpty && !rest.contains { "/?# \t".contains($0) }
    }
    return false
  }

  private static func distinctList(_ text: String) -> [String]? {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false).map { part in
      String(part.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
    return parts.contains("") || Set(parts).count != parts.count ? nil : parts
  }
}
