import BlockModel
import ClusterLogic
import TestSupport
import Testing

@Suite struct GarbageCollectorTests {
  private static let names = ["n1", "n2", "n3"].map { NodeID($0)! }

  /// Blocks on all three nodes: the first so many are wanted, the rest are not.
  private static func world(wanted: Int, unwanted: Int, cause: GarbageCause = .dereferenced, epoch: UInt64 = 4) -> (
    blocks: [BlockID], nodes: [NodeID: [BlockID: GarbageSimulation.Copy]], causes: [BlockID: GarbageCause]
  ) {
    var random = SeededRandom(seed: 7)
    let blocks = (0..<(wanted + unwanted)).map { _ in BlockID(words: (random.next(), random.next(), random.next(), random.next())) }
    let copies = Dictionary(uniqueKeysWithValues: blocks.map { ($0, GarbageSimulation.Copy(epoch: epoch)) })
    return (
      blocks, Dictionary(uniqueKeysWithValues: names.map { ($0, copies) }),
      Dictionary(uniqueKeysWithValues: blocks.dropFirst(wanted).map { ($0, cause) })
    )
  }

  @Test("what nothing wants goes from every node, what something wants stays, in whatever order answers come", arguments: 0..<20)
  func collects(round: Int) {
    var random = Seeds.random()
    let world = Self.world(wanted: 60, unwanted: 90)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished)
    for node in Self.names { #expect(simulation.held(node) == Set(world.blocks.prefix(60))) }
    #expect(simulation.ended?.deleted.dereferenced == 90 && simulation.ended?.deleted.copies == 270)
    #expect(simulation.ended?.deleted.bytes == 2700 && simulation.ended?.marked.held == 450 && simulation.rows == 0)
    #expect(simulation.mostCandidates <= 21, "a page of each of three nodes")
    #expect(simulation.mostWaiting <= 16, "\(simulation.mostWaiting) requests for three lanes of three nodes")
  }

  @Test("a record of the run's epoch stays, and so does what somebody begins to want before it is authorized")
  func late() {
    var random = Seeds.random()
    var world = Self.world(wanted: 20, unwanted: 40)
    for node in Self.names { world.nodes[node]![world.blocks[25]]!.epoch = 5 }
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    simulation.wantedLate = Set(world.blocks[30..<35])
    simulation.run(&random)
    let kept = Set(world.blocks.prefix(20) + [world.blocks[25]] + world.blocks[30..<35])
    for node in Self.names { #expect(simulation.held(node) == kept) }
  }

  @Test("nothing is asked before the grace has passed")
  func settles() {
    var random = Seeds.random()
    let world = Self.world(wanted: 1, unwanted: 1)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    for _ in 0..<599 {
      simulation.now += .milliseconds(100)
      simulation.feed(.timer)
      #expect(simulation.pending.allSatisfy { if case .save = $0 { true } else { false } })
    }
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished && simulation.now >= .zero + .seconds(60))
  }

