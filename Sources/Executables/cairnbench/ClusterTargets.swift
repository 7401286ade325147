import BlockModel
import ClusterLogic
import ControlClient
import Credentials
import HTTPTransport
import Platform
import ServiceAPI

/// Signs URLs for blocks of a running cluster, as its gateway would, from the cluster's own key file.
struct ClusterTargets: Sendable {
  let layout: Layout
  let addresses: [NodeID: String]
  let signer: CapabilitySigner
  let upload = UploadID.random()

  /// - Throws: `Problem` when the coordinator does not answer, `CredentialError` when the key file cannot be read.
  init(coordinator: String, token: String, keyFile: String, client: HTTPClient) async throws {
    let control = RemoteControlPlane(http: client, url: coordinator, token: token)
    let context = ControlContext(requestID: "bench")
    layout = try await control.perform(OperatorOperations.GetLayout(), context: context)
    let status = try await control.perform(OperatorOperations.GetStatus(), context: context)
    addresses = Dictionary(uniqueKeysWithValues: status.nodes.map { ($0.name, $0.address) })
    signer = CapabilitySigner(root: try KeyFile.readCluster(keyFile).secret.capabilityRoot)
  }

  /// A PUT at the block's first replica that forwards to the others.
  func put(_ block: BlockID, sizeBytes: Int) throws -> String {
    let replicas = layout.replicas(of: block)
    var capability = capability(.put, block, at: replicas[0], sizeBytes)
    capability.forwards = replicas.dropFirst().map { node in
      Capability.Forward(node: node, signature: signer.sign(capability.replica(at: node)))
    }
    return signer.url(capability, address: try address(replicas[0]))
  }

  func get(_ block: BlockID, sizeBytes: Int) throws -> String {
    let node = layout.replicas(of: block)[0]
    return signer.url(capability(.get, block, at: node, sizeBytes), address: try address(node))
  }

  private func capability(_ operation: CapabilityOperation, _ block: BlockID, at node: NodeID, _ sizeBytes: Int) -> Capability {
    Capability(
      operation: operation, block: block, node: node, size: sizeBytes, layoutVersion: layout.version, gcEpoch: 1, upload: upload,
      writeQuorum: operation == .put ? layout.writeQuorum : 0, forwards: [], expires: SystemTime().wall().seconds + 3600,
      keyEpoch: signer.currentEpoch)
  }

  private func address(_ node: NodeID) throws -> String {
    guard let address = addresses[node] else { throw Problem(.unavailable, "\(node) has no address yet") }
    return address
  }
}
