import BlockModel
import ClusterLogic
import ControlClient
import Credentials
import HTTPTransport
import Platform
import ServiceAPI

/// Signs receipts as the cluster's nodes would, under their own keys, for blocks that nobody stored: then a commit is all that is measured.
struct StandInNodes: Sendable {
  private let cluster: ClusterID
  private let layout: Layout
  private let signers: [NodeID: ReceiptSigner]
  private let disks: [NodeID: DiskID]

  /// - Throws: `Problem` when the coordinator does not answer, `CredentialError` when the key file cannot be read.
  init(_ environment: BenchEnvironment, keyFile: String, client: HTTPClient) async throws {
    let control = RemoteControlPlane(http: client, url: environment.coordinator, token: environment.operatorToken)
    let context = ControlContext(requestID: "bench")
    layout = try await control.perform(OperatorOperations.GetLayout(), context: context)
    let status = try await control.perform(OperatorOperations.GetStatus(), context: context)
    let (secret, cluster) = try KeyFile.readCluster(keyFile)
    self.cluster = cluster
    signers = Dictionary(
      uniqueKeysWithValues: status.nodes.map { ($0.name, ReceiptSigner(keys: secret.nodeKeys($0.name, cluster: cluster))) })
    disks = Dictionary(uniqueKeysWithValues: status.nodes.compactMap { node in node.disks.first.map { (node.name, $0.id) } })
  }

  /// One for each replica; the first says that it hashed the block.
  func receipts(_ block: BlockRef, _ upload: UploadID) -> [String] {
    layout.replicas(of: block.id).enumerated().compactMap { index, node in
      guard let signer = signers[node], let disk = disks[node] else { return nil }
      return signer.sign(
        Receipt(
          cluster: cluster, upload: upload, block: block.id, plainBytes: block.size, storedBytes: block.size, node: node, disk: disk,
          layoutVersion: layout.version, gcEpoch: 1, durability: .strict, verification: index == 0 ? .hashed : .tagged,
          keyEpoch: signer.keyEpoch))
    }
  }

  /// A block that no other one equals.
  static func newBlock(sizeBytes: Int) -> BlockRef {
    let id = SecureRandom.bytes(32).withUnsafeBytes { BlockID(loading: $0) }
    return BlockRef(id: id, size: sizeBytes)
  }
}
