import BlockModel
import ClusterLogic
import Testing

@Suite struct DurabilityModelTests {
  private static func hazard(_ perYear: Double, hours: Int) -> DurabilityModel.Hazard {
    DurabilityModel.Hazard(cause: .disk, perYear: perYear, detection: .seconds(0), repair: .seconds(hours * 3600))
  }

  @Test(
    "the loss rate is n·λ·qⁿ⁻¹",
    arguments: [(1, 0.01, 24, 0.01), (2, 0.01, 24, 2 * 0.01 * 0.01 * 24 / 8766), (3, 0.04, 8766, 3 * 0.04 * 0.04 * 0.04)])
  func formula(copies: Int, perYear: Double, hours: Int, expected: Double) {
    let loss = DurabilityModel(copies: copies, hazards: [Self.hazard(perYear, hours: hours)]).lossPerBlockYear
    #expect(abs(loss / expected - 1) < 0.01, "\(loss), expected \(expected)")
  }

  @Test("hazards add up in λ and in q")
  func sums() {
    let one = DurabilityModel(copies: 3, hazards: [Self.hazard(0.02, hours: 10)])
    let two = DurabilityModel(copies: 3, hazards: [Self.hazard(0.01, hours: 10), Self.hazard(0.01, hours: 10)])
    #expect(abs(one.lossPerBlockYear / two.lossPerBlockYear - 1) < 1e-9)
    let slow = DurabilityModel(copies: 3, hazards: [Self.hazard(0.01, hours: 10), Self.hazard(0.01, hours: 30)])
    #expect(abs(slow.badShare / two.badShare - 2) < 1e-9 && slow.eventsPerYear == two.eventsPerYear)
  }

  @Test("nines are what is left of a probability: ten times the loss is one nine less")
  func nines() throws {
    let a = DurabilityModel(copies: 1, hazards: [Self.hazard(1e-6, hours: 1)])
    let b = DurabilityModel(copies: 1, hazards: [Self.hazard(1e-5, hours: 1)])
    let (many, fewer) = (try #require(a.nines), try #require(b.nines))
    #expect(abs(many - 6) < 1e-3 && abs(many - fewer - 1) < 1e-3)
    #expect(DurabilityModel(copies: 3, hazards: []).nines == nil, "a model of no hazards says nothing")
  }

  @Test("nothing is likelier than certain, and a longer repair never makes blocks safer", arguments: [1, 2, 3, 4])
  func bounds(copies: Int) {
    var before = 0.0
    for hours in [0, 1, 24, 720, 8766, 1_000_000] {
      let loss = DurabilityModel(copies: copies, hazards: [Self.hazard(50, hours: hours)]).lossPerBlockYear
      #expect((0...1).contains(loss) && loss >= before)
      before = loss
    }
  }
}

@Suite struct DurabilityMeterTests {
  @Test("block-seconds are the area below the line of blocks that lack copies")
  func area() {
    var meter = DurabilityMeter()
    for (second, blocks) in [(0, 0), (10, 100), (20, 100), (30, 0), (40, 0)] {
      meter.sample(underReplicated: blocks, copiedBytes: 0, now: .seconds(Double(second)))
    }
    #expect(meter.underReplicatedBlockSeconds == 2000 && meter.mostUnderReplicated == 100 && meter.observed == .seconds(40))
    #expect(meter.repairBytesPerSecond == nil)
  }

  @Test("the rate of repair counts the time in which it copied, and no other")
  func rate() {
    var meter = DurabilityMeter()
    for (second, bytes) in [(0, 1000), (10, 1000), (20, 5000), (30, 9000), (90, 9000)] {
      meter.sample(underReplicated: 0, copiedBytes: Int64(bytes), now: .seconds(Double(second)))
    }
    #expect(meter.copiedBytes == 8000 && meter.repairBytesPerSecond == 400)
  }

