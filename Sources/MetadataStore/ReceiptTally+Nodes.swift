internal import BlockModel
internal import ClusterLogic

extension ReceiptTally {
  init(_ receipts: [CopyReceipt], of block: BlockID, layout: Layout, nodes: [NodeID: NodeRecord]) {
    self.init(receipts, of: block, layout: layout) { id in
      nodes[id].map { Holder(zone: $0.zone, disks: $0.disks, isOut: $0.isOut) }
    }
  }
}
