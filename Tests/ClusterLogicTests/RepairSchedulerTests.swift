import BlockModel
import ClusterLogic
import Testing

@Suite struct RepairSchedulerTests {
  @Test("the blocks of a node that is out get their third copy elsewhere, each copied once")
  func nodeOut() {
    var cluster = RepairSimulation(seed: 1, nodes: 6, zones: 3, blocks: 600)
    cluster.crash(node(2))
    let lost = cluster.nodes[node(2)]!.blocks.count
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(2) })
    #expect(cluster.run(seconds: 600) { $0.filling.isEmpty && $0.scheduler.fillsLeft == 0 })
    #expect(cluster.lacking.isEmpty && cluster.violations.isEmpty)
    #expect(cluster.copiedItems == lost)
    #expect(cluster.mostInFlight.values.allSatisfy { $0 <= 2 })
  }

  @Test("a node that comes back is filled by existence checks: what it has is not copied again")
  func nodeBack() {
    var cluster = RepairSimulation(seed: 2, nodes: 6, zones: 3, blocks: 600)
    let before = cluster.layout.nodes
    cluster.crash(node(2))
    cluster.relayout(to: before.filter { $0.id != node(2) })
    _ = cluster.run(seconds: 600) { $0.filling.isEmpty }
    cluster.nodes[node(2)]!.isUp = true
    cluster.copiedItems = 0
    let held = cluster.nodes.mapValues(\.blocks)
    cluster.relayout(to: before)
    #expect(cluster.run(seconds: 600) { $0.filling.isEmpty })
    #expect(cluster.lacking.isEmpty && cluster.violations.isEmpty)
    let needed = cluster.live.reduce(0) { sum, block in
      sum + cluster.layout.replicas(of: block.id).count { !held[$0]!.contains(block.id) }
    }
    #expect(cluster.copiedItems == needed)
  }

  @Test("a node that missed nothing is filled by digests alone; one that missed a block lists that partition only")
  func digests() {
    var cluster = RepairSimulation(seed: 12, nodes: 6, zones: 3, blocks: 600)
    cluster.filling = LayoutTransition.refilling(node(2), in: cluster.layout, filling: [])
    let fills = cluster.filling.count
    let missed = cluster.nodes[node(2)]!.blocks.sorted()[7]
    cluster.nodes[node(2)]!.blocks.remove(missed)
    cluster.tellView()
    #expect(cluster.run(seconds: 600) { $0.filling.isEmpty })
    #expect(cluster.lacking.isEmpty && cluster.violations.isEmpty && cluster.firstCopied == [missed])
    #expect(cluster.lists == 1 && cluster.scheduler.fillsByDigest == fills - 1, "\(cluster.lists) lists, \(fills) fills")
  }

  @Test("a row is cleared when all replicas confirmed a copy, fetched from its stray")
  func rows() {
    var cluster = RepairSimulation(seed: 3, nodes: 6, zones: 3, blocks: 100)
    for block in cluster.live.prefix(40) {
      let replicas = cluster.layout.replicas(of: block.id)
      let stray = cluster.layout.nodes.map(\.id).first { !replicas.contains($0) }!
      for replica in replicas { cluster.nodes[replica]!.blocks.remove(block.id) }
      cluster.nodes[stray]!.blocks.insert(block.id)
      cluster.rows[block.id] = [stray]
    }
    cluster.deliver(.repairsWaiting)
    #expect(cluster.run(seconds: 120) { $0.rows.isEmpty })
    #expect(cluster.lacking.isEmpty && cluster.violations.isEmpty)
  }

  @Test("a row whose replica does not answer stays until it does")
  func unreachable() {
    var cluster = RepairSimulation(seed: 4, nodes: 3, zones: 3, blocks: 20)
    for block in cluster.live { cluster.rows[block.id] = [] }
    cluster.crash(node(1))
    cluster.deliver(.repairsWaiting)
    #expect(!cluster.run(seconds: 60) { $0.rows.isEmpty })
    #expect(cluster.rows.count == 20 && cluster.copyCommands == 0, "not answering is not missing")
    cluster.nodes[node(1)]!.isUp = true
    #expect(cluster.run(seconds: 60) { $0.rows.isEmpty })
  }

  @Test("a full recheck finds rotten and missing copies and replaces them")
  func recheck() {
    var cluster = RepairSimulation(seed: 5, nodes: 6, zones: 3, blocks: 300)
    for block in cluster.live.prefix(30) { cluster.nodes[cluster.layout.replicas(of: block.id)[0]]!.damaged.insert(block.id) }
    for block in cluster.live.suffix(30) { cluster.nodes[cluster.layout.replicas(of: block.id)[1]]!.blocks.remove(block.id) }
    cluster.deliver(.recheck(id: 9, .everything))
    #expect(cluster.run(seconds: 300) { $0.scheduler.recheck?.isRunning == false })
    #expect(cluster.lacking.isEmpty)
    let progress = cluster.scheduler.recheck!
    #expect(progress.blocksCopied == 60 && progress.failures.isEmpty && progress.partitionsDone == 16 && progress.partitionsTotal == 16)
    #expect(progress.blocksChecked >= 900)
  }

  @Test("a recheck with a node down waits until it is out and its blocks have their copies again")
  func recheckWaits() {
    var cluster = RepairSimulation(seed: 6, nodes: 6, zones: 3, blocks: 200)
    cluster.crash(node(0))
    cluster.liveness[node(0)] = .suspect
    cluster.tellView()
    cluster.deliver(.recheck(id: 1, .everything))
    #expect(!cluster.run(seconds: 60) { $0.scheduler.recheck?.isRunning == false })
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(0) })
    #expect(cluster.run(seconds: 300) { $0.scheduler.recheck?.isRunning == false })
    #expect(cluster.lacking.isEmpty && cluster.scheduler.recheck!.failures.isEmpty)
  }

  @Test("a recheck ends and names the node when a node that is out stays in the layout, and is clean once the layout goes on without it")
  func recheckWithoutLayout() {
    var cluster = RepairSimulation(seed: 13, nodes: 3, zones: 3, blocks: 100)
    cluster.crash(node(1))
    cluster.liveness[node(1)] = .out
    cluster.tellView()
    cluster.deliver(.recheck(id: 1, .everything))
    #expect(!cluster.run(seconds: 20) { $0.scheduler.recheck?.isRunning == false }, "the layout may yet change")
    #expect(cluster.run(seconds: 40) { $0.scheduler.recheck?.isRunning == false })
    let ended = cluster.scheduler.recheck!
    #expect(ended.partitionsDone == 16 && ended.failures.count == 2 && ended.failures[0].contains(node(1).text), "\(ended.failures)")
    #expect(cluster.violations.isEmpty && cluster.copyCommands == 0)
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(1) })
    cluster.deliver(.recheck(id: 2, .everything))
    #expect(cluster.run(seconds: 60) { $0.scheduler.recheck?.isRunning == false })
    #expect(cluster.lacking.isEmpty && cluster.scheduler.recheck!.failures.isEmpty)
  }

  @Test("a recheck that waits for slow copies goes on for as long as they come")
  func recheckOfSlowCopies() {
    var configuration = RepairScheduler.Configuration()
    configuration.bytesPerSecond = 100 << 10
    var cluster = RepairSimulation(seed: 14, nodes: 6, zones: 3, blocks: 100, configuration: configuration)
    cluster.crash(node(2))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(2) })
    cluster.deliver(.recheck(id: 1, .everything))
    let start = cluster.now
    #expect(cluster.run(seconds: 3600) { $0.scheduler.recheck?.isRunning == false })
    #expect((cluster.now - start).inSeconds > 60, "it was not slow")
    #expect(cluster.lacking.isEmpty && cluster.scheduler.recheck!.failures.isEmpty, "\(cluster.scheduler.recheck!.failures)")
  }

  @Test("a recheck of one node that does not answer names it once")
  func recheckOfSilentNode() {
    var cluster = RepairSimulation(seed: 15, nodes: 6, zones: 3, blocks: 100)
    cluster.crash(node(2))
    cluster.liveness[node(2)] = .suspect
    cluster.tellView()
    cluster.deliver(.recheck(id: 1, .node(node(2))))
    #expect(cluster.run(seconds: 120) { $0.scheduler.recheck?.isRunning == false })
    #expect(cluster.scheduler.recheck!.failures.count == 1 && cluster.scheduler.recheck!.failures[0].contains(node(2).text))
  }

  @Test("a block that no node has is reported, and does not hold the recheck up for ever")
  func lost() {
    var cluster = RepairSimulation(seed: 7, nodes: 6, zones: 3, blocks: 50)
    for id in cluster.layout.nodes.map(\.id) { cluster.nodes[id]!.blocks.remove(cluster.live[7].id) }
    cluster.deliver(.recheck(id: 1, .everything))
    #expect(cluster.run(seconds: 300) { $0.scheduler.recheck?.isRunning == false })
    #expect(cluster.scheduler.recheck!.failures.count == 1)
    #expect(cluster.scheduler.recheck!.failures[0].contains(cluster.live[7].id.hex))
  }

  @Test("a copy that nobody knew of is found before a block is given up")
  func search() {
    var cluster = RepairSimulation(seed: 8, nodes: 9, zones: 3, blocks: 50)
    let block = cluster.live[3].id
    let replicas = cluster.layout.replicas(of: block)
    let other = cluster.layout.nodes.map(\.id).first { !replicas.contains($0) }!
    for id in replicas { cluster.nodes[id]!.blocks.remove(block) }
    cluster.nodes[other]!.blocks.insert(block)
    cluster.deliver(.recheck(id: 1, .everything))
    #expect(cluster.run(seconds: 300) { $0.scheduler.recheck?.isRunning == false })
    #expect(cluster.lacking.isEmpty && cluster.scheduler.recheck!.failures.isEmpty)
  }

  @Test("under the brake only blocks with one survivor are copied")
  func brake() {
    var cluster = RepairSimulation(seed: 9, nodes: 6, zones: 3, blocks: 100)
    let (single, double) = (cluster.live[0].id, cluster.live[1].id)
    for replica in cluster.layout.replicas(of: single).prefix(2) { cluster.nodes[replica]!.blocks.remove(single) }
    cluster.nodes[cluster.layout.replicas(of: double)[0]]!.blocks.remove(double)
    for block in [single, double] { cluster.rows[block] = [] }
    cluster.isBraked = true
    cluster.tellView()
    cluster.deliver(.repairsWaiting)
    #expect(cluster.run(seconds: 30) { $0.rows[single] == nil })
    _ = cluster.run(seconds: 30) { _ in false }
    #expect(cluster.rows[double] != nil && cluster.lacking == [double])
  }

  @Test("partitions with fewer surviving zones are copied first")
  func priority() {
    var configuration = RepairScheduler.Configuration()
    configuration.activePasses = 1
    var cluster = RepairSimulation(seed: 10, nodes: 9, zones: 3, blocks: 400, configuration: configuration)
    cluster.crash(node(0))
    cluster.crash(node(1))
    let atRisk = Set((0..<16).filter { [node(0), node(1)].allSatisfy(cluster.layout.replicas(ofPartition: $0).contains) })
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(0) && $0.id != node(1) })
    _ = cluster.run(seconds: 900) { $0.filling.isEmpty }
    let order = cluster.firstCopied.map { atRisk.contains($0.partition(bits: 4)) }
    #expect(!atRisk.isEmpty && order.first == true)
    let lastAtRisk = order.lastIndex(of: true)!
    #expect(order[...lastAtRisk].count { !$0 } <= order.count / 3, "\(atRisk.count) partitions at risk")
  }

  @Test("copying keeps to its rate")
  func throttle() {
    var configuration = RepairScheduler.Configuration()
    configuration.bytesPerSecond = 4 << 20
    var cluster = RepairSimulation(seed: 11, nodes: 6, zones: 3, blocks: 400, configuration: configuration)
    cluster.crash(node(2))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(2) })
    let start = cluster.now
    #expect(cluster.run(seconds: 900) { $0.filling.isEmpty })
    let seconds = (cluster.now - start).inSeconds
    // One second's worth may be in the bucket, and each target may be ahead by one command.
    #expect(Double(cluster.scheduler.copiedBytes) <= (seconds + 1) * Double(4 << 20) + Double(12 * 16 << 20))
    #expect(seconds > 8)
  }

  @Test("a large cluster works on more partitions at once, and its rate grows with the nodes that live")
  func scale() throws {
    var configuration = RepairScheduler.Configuration()
    configuration.bytesPerSecondPerNode = 10
    configuration.bytesPerSecond = 1000
    #expect(configuration.bytesPerSecond(liveNodes: 6) == 1000 && configuration.bytesPerSecond(liveNodes: 500) == 5000)
    configuration.moveBytesPerSecond = 100
    configuration.moveBytesPerSecondPerNode = 1
    #expect(configuration.moveBytesPerSecond(liveNodes: 6) == 100 && configuration.moveBytesPerSecond(liveNodes: 500) == 500)
    configuration.moveBytesPerSecondPerNode = .max
    #expect(configuration.moveBytesPerSecond(liveNodes: 500) == 5000, "moving takes part of what repair may")
    for (count, expected) in [(16, 16), (400, 50)] {
      let nodes = (0..<count).map { LayoutNode(id: node($0), zone: zone($0 % 4), weight: 1) }
      let layout = try LayoutPlanner.plan(previous: .empty(partitionBits: 12, replicationFactor: 3, writeQuorum: 2), nodes: nodes).layout
      let filling = (0..<4096).map { PlanFilling(partition: $0, targets: [layout.replicas(ofPartition: $0)[0]], sources: []) }
      let members = nodes.map { PlanMember(node: $0.id, zone: $0.zone, liveness: .alive, isWritable: true) }
      var scheduler = RepairScheduler(view: RepairView(layout: layout, filling: filling, members: members, isBraked: false))
      #expect(scheduler.step(.timer, now: .zero).count == expected, "\(count) nodes")
    }
  }

  @Test("what a node said counts for the collection epoch in which the walk began, and not for a later one")
  func epochOfTheWalk() throws {
    let nodes = (0..<3).map { LayoutNode(id: node($0), zone: zone($0), weight: 1) }
    let layout = try LayoutPlanner.plan(previous: .empty(partitionBits: 0, replicationFactor: 3, writeQuorum: 2), nodes: nodes).layout
    let members = nodes.map { PlanMember(node: $0.id, zone: $0.zone, liveness: .alive, isWritable: true) }
    var view = RepairView(
      layout: layout, filling: [PlanFilling(partition: 0, targets: [node(2)], sources: [])], members: members, isBraked: false, gcEpoch: 5)
    var scheduler = RepairScheduler(view: view)
    var question: RepairRequest?
    for effect in scheduler.step(.timer, now: .zero) { if case .compare(let request, _, _, _) = effect { question = request } }
    view.gcEpoch = 6
    _ = scheduler.step(.view(view), now: .zero)
    let effects = scheduler.step(.compared(try #require(question), true), now: .zero)
    #expect(effects.contains { if case .markFilled(_, 0, node(2), _, 5) = $0 { true } else { false } }, "\(effects)")
  }

  @Test("a former replica lets its blocks go however many collections end while it does", arguments: UInt64(1)...10)
  func collectionsWhileRetiring(seed: UInt64) {
    var configuration = RepairScheduler.Configuration()
    configuration.retireBlocks = 4
    var cluster = RepairSimulation(seed: seed, nodes: 6, zones: 3, blocks: 300, bits: 2, configuration: configuration)
    let leaving = node(Int(seed % 6))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != leaving })
    for _ in 0..<40 {
      cluster.collect(cluster.live.filter { _ in Int.random(in: 0..<3, using: &cluster.random) == 0 }.map(\.id))
      _ = cluster.run(seconds: 1) { $0.filling.isEmpty }
    }
    #expect(cluster.run(seconds: 900) { $0.filling.isEmpty })
    #expect(cluster.nodes[leaving]!.blocks.isEmpty && cluster.lacking.isEmpty && cluster.violations.isEmpty)
    #expect(cluster.refusedVoids > 0, "no collection was in the way")
  }

  @Test("a rate that an operator sets counts at once")
  func limit() {
    var cluster = RepairSimulation(seed: 11, nodes: 6, zones: 3, blocks: 400)
    cluster.deliver(.limit(bytesPerSecond: 4 << 20, bytesPerSecondPerNode: 0))
    cluster.crash(node(2))
    cluster.relayout(to: cluster.layout.nodes.filter { $0.id != node(2) })
    let start = cluster.now
    #expect(cluster.run(seconds: 900) { $0.filling.isEmpty })
    #expect((cluster.now - start).inSeconds > 8)
  }

  @Test(
    "with loss, crashes, returns and layout changes all blocks end with all copies, and nothing unverified counts",
    arguments: UInt64(1)...60)
  func random(seed: UInt64) {
    var cluster = RepairSimulation(seed: seed, nodes: 9, zones: 3, blocks: 150)
    cluster.lossPerMille = 100
    let all = cluster.layout.nodes
    var out: [NodeID] = []
    for _ in 0..<6 {
      switch Int.random(in: 0..<4, using: &cluster.random) {
      case 0 where out.count < 2:
        // One zone's nodes at most are ever away, so that no block is lost.
        let candidates = all.map(\.id).filter { id in !out.contains(id) && all.first { $0.id == id }!.zone == zone(Int(seed % 3)) }
        let victim = candidates[Int.random(in: 0..<candidates.count, using: &cluster.random)]
        out.append(victim)
        cluster.crash(victim)
        _ = cluster.run(seconds: Int.random(in: 0...3, using: &cluster.random)) { _ in false }
        cluster.liveness[victim] = .suspect
        cluster.tellView()
        _ = cluster.run(seconds: Int.random(in: 0...5, using: &cluster.random)) { _ in false }
        cluster.liveness[victim] = .out
        cluster.relayout(to: all.filter { !out.contains($0.id) })
      case 1 where !out.isEmpty:
        let back = out.removeFirst()
        cluster.nodes[back]!.isUp = true
        cluster.liveness[back] = .alive
        cluster.relayout(to: all.filter { !out.contains($0.id) })
      case 2:
        let block = cluster.live[Int.random(in: 0..<cluster.live.count, using: &cluster.random)].id
        let replicas = cluster.layout.replicas(of: block)
        let isWhole = replicas.allSatisfy { cluster.nodes[$0]!.blocks.contains(block) && cluster.nodes[$0]!.isUp }
        if isWhole && out.isEmpty && cluster.filling.isEmpty {
          cluster.nodes[replicas[0]]!.blocks.remove(block)
          cluster.rows[block] = []
          cluster.deliver(.repairsWaiting)
        }
      default: break
      }
      _ = cluster.run(seconds: Int.random(in: 0...8, using: &cluster.random)) { _ in false }
    }
    cluster.lossPerMille = 0
    cluster.deliver(.recheck(id: seed, .everything))
    let isDone = cluster.run(seconds: 900) { $0.scheduler.recheck?.isRunning == false && $0.filling.isEmpty && $0.rows.isEmpty }
    #expect(isDone, "seed \(seed): \(cluster.scheduler.recheck!) \(cluster.filling.count) filling, \(cluster.rows.count) rows")
    #expect(cluster.lacking.isEmpty, "seed \(seed)")
    #expect(cluster.violations.isEmpty, "seed \(seed): \(cluster.violations.prefix(3))")
    #expect(cluster.scheduler.recheck!.failures.isEmpty, "seed \(seed): \(cluster.scheduler.recheck!.failures)")
  }
}
