import BlockModel
import ClusterLogic
import Testing

@Suite struct LayoutFenceTests {
  struct Write: CustomTestStringConvertible {
    var version: UInt64
    var isFromClient = true
    var seal: UInt64?
    var standing: LayoutFence.Standing?
    var refusal: LayoutFence.Refusal?
    var testDescription: String { "\(version), client \(isFromClient), seal \(seal ?? 0), \(String(describing: standing))" }
  }

  @Test(
    "a write of an older layout is refused where the partition was sealed, and by a stranger when a client sends it",
    arguments: [
      Write(version: 3, seal: 3, standing: .holder),
      Write(version: 2, seal: 3, standing: .holder, refusal: .sealed(against: 3)),
      Write(version: 2, isFromClient: false, seal: 3, standing: .holder, refusal: .sealed(against: 3)),
      Write(version: 2, seal: 0, standing: .stranger(layoutVersion: 3), refusal: .stranger(layoutVersion: 3)),
      Write(version: 2, isFromClient: false, seal: 0, standing: .stranger(layoutVersion: 3)),
      Write(version: 4, seal: 0, standing: .stranger(layoutVersion: 3)),
      Write(version: 1),
    ])
  func writes(write: Write) {
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkWrite(
        layoutVersion: write.version, isFromClient: write.isFromClient, seal: write.seal, standing: write.standing)
      #expect(write.refusal == nil)
    } catch { #expect(error == write.refusal) }
  }

  @Test("copies are given up under exactly the node's layout, and never by a replica")
  func retirement() throws {
    let nodes = (0..<4).map { LayoutNode(id: node($0), zone: zone($0), weight: 1) }
    let layout = try LayoutPlanner.plan(
      previous: .empty(partitionBits: 0, replicationFactor: 3, writeQuorum: 2), nodes: nodes
    ).layout
    let replica = layout.replicas(ofPartition: 0)[0]
    let former = try #require(nodes.map(\.id).first { !layout.replicas(ofPartition: 0).contains($0) })
    func refusal(_ node: NodeID, _ version: UInt64, bits: Int = 0, knowing layout: Layout?) -> LayoutFence.Refusal? {
      do throws(LayoutFence.Refusal) {
        try LayoutFence.checkRetirement(by: node, of: 0, bits: bits, layoutVersion: version, knowing: layout)
        return nil
      } catch { return error }
    }
    #expect(refusal(former, 1, knowing: layout) == nil)
    #expect(refusal(former, 2, knowing: layout) == .otherLayout && refusal(former, 1, knowing: nil) == .otherLayout)
    #expect(refusal(former, 1, bits: 4, knowing: layout) == .otherLayout)
    #expect(refusal(replica, 1, knowing: layout) == .replica)
  }

  @Test("what is asked in a newer collection epoch than the node has seen is not answered", arguments: [(4, true), (5, true), (6, false)])
  func question(epoch: UInt64, isAnswered: Bool) {
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkQuestion(gcEpoch: epoch, knownEpoch: 5)
      #expect(isAnswered)
    } catch { #expect(error == .behind && !isAnswered) }
  }

  @Test("a deletion older than what the node has seen is refused", arguments: [(3, 5, true), (4, 6, true), (2, 5, false), (3, 4, false)])
  func deletion(layout: UInt64, epoch: UInt64, isAllowed: Bool) {
    #expect(
      isAllowed
        == ((try? LayoutFence.checkDeletion(layoutVersion: layout, gcEpoch: epoch, knownLayout: 3, knownEpoch: 5)) != nil))
  }
}
