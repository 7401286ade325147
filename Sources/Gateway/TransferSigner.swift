package import BlockModel
internal import ClusterLogic
package import Credentials
package import ServiceAPI

/// Turns a plan into signed URLs. Holds the view and the moment of one answer, so that all its URLs agree.
package struct TransferSigner: Sendable {
  /// URLs given out for one block to be put, each leading to another first node.
  package static let putCandidates = 3

  private let signer: CapabilitySigner
  private let planned: PlannedView
  private let zone: ZoneID?
  private let expires: Int64

  /// - Parameter zone: reads prefer nodes of this zone.
  package init(signer: CapabilitySigner, planned: PlannedView, zone: ZoneID?, now: WallTime, lifetime: Duration) {
    self.signer = signer
    self.planned = planned
    self.zone = zone
    expires = (now + lifetime).seconds
  }

  /// URLs under which the block may be put, each leading to another first node. Empty when no node takes blocks now.
  ///
  /// A replica's own signature is the same whichever node forwards to it, so each is made once for the block.
  package func put(_ block: BlockID, size: Int, upload: UploadID) -> [SignedTarget] {
    let plan = planned.planner.put(block)
    var replicas: [Capability.Forward] = []
    func forward(to node: NodeID, of capability: Capability) -> Capability.Forward {
      if let made = replicas.first(where: { $0.node == node }) { return made }
      let made = Capability.Forward(node: node, signature: signer.sign(capability.replica(at: node)))
      replicas.append(made)
      return made
    }
    return plan.candidates.prefix(TransferSigner.putCandidates).compactMap { first in
      var capability = capability(.put, block, size: size, node: first.node, upload: upload, quorum: plan.writeQuorum)
      capability.forwards = first.forwards.map { forward(to: $0, of: capability) }
      return target(capability)
    }
  }

  /// URLs under which the block may be read, best first.
  package func get(_ block: BlockID, size: Int, strays: [NodeID]) -> [SignedTarget] {
    planned.planner.get(block, strays: strays, callerZone: zone).compactMap { member in
      target(capability(.get, block, size: size, node: member.node, upload: UploadID(high: 0, low: 0), quorum: 0))
    }
  }

  private func target(_ capability: Capability) -> SignedTarget? {
    guard let member = planned.member(capability.node) else { return nil }
    return SignedTarget(node: member.node, zone: member.zone, url: signer.url(capability, address: member.address))
  }

  private func capability(
    _ operation: CapabilityOperation, _ block: BlockID, size: Int, node: NodeID, upload: UploadID, quorum: Int
  ) -> Capability {
    Capability(
      operation: operation, block: block, node: node, size: size, layoutVersion: planned.view.layout.version, gcEpoch: planned.view.gcEpoch,
      upload: upload, writeQuorum: quorum, forwards: [], expires: expires, keyEpoch: signer.currentEpoch)
  }
}

extension TransferSigner {
  package func sign(_ state: UploadState) -> UploadState {
    var state = state
    for index in state.missing.indices {
      let block = state.missing[index]
      state.missing[index].put = put(block.id, size: block.size, upload: state.uploadID)
    }
    return state
  }

  package func sign(_ plan: DownloadPlan) -> DownloadPlan {
    var plan = plan
    for index in plan.blocks.indices {
      let block = plan.blocks[index]
      plan.blocks[index].get = get(block.id, size: block.size, strays: block.strays ?? [])
      // Where a block lies off the layout is the cluster's business; the URL says all that a client needs.
      plan.blocks[index].strays = nil
    }
    return plan
  }
}
