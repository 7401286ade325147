package import BlockModel
internal import Foundation
internal import Platform

/// The files in which keys lie: JSON, readable by their owner only. One kind for each holder, each with no more than that holder needs.
package enum KeyFile {
  private static let sizeLimit = 1 << 16

  private struct Document: Codable {
    struct Epoch: Codable {
      var epoch: UInt32
      var secret: String?
      var capability: String?
      var command: String?
      var receipt: String?
      var journal: String?
    }
    var kind: String
    var cluster: ClusterID
    var name: String?
    var token: String?
    /// The epoch that signs; the newest when absent.
    var current: UInt32?
    var epochs: [Epoch]
    /// Epochs that were taken out, with nothing but their journal keys.
    var former: [Epoch]?
  }

  /// What a gateway is given.
  package struct GatewayKeys: Sendable {
    package let cluster: ClusterID
    package let name: String
    package let capabilityRoot: CapabilityRoot
    package let token: String
  }

  // MARK: Writing

  package static func write(_ secret: ClusterSecret, cluster: ClusterID, to path: String) throws(CredentialError) {
    let epochs = secret.keys.epochs.map { Document.Epoch(epoch: $0.epoch, secret: hex($0.key)) }
    let former = secret.formerJournalKeys.map { Document.Epoch(epoch: $0.epoch, journal: hex($0.key)) }
    try write(
      Document(
        kind: "cluster", cluster: cluster, current: secret.keys.current.epoch, epochs: epochs, former: former.isEmpty ? nil : former),
      to: path)
  }

  package static func writeNode(_ keys: NodeKeys, to path: String) throws(CredentialError) {
    let epochs = keys.capability.epochs.map { epoch, key in
      Document.Epoch(
        epoch: epoch, capability: hex(key), command: keys.command.key(epoch).map(hex), receipt: keys.receipt.key(epoch).map(hex))
    }
    try write(
      Document(
        kind: "node", cluster: keys.cluster, name: keys.node.text, token: keys.token, current: keys.capability.current.epoch, epochs: epochs
      ),
      to: path)
  }

  package static func writeGateway(
    _ secret: ClusterSecret, cluster: ClusterID, name: String, to path: String
  ) throws(CredentialError) {
    let epochs = secret.capabilityRoot.keys.epochs.map { Document.Epoch(epoch: $0.epoch, capability: hex($0.key)) }
    let token = secret.controlRoot.token(.gateway(name))
    try write(
      Document(kind: "gateway", cluster: cluster, name: name, token: token, current: secret.keys.current.epoch, epochs: epochs), to: path)
  }

  // MARK: Reading

  package static func readCluster(_ path: String) throws(CredentialError) -> (secret: ClusterSecret, cluster: ClusterID) {
    let document = try read(path, kind: "cluster")
    let former = try (document.former ?? []).isEmpty ? [] : keys(document.former ?? [], nil, path) { $0.journal }.epochs
    return (ClusterSecret(keys: try keys(document, path) { $0.secret }, formerJournalKeys: former), document.cluster)
  }

  package static func readNode(_ path: String) throws(CredentialError) -> NodeKeys {
    let document = try read(path, kind: "node")
    guard let node = document.name.flatMap({ NodeID($0) }), let token = document.token else { throw damaged(path) }
    return NodeKeys(
      cluster: document.cluster, node: node, capability: try keys(document, path) { $0.capability },
      command: try keys(document, path) { $0.command }, receipt: try keys(document, path) { $0.receipt }, token: token)
  }

  package static func readGateway(_ path: String) throws(CredentialError) -> GatewayKeys {
    let document = try read(path, kind: "gateway")
    guard let name = document.name, let token = document.token else { throw damaged(path) }
    let root = CapabilityRoot(keys: try keys(document, path) { $0.capability })
    return GatewayKeys(cluster: document.cluster, name: name, capabilityRoot: root, token: token)
  }

  // MARK: Shared

  private static func hex(_ key: SecretBytes) -> String { HexDigits.encode(key.exposed) }

  private static func keys(
    _ document: Document, _ path: String, _ field: (Document.Epoch) -> String?
  ) throws(CredentialError) -> EpochKeys {
    try keys(document.epochs, document.current, path, field)
  }

  private static func keys(
    _ epochs: [Document.Epoch], _ current: UInt32?, _ path: String, _ field: (Document.Epoch) -> String?
  ) throws(CredentialError) -> EpochKeys {
    var list: [(epoch: UInt32, key: SecretBytes)] = []
    for epoch in epochs {
      guard let bytes = field(epoch).flatMap({ HexDigits.decode($0) }) else { throw damaged(path) }
      list.append((epoch.epoch, SecretBytes(bytes)))
    }
    return try EpochKeys(list, current: current)
  }

  private static func damaged(_ path: String) -> CredentialError {
    CredentialError(.keyFile, "\(path) is no key file of the kind that is needed here")
  }

  private static func write(_ document: Document, to path: String) throws(CredentialError) {
    do {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      try AtomicFile.write(path, [UInt8](try encoder.encode(document)) + [UInt8(ascii: "\n")], mode: 0o600)
    } catch { throw CredentialError(.keyFile, "cannot write \(path): \(error)") }
  }

  private static func read(_ path: String, kind: String) throws(CredentialError) -> Document {
    let bytes: [UInt8]?
    do {
      bytes = try AtomicFile.read(path, limit: sizeLimit)
      if bytes != nil { try checkPrivate(path) }
    } catch let error as CredentialError {
      throw error
    } catch { throw CredentialError(.keyFile, "cannot read \(path): \(error)") }
    guard let bytes else { throw CredentialError(.keyFile, "there is no key file \(path)") }
    guard let document = try? JSONDecoder().decode(Document.self, from: Data(bytes)), document.kind == kind else { throw damaged(path) }
    return document
  }

  private static func checkPrivate(_ path: String) throws {
    let attributes = try FileManager.default.attributesOfItem(atPath: path)
    guard let mode = attributes[.posixPermissions] as? NSNumber, mode.intValue & 0o077 == 0 else {
      throw CredentialError(.keyFile, "\(path) can be read by others: chmod 600 it")
    }
  }
}
