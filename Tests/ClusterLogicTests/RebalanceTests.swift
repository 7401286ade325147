import BlockModel
import ClusterLogic
import Testing

@Suite("Moving replicas") struct RebalanceTests {
  private func isSettled(_ cluster: inout RepairSimulation) -> Bool { cluster.filling.isEmpty && cluster.rows.isEmpty }

  @Test("a drained node holds nothing, every copy was made before one was dropped, and writes went on", arguments: UInt64(1)...8)
  func drain(seed: UInt64) {
    var cluster = RepairSimulation(seed: seed, nodes: 6, zones: 3, blocks: 300)
    let drained = node(Int(seed % 6))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != drained })
    var writes = 0
    let isDone = cluster.run(seconds: 1200) { cluster in
      if writes < 200 {
        writes += 1
        cluster.write()
      }
      return writes == 200 && isSettled(&cluster)
    }
    #expect(isDone && cluster.violations.isEmpty, "seed \(seed): \(cluster.violations.prefix(3))")
    #expect(cluster.lacking.isEmpty && cluster.nodes[drained]!.blocks.isEmpty, "seed \(seed)")
  }

  @Test("lost messages, crashes and a change of mind lose nothing and end", arguments: UInt64(1)...6)
  func faults(seed: UInt64) {
    var cluster = RepairSimulation(seed: seed, nodes: 7, zones: 3, blocks: 200)
    cluster.lossPerMille = 100
    let all = cluster.layout.nodes
    let drained = node(Int(seed % 7))
    cluster.relayout(to: all.filter { $0.id != drained })
    var step = 0
    let isDone = cluster.run(seconds: 3000) { cluster in
      step += 1
      if step % 3 == 0 && step < 900 { cluster.write() }
      let other = node(Int((seed + 3) % 7))
      if step == 100 { cluster.crash(other) }
      if step == 300 { cluster.nodes[other]!.isUp = true }
      // The operator takes the node back, half drained, and drains another one.
      if step == 500 { cluster.relayout(to: all) }
      if step == 700 { cluster.relayout(to: all.filter { $0.id != other }) }
      return step > 900 && isSettled(&cluster)
    }
    #expect(isDone && cluster.violations.isEmpty, "seed \(seed): \(cluster.violations.prefix(3))")
    #expect(cluster.lacking.isEmpty, "seed \(seed)")
    #expect(cluster.nodes[node(Int((seed + 3) % 7))]!.blocks.isEmpty, "seed \(seed)")
  }

  @Test("paused, nothing moves; a lost node's blocks are repaired all the same; resumed, it ends")
  func pausing() {
    var cluster = RepairSimulation(seed: 3, nodes: 6, zones: 3, blocks: 300)
    cluster.deliver(.rebalance(isPaused: true, bytesPerSecond: 1 << 30))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(1) })
    #expect(!cluster.run(seconds: 30) { $0.copyCommands > 0 || !$0.retired.isEmpty })
    cluster.crash(node(2))
    cluster.liveness[node(2)] = .out
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(2) })
    #expect(cluster.run(seconds: 300) { cluster in cluster.copyCommands > 0 })
    cluster.deliver(.rebalance(isPaused: false, bytesPerSecond: 1 << 30))
    #expect(cluster.run(seconds: 300) { isSettled(&$0) })
    #expect(cluster.lacking.isEmpty && cluster.violations.isEmpty && cluster.nodes[node(1)]!.blocks.isEmpty)
  }

  @Test("pausing in the middle of a page forgets its answers, and what was copied is not copied again")
  func pausingOften() {
    var cluster = RepairSimulation(seed: 4, nodes: 6, zones: 3, blocks: 300)
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(1) })
    var step = 0
    let isDone = cluster.run(seconds: 600) { cluster in
      step += 1
      if step < 100 { cluster.deliver(.rebalance(isPaused: step < 99 && step % 7 < 2, bytesPerSecond: 1 << 30)) }
      return step > 100 && isSettled(&cluster)
    }
    #expect(isDone && cluster.lacking.isEmpty, "\(cluster.filling), \(cluster.scheduler.fillsLeft)")
    #expect(cluster.violations.isEmpty)
  }

  @Test("moving keeps to its rate")
  func rate() {
    var cluster = RepairSimulation(seed: 5, nodes: 6, zones: 3, blocks: 200)
    cluster.deliver(.rebalance(isPaused: false, bytesPerSecond: 1 << 20))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(1) })
    _ = cluster.run(seconds: 10) { _ in false }
    // A second's worth at once, and debt of one command.
    #expect(cluster.scheduler.movedBytes > 5 << 20 && cluster.scheduler.movedBytes <= 11 << 20 + 16 << 20)
  }

  @Test("a source that misses one block at a new replica gets it there before it gives it up")
  func lateBlock() {
    var cluster = RepairSimulation(seed: 6, nodes: 6, zones: 3, blocks: 50)
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(0) })
    #expect(cluster.run(seconds: 300) { $0.filling.contains { $0.targets.isEmpty } })
    // Uploaded under the old layout just before the seal, and its receipts are on their way: metadata knows nothing of it.
    let row = cluster.filling.first { !$0.targets.isEmpty || !$0.sources.isEmpty }!
    let late = block(partition: row.partition, bits: 4, tail: 7)
    if cluster.nodes[node(0)]!.seals[row.partition] == nil { cluster.nodes[node(0)]!.blocks.insert(late) }
    #expect(cluster.run(seconds: 300) { $0.filling.isEmpty })
    #expect(cluster.violations.isEmpty && cluster.nodes[node(0)]!.blocks.isEmpty)
    if cluster.retired.contains(late) {
      #expect(cluster.layout.replicas(of: late).allSatisfy { cluster.nodes[$0]!.blocks.contains(late) })
    }
  }

  @Test("what a source acknowledges while it is let go stays until its receipts were voided, and goes then", arguments: UInt64(1)...8)
  func receipts(seed: UInt64) {
    var cluster = RepairSimulation(seed: seed, nodes: 6, zones: 3, blocks: 100)
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(0) })
    var acknowledged = 0
    let isDone = cluster.run(seconds: 1200) { cluster in
      // Clients put blocks again that the source still has, or has no more: a node that they wanted does not answer them just then.
      let late = cluster.live.filter { cluster.nodes[node(0)]!.seals[$0.id.partition(bits: 4)] != nil }
      if acknowledged < 60, !late.isEmpty {
        acknowledged += 1
        cluster.acknowledge(late[acknowledged * 7 % late.count].id, at: node(0))
      }
      cluster.sweep(node(0))
      return acknowledged == 60 && isSettled(&cluster) && cluster.nodes[node(0)]!.blocks.isEmpty
    }
    #expect(isDone && cluster.violations.isEmpty, "seed \(seed): \(cluster.violations.prefix(3)), \(cluster.filling), \(acknowledged)")
    #expect(cluster.lacking.isEmpty && cluster.nodes[node(0)]!.blocks.isEmpty && !cluster.retired.isEmpty, "seed \(seed)")
  }

  @Test("a damaged copy at a new replica is found before the old one goes")
  func damaged() {
    var cluster = RepairSimulation(seed: 7, nodes: 4, zones: 4, blocks: 100)
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(0) })
    var hasDamaged = false
    let isDone = cluster.run(seconds: 300) { cluster in
      if !hasDamaged,
        let row = cluster.filling.first(where: { !$0.arrivals.isEmpty && cluster.nodes[node(0)]!.seals[$0.partition] == nil }),
        let block = cluster.nodes[row.arrivals[0]]!.blocks.sorted().first(where: { $0.partition(bits: 4) == row.partition })
      {
        cluster.nodes[row.arrivals[0]]!.damaged.insert(block)
        hasDamaged = true
      }
      return isSettled(&cluster)
    }
    #expect(hasDamaged && isDone && cluster.lacking.isEmpty && cluster.violations.isEmpty)
  }
}