  @Test("detection and repair are timed for nodes whose copies were made anew, not for those that came back")
  func durations() {
    var meter = DurabilityMeter()
    meter.declaredOut(node(1), silence: .seconds(600), now: .seconds(1000))
    meter.declaredOut(node(2), silence: .seconds(700), now: .seconds(1000))
    meter.returned(node(2))
    meter.restored(node(1), now: .seconds(1300))
    meter.restored(node(2), now: .seconds(9000))
    #expect(meter.detections.count == 2 && meter.detections.longest == .seconds(700))
    #expect(meter.repairs.count == 1 && meter.repairs.median == .seconds(300))
  }

  @Test("what is kept has a bound")
  func bound() {
    var meter = DurabilityMeter()
    for number in 0..<1000 {
      meter.declaredOut(node(1), silence: .seconds(number), now: .seconds(Double(number)))
      meter.restored(node(1), now: .seconds(Double(number + 1)))
    }
    #expect(meter.detections.count == 1000 && meter.detections.median! >= .seconds(900) && meter.repairs.median == .seconds(1))
  }
}

@Suite struct DurabilityEstimateTests {
  private static let facts = DurabilityEstimate.Facts(
    copies: 3, blocks: 1000, outAfter: .seconds(600), repairLimit: 100, diskBytes: 1000, nodeBytes: 4000, zoneBytes: 8000,
    sinceLastScrub: nil)

  private static func input(_ estimate: DurabilityEstimate, _ cause: DurabilityModel.Cause) -> DurabilityEstimate.Input {
    estimate.inputs.first { $0.cause == cause }!
  }

  @Test("with nothing measured, times come from the configuration and say so")
  func configured() {
    let estimate = DurabilityEstimate(Self.facts, meter: DurabilityMeter())
    #expect(estimate.inputs.map(\.cause) == [.disk, .node, .zone, .rot])
    #expect(Self.input(estimate, .disk).repair == .init(.seconds(10), .configured))
    #expect(Self.input(estimate, .node).repair == .init(.seconds(40), .configured))
    #expect(Self.input(estimate, .zone).detection == .init(.seconds(600), .configured))
    #expect(Self.input(estimate, .rot).detection == .init(.seconds(30 * 86_400), .assumed))
  }

  @Test("what was measured takes the place of what was configured")
  func measured() {
    var meter = DurabilityMeter()
    meter.declaredOut(node(1), silence: .seconds(650), now: .seconds(0))
    meter.restored(node(1), now: .seconds(70))
    meter.sample(underReplicated: 0, copiedBytes: 0, now: .seconds(0))
    meter.sample(underReplicated: 0, copiedBytes: 500, now: .seconds(10))
    var facts = Self.facts
    facts.sinceLastScrub = .seconds(86_400)
    let estimate = DurabilityEstimate(facts, meter: meter)
    #expect(Self.input(estimate, .node).detection == .init(.seconds(650), .measured))
    #expect(Self.input(estimate, .node).repair == .init(.seconds(70), .measured))
    #expect(Self.input(estimate, .disk).repair == .init(.seconds(20), .measured), "1,000 bytes at 50 a second")
    #expect(Self.input(estimate, .rot).detection == .init(.seconds(86_400), .measured))
    let slower = DurabilityEstimate(Self.facts, meter: DurabilityMeter())
    #expect(estimate.model.lossPerBlockYear < slower.model.lossPerBlockYear)
  }

  @Test("rates that an operator gives are those that count")
  func rates() {
    var rates = DurabilityModel.Rates()
    rates.diskPerYear = 0.5
    let estimate = DurabilityEstimate(Self.facts, meter: DurabilityMeter(), rates: rates)
    #expect(Self.input(estimate, .disk).perYear == 0.5)
    #expect(estimate.model.lossPerBlockYear > DurabilityEstimate(Self.facts, meter: DurabilityMeter()).model.lossPerBlockYear)
  }
}
