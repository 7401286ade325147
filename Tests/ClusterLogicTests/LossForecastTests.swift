import BlockModel
import ClusterLogic
import Testing

@Suite struct LossForecastTests {
  private static let blocksEach = 10

  private static func cluster(
    nodes: Int = 6, zones: Int = 3, disks: Int = 1, used: Int64 = 100, capacity: Int64 = 1000,
    change: (inout LossForecast.Cluster) -> Void = { _ in }
  ) throws -> LossForecast.Cluster {
    let list = (0..<nodes).map { LayoutNode(id: node($0), zone: zone($0 % zones), weight: 1) }
    let layout = try LayoutPlanner.plan(
      previous: .empty(partitionBits: 6, replicationFactor: 3, writeQuorum: 2), nodes: list
    ).layout
    let members = list.map { node in
      LossForecast.Node(
        id: node.id, zone: node.zone, isAlive: true,
        disks: (0..<disks).map { LossForecast.Disk(id: DiskID(high: 1, low: UInt64($0)), usedBytes: used, capacityBytes: capacity) })
    }
    var cluster = LossForecast.Cluster(
      layout: layout, filling: [], nodes: members, blocks: [Int](repeating: blocksEach, count: 64), repairBytesPerSecond: 10,
      outAfter: .seconds(600))
    change(&cluster)
    return cluster
  }

  @Test("without one zone of three each block has a copy in each of the others")
  func zoneLoss() throws {
    let forecast = LossForecast(.zone(zone(1)), of: try Self.cluster())
    #expect(forecast.lostNodes == [node(1), node(4)] && forecast.lostBlocks == 0 && forecast.lastCopyBlocks == 0)
    #expect(forecast.byCopies == [.init(left: 2, blocks: 640)] && forecast.byZones == [.init(left: 2, blocks: 640)])
    #expect(forecast.acceptsWrites && forecast.detectionSeconds == 600)
    #expect(forecast.capacityBefore == 6000 && forecast.capacityAfter == 4000 && forecast.usedBefore == 600)
    // Four nodes hold what six held, because two zones still take three copies; some replicas may change places for it besides.
    #expect((200...225).contains(forecast.bytesToCopy) && forecast.usedAfterRepair == 400 + forecast.bytesToCopy)
    #expect(forecast.copyingSeconds == Double(forecast.bytesToCopy) / 10 && forecast.copyingNodes == 4)
    #expect(abs(try #require(forecast.fullest).share - 0.15) < 0.01 && forecast.obstacles.isEmpty)
  }

  @Test("of one node what it held is at risk, and the others take it")
  func nodeLoss() throws {
    let cluster = try Self.cluster()
    let forecast = LossForecast(.node(node(2)), of: cluster)
    let held = (0..<64).count { cluster.layout.replicas(ofPartition: $0).contains(node(2)) }
    #expect(forecast.underReplicatedBlocks == held * Self.blocksEach && forecast.lostBlocks == 0)
    // Its zone has one other node, which alone can take its part.
    #expect(forecast.copyingNodes == 1 && forecast.bytesToCopy == 100 && forecast.fullest?.node == node(5))
  }

  @Test("what is down already counts: the same loss leaves less")
  func down() throws {
    let cluster = try Self.cluster(nodes: 3) { $0.nodes[0].isAlive = false }
    let forecast = LossForecast(.node(node(1)), of: cluster)
    #expect(forecast.lastCopyBlocks == 640 && !forecast.acceptsWrites)
    let both = try Self.cluster(nodes: 3) { cluster in
      cluster.nodes[0].isAlive = false
      cluster.nodes[2].isAlive = false
    }
    #expect(LossForecast(.node(node(1)), of: both).lostBlocks == 640)
  }

  @Test("a replica that is being filled is no copy, a source is")
  func filling() throws {
    var cluster = try Self.cluster(nodes: 4, zones: 4)
    let replicas = cluster.layout.replicas(ofPartition: 0)
    let stray = cluster.nodes.map(\.id).filter { !replicas.contains($0) }
    cluster.filling = [PlanFilling(partition: 0, targets: [replicas[0]], sources: [])]
    #expect(LossForecast(.node(replicas[1]), of: cluster).byCopies.first == .init(left: 1, blocks: 10))
    cluster.filling = [PlanFilling(partition: 0, targets: [replicas[0]], sources: stray)]
    #expect(LossForecast(.node(replicas[1]), of: cluster).lastCopyBlocks == 0)
  }

  @Test("of a disk, the share of its bytes is at risk, and its node makes it anew on the others", arguments: [2, 4])
  func diskLoss(disks: Int) throws {
    let cluster = try Self.cluster(nodes: 3, disks: disks)
    let forecast = LossForecast(.disk(DiskID(high: 1, low: 1), node(1)), of: cluster)
    let expected = 64 * Int((Double(Self.blocksEach) / Double(disks)).rounded())
    #expect(forecast.underReplicatedBlocks == expected && forecast.lostNodes.isEmpty)
    #expect(forecast.bytesToCopy == 100 && forecast.capacityAfter == forecast.capacityBefore - 1000)
  }

  @Test("a node's only disk is as good as the node")
  func onlyDisk() throws {
    let forecast = LossForecast(.disk(DiskID(high: 1, low: 0), node(1)), of: try Self.cluster())
    #expect(forecast.obstacles.count == 1 && forecast.bytesToCopy == 100)
  }

  @Test("what would not fit is said, and so is what would have fewer copies for want of nodes")
  func obstacles() throws {
    let full = LossForecast(.zone(zone(0)), of: try Self.cluster(used: 700))
    #expect(full.obstacles.contains { $0.contains("90 %") }, "\(full.obstacles)")
    let few = LossForecast(.node(node(0)), of: try Self.cluster(nodes: 3))
    #expect(few.obstacles.contains { $0.contains("2 copies instead of 3") } && few.bytesToCopy == 0)
    let none = LossForecast(.zone(zone(0)), of: try Self.cluster(nodes: 2, zones: 1))
    #expect(none.obstacles == ["No node would be left."] && none.lostBlocks == 640 && !none.acceptsWrites)
  }
}