  @Test("a plan says what would go and why, and changes nothing")
  func plan() {
    var random = Seeds.random()
    let world = Self.world(wanted: 30, unwanted: 10, cause: .abandoned)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes, purpose: .plan)
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished && simulation.ended?.marked.abandoned == 10 && simulation.ended?.marked.copies == 30)
    #expect(simulation.ended?.marked.bytes == 300 && simulation.authorized.isEmpty && simulation.deletesSent == 0)
    #expect(simulation.saved == nil && simulation.rows == 3)
  }

  @Test("more than a twentieth that no log accounts for ends the run before anything is deleted", arguments: [(5, true), (6, false)])
  func unlogged(count: Int, isFine: Bool) {
    var random = Seeds.random()
    let world = Self.world(wanted: 100 - count, unwanted: count, cause: .unlogged)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    simulation.run(&random)
    #expect(simulation.ended?.outcome == (isFine ? .finished : .stopped))
    #expect(simulation.held(Self.names[0]).count == (isFine ? 100 - count : 100))
    var run = GarbageRun(number: 2, epoch: 5, cause: "test", startedAt: .epoch, partitionCount: 16)
    run.acceptsUnlogged = true
    var accepted = GarbageSimulation(nodes: world.nodes, causes: world.causes, run: run)
    accepted.run(&random)
    #expect(accepted.ended?.outcome == .finished && accepted.held(Self.names[0]).count == 100 - count)
  }

  @Test("blocks without a log that come up after marking end the run too")
  func unloggedLate() {
    var random = Seeds.random()
    let world = Self.world(wanted: 0, unwanted: 100)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    while simulation.collector.run.phase != .deleting { simulation.step(&random) }
    for block in world.blocks { simulation.causes[block] = .unlogged }
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .stopped && simulation.held(Self.names[0]).count > 80)
  }

  @Test("a silent node is skipped: the others are collected, nothing is concluded from it, no row is forgotten")
  func silent() {
    var random = Seeds.random()
    let world = Self.world(wanted: 10, unwanted: 50)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    simulation.silent = [Self.names[1]]
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished && simulation.ended?.skipped == [Self.names[1]] && simulation.rows == 3)
    #expect(simulation.held(Self.names[0]).count == 10 && simulation.held(Self.names[1]).count == 60)
    #expect(simulation.held(Self.names[2]).count == 10)
  }

  @Test("a node that was not marked from the first partition on deletes nothing")
  func comesLate() {
    var random = Seeds.random()
    let world = Self.world(wanted: 10, unwanted: 50)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    simulation.feed(.nodes([Self.names[0], Self.names[1]], areAll: false))
    while simulation.collector.run.phase != .marking || simulation.collector.run.partition < 3 { simulation.step(&random) }
    simulation.feed(.nodes(Self.names, areAll: true))
    simulation.run(&random)
    #expect(
      simulation.ended?.outcome == .finished && simulation.held(Self.names[0]).count == 10 && simulation.held(Self.names[2]).count == 60)
    #expect(simulation.rows == 3)
  }

  @Test("with no node there is nothing to do, and nothing is forgotten")
  func nobody() {
    var random = Seeds.random()
    var simulation = GarbageSimulation(nodes: [:], causes: [:])
    simulation.feed(.nodes([], areAll: false))
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished && simulation.rows == 3)
  }

  @Test("a node that refuses is asked again a while later; one that keeps refusing ends the run", arguments: [(3, true), (4, false)])
  func refusals(times: Int, isFine: Bool) {
    var random = Seeds.random()
    let world = Self.world(wanted: 10, unwanted: 50)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    while simulation.collector.run.phase != .deleting { simulation.step(&random) }
    // All of it for one request: nothing else is asked of that node meanwhile.
    while !simulation.pending.contains(where: { if case .count(_, Self.names[2], _) = $0 { true } else { false } }) {
      simulation.step(&random)
    }
    simulation.refusing[Self.names[2]] = times
    simulation.run(&random)
    #expect(simulation.ended?.outcome == (isFine ? .finished : .stopped))
    #expect((simulation.held(Self.names[2]).count == 10) == isFine)
  }

  @Test("an error of the metadata ends the run", arguments: ["judge", "authorize", "forget", "save"])
  func metadata(failing: String) {
    var random = Seeds.random()
    let world = Self.world(wanted: 10, unwanted: 50)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    simulation.metadataFailsAt = failing
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .stopped)
    if failing != "forget" { #expect(simulation.deletesSent == 0 && simulation.held(Self.names[0]).count == 60) }
  }

  @Test("no delete is authorized faster than the rate")
  func pace() {
    var random = Seeds.random()
    let world = Self.world(wanted: 0, unwanted: 120)
    var configuration = GarbageSimulation.configuration
    configuration.blocksPerSecond = 8
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes, configuration: configuration)
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished)
    let first = simulation.authorizations[0].time
    var sum = 0
    for (time, blocks) in simulation.authorizations {
      #expect(Double(sum) <= 8 * (time - first).inSeconds + 0.001)
      sum += blocks
    }
    #expect(sum == 120)
  }

  @Test("another coordinator goes on where the run was recorded, and in the end all of it is gone", arguments: 0..<20)
  func resumes(round: Int) {
    var random = Seeds.random()
    let world = Self.world(wanted: 40, unwanted: 100)
    var configuration = GarbageSimulation.configuration
    configuration.saveInterval = .milliseconds(200)
    configuration.grace = .zero
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes, configuration: configuration)
    for _ in 0..<8 where simulation.ended == nil {
      simulation.run(&random, steps: Int.random(in: 0..<120, using: &random))
      guard simulation.ended == nil, let saved = simulation.saved else { continue }
      // What is authorized and not deleted yet is found again.
      var next = GarbageSimulation(
        nodes: simulation.nodes, causes: simulation.causes, configuration: configuration, run: saved.resumed)
      next.now = simulation.now
      simulation = next
    }
    simulation.run(&random)
    #expect(simulation.ended?.outcome == .finished)
    for node in Self.names { #expect(simulation.held(node) == Set(world.blocks.prefix(40))) }
  }

  @Test("a stopped run asks for nothing any more")
  func stopped() {
    var random = Seeds.random()
    let world = Self.world(wanted: 10, unwanted: 50)
    var simulation = GarbageSimulation(nodes: world.nodes, causes: world.causes)
    while simulation.collector.run.phase != .deleting { simulation.step(&random) }
    simulation.feed(.stop(reason: "an operator's wish"))
    #expect(simulation.ended?.outcome == .stopped && simulation.ended?.reason == "an operator's wish")
    let before = simulation.pending.count
    for effect in simulation.pending { if let answer = simulation.answer(effect) { simulation.feed(answer) } }
    simulation.feed(.timer)
    #expect(simulation.pending.count == before)
  }
}
