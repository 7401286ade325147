import BlockModel
import ClusterLogic
import Testing

@Suite struct ReceiptTallyTests {
  private static let id = block(partition: 0, bits: 0, tail: 7)

  private func layout(nodes: Int, zones: Int) throws -> Layout {
    try LayoutPlanner.plan(
      previous: .empty(partitionBits: 0, replicationFactor: 3, writeQuorum: 2),
      nodes: (0..<nodes).map { LayoutNode(id: node($0), zone: zone($0 % zones), weight: 1) }
    ).layout
  }

  private func disk(_ node: NodeID) -> DiskID { DiskID(high: 1, low: UInt64(node.text.utf8.last ?? 0)) }

  private func tally(
    _ nodes: [NodeID], _ layout: Layout, hashed: Bool = true, lost: [NodeID] = [], out: [NodeID] = []
  ) -> ReceiptTally {
    let receipts = nodes.enumerated().map { index, node in CopyReceipt(node: node, disk: disk(node), isHashed: hashed && index == 0) }
    return ReceiptTally(receipts, of: Self.id, layout: layout) { id in
      guard let place = layout.node(id) else { return nil }
      return ReceiptTally.Holder(
        zone: place.zone, disks: lost.contains(id) ? [DiskID(high: 9, low: 9)] : [disk(id)], isOut: out.contains(id))
    }
  }

  @Test("copies in two zones suffice, one of them hashed; a lost disk, a repeated node or an unknown one adds nothing")
  func sufficient() throws {
    let layout = try layout(nodes: 3, zones: 3)
    let (a, b) = (node(0), node(1))
    #expect(tally([a, b], layout).suffices(layout))
    #expect(!tally([a, b], layout, hashed: false).suffices(layout))
    #expect(!tally([a, b], layout, lost: [b]).suffices(layout))
    #expect(!tally([a, a], layout).suffices(layout))
    #expect(!tally([a, node(8)], layout).suffices(layout))
    #expect(tally([a, b], layout, out: [b]).suffices(layout), "unreachable is not missing")
  }

  @Test("before the first layout a write needs as many zones as any layout could want")
  func noLayout() {
    let empty = Layout.empty(partitionBits: 0, replicationFactor: 3, writeQuorum: 2)
    #expect(empty.zonesForCommit == 2)
    #expect(!tally([node(0)], empty).suffices(empty))
  }

  @Test("what is short of copies on the layout is noted with its strays, what has them all is not")
  func outcome() throws {
    let layout = try layout(nodes: 5, zones: 5)
    let replicas = layout.replicas(of: Self.id)
    let stray = try #require(layout.nodes.map(\.id).first { !replicas.contains($0) })
    #expect(tally(replicas, layout).outcome(nil, layout) == .nothing)
    #expect(tally([replicas[0], stray], layout).outcome(nil, layout) == .lacking(zones: 2, strays: [stray]))
    #expect(tally(replicas, layout, out: [replicas[2]]).outcome(nil, layout) == .lacking(zones: 3, strays: []))
    let shared = BlockStanding(size: 1, namespaces: 1, isMine: false, hasRepair: false, zones: nil)
    #expect(tally([replicas[0], stray], layout).outcome(shared, layout) == .nothing, "others refer to it, and it lacks nothing")
    let short = BlockStanding(size: 1, namespaces: 1, isMine: true, hasRepair: true, zones: 1)
    #expect(tally(replicas, layout).outcome(short, layout) == .healed && !short.isHad(layout))
  }
}
