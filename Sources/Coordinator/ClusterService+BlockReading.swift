internal import BlockModel
internal import ClusterLogic
internal import HTTPTransport
package import MetadataStore
package import Platform
internal import ServiceAPI

/// Reading contents, which the coordinator does for the malware scanner alone.
extension ClusterService {
  private static let readDeadline: Duration = .seconds(30)
  private static let readConnectTimeout: Duration = .seconds(2)
  private static let readStallTimeout: Duration = .seconds(5)

  /// The block's bytes at the start of a buffer, hash verified; nil when no replica gives them now.
  package func read(_ block: ScanBlock) async -> IOBuffer? {
    guard block.size > 0, block.size <= Limits.blockBytes else { return nil }
    let buffer = IOBuffer(capacity: block.size)
    for target in readTargets(block) where !Task.isCancelled {
      let request = HTTPClientRequest(
        method: .get, url: client.url(.get, block: block.id, size: block.size, target), deadline: ClusterService.readDeadline,
        connectTimeout: ClusterService.readConnectTimeout, stallTimeout: ClusterService.readStallTimeout, responseBuffer: buffer,
        responseLimit: block.size)
      guard let response = try? await http.send(request), response.status == 200, response.count == block.size,
        BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<block.size))) == block.id
      else {
        log.warning("a node did not serve a block to be scanned", ["node": .string(target.node.text), "block": .string(block.id.hex)])
        continue
      }
      return buffer
    }
    return nil
  }

  private func readTargets(_ block: ScanBlock) -> [ClusterNodeClient.Target] {
    let targets = try? withState { state in
      let planner = TargetPlanner(
        layout: state.layout,
        members: state.nodes.map {
          PlanMember(node: $0.record.id, zone: $0.record.zone, liveness: state.liveness($0.record.id), isWritable: false)
        }, filling: state.filling)
      return planner.get(block.id, strays: block.strays, callerZone: nil).compactMap { member in
        state.node(member.node).map { state.target($0.record) }
      }
    }
    return targets ?? []
  }
}
