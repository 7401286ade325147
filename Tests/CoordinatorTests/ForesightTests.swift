import BlockModel
import ClusterLogic
import Coordinator
import ServiceAPI
import Testing

@Suite("What operators ask ahead, and what they set") struct ForesightTests {
  private func started() async throws -> FakeCluster {
    let cluster = FakeCluster(nodes: 6)
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    _ = cluster.store(100, seed: 3)
    // Counts are up to a second old.
    for _ in 0..<12 { try await cluster.step() }
    return cluster
  }

  private func problem(_ body: () async throws -> Void) async -> Problem.Kind? {
    do {
      try await body()
      return nil
    } catch { return (error as? Problem)?.kind }
  }

  @Test("a loss is forecast from the cluster as it is, and changes nothing")
  func simulate() async throws {
    let cluster = try await started()
    let before = cluster.service.view
    let zoneLoss = try await cluster.perform(OperatorOperations.SimulateLoss(zone: zone(0), node: nil, disk: nil))
    #expect(zoneLoss.referencedBlocks == 100 && zoneLoss.lostBlocks == 0 && zoneLoss.underReplicatedBlocks == 100)
    #expect(zoneLoss.byZones == [.init(left: 2, blocks: 100)] && zoneLoss.acceptsWrites && zoneLoss.repairRateSource == .configured)
    let nodeLoss = try await cluster.perform(OperatorOperations.SimulateLoss(zone: nil, node: node(1), disk: nil))
    #expect(nodeLoss.lostNodes == [node(1)] && (1..<100).contains(nodeLoss.underReplicatedBlocks))
    #expect(cluster.service.view == before)
  }

  @Test("what is not there, and what is not one thing, is refused")
  func refusals() async throws {
    let cluster = try await started()
    let unknown = OperatorOperations.SimulateLoss(zone: nil, node: node(99), disk: nil)
    #expect(await problem { _ = try await cluster.perform(unknown) } == .notFound)
    let nowhere = OperatorOperations.SimulateLoss(zone: zone(9), node: nil, disk: nil)
    #expect(await problem { _ = try await cluster.perform(nowhere) } == .notFound)
    for disk in ["", "zzzz", "ffffffff"] {
      let request = OperatorOperations.SimulateLoss(zone: nil, node: nil, disk: disk)
      #expect(await problem { _ = try await cluster.perform(request) } == .notFound)
    }
    let both = OperatorOperations.SimulateLoss(zone: zone(0), node: node(1), disk: nil)
    #expect(await problem { _ = try await cluster.perform(both) } == .malformed)
  }

  @Test("durability is measured as nodes go out and their copies are made anew, and comes with its inputs")
  func durability() async throws {
    let cluster = try await started()
    let calm = try await cluster.perform(OperatorOperations.GetDurability())
    #expect(calm.detections.count == 0 && calm.underReplicatedBlockSeconds == 0 && calm.copies == 3 && calm.referencedBlocks == 100)
    #expect(calm.inputs.map(\.cause) == [.disk, .node, .zone, .rot] && calm.nines != nil && calm.scrubAgeSeconds == nil)
    cluster.kill(node(1))
    #expect(try await cluster.run { cluster.service.view!.layout.node(node(1)) == nil })
    #expect(try await cluster.run { cluster.service.view!.filling.isEmpty })
    for _ in 0..<5 { try await cluster.step() }
    let after = try await cluster.perform(OperatorOperations.GetDurability())
    #expect(after.detections.count == 1 && (after.detections.medianSeconds ?? 0) > 0)
    #expect(after.underReplicatedBlockSeconds > 0 && after.mostUnderReplicatedBlocks > 0)
    #expect(after.inputs.first { $0.cause == .node }?.detectionSource == .measured)
    let worse = try await cluster.perform(OperatorOperations.GetDurability(diskPerYear: 1))
    #expect(worse.lossPerBlockYear > after.lossPerBlockYear)
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.GetDurability(diskPerYear: -1)) } == .malformed)
  }

  @Test("a setting counts at once and over restarts, until it is taken back")
  func settings() async throws {
    let cluster = try await started()
    func value(_ report: TuningReport, _ key: String) -> TuningReport.Entry? { report.settings.first { $0.key == key } }
    let given = try await cluster.perform(OperatorOperations.GetTuning())
    #expect(given.settings.count == ClusterTuning.Key.allCases.count && given.settings.allSatisfy { !$0.isSet })
    let set = try await cluster.perform(OperatorOperations.SetTuning(key: "repair-bytes-per-second", value: 5 << 20))
    #expect(value(set, "repair-bytes-per-second") == .init(key: "repair-bytes-per-second", value: 5 << 20, isSet: true))
    let forecast = try await cluster.perform(OperatorOperations.SimulateLoss(zone: nil, node: node(1), disk: nil))
    #expect(forecast.repairBytesPerSecond == 5 << 20)
    try await cluster.restart()
    #expect(value(try await cluster.perform(OperatorOperations.GetTuning()), "repair-bytes-per-second")?.value == 5 << 20)
    let taken = try await cluster.perform(OperatorOperations.SetTuning(key: "repair-bytes-per-second", value: nil))
    #expect(taken == given)
    #expect(await problem { _ = try await cluster.perform(OperatorOperations.SetTuning(key: "colour", value: 1)) } == .malformed)
    let zero = OperatorOperations.SetTuning(key: "repair-bytes-per-second", value: 0)
    #expect(await problem { _ = try await cluster.perform(zero) } == .malformed)
    let early = OperatorOperations.SetTuning(key: "suspect-after-seconds", value: 3600)
    #expect(await problem { _ = try await cluster.perform(early) } == .malformed)
  }
}
