import BlockModel
import ClusterLogic
import Testing

@Suite struct FailureDetectorTests {
  /// Six nodes in three zones, all heard at second 0, ticked once.
  private func detector(nodes: Int = 6, zones: Int = 3) -> FailureDetector {
    var detector = FailureDetector(configuration: .production)
    for number in 0..<nodes { _ = detector.step(.known(node(number), zone(number % zones), isOut: false), now: .zero) }
    _ = detector.step(.tick, now: .zero)
    return detector
  }

  /// One tick a second up to and including `end`; the named nodes stay silent. Answers what happened, with its second.
  private func run(
    _ detector: inout FailureDetector, from start: Int, to end: Int, nodes: Int = 6, zones: Int = 3, silent: [Int]
  ) -> [(second: Int, effect: FailureDetector.Effect)] {
    var log: [(second: Int, effect: FailureDetector.Effect)] = []
    for second in start...end {
      let now = MonotonicTime.seconds(Double(second))
      for number in 0..<nodes where !silent.contains(number) {
        log += detector.step(.heartbeat(node(number), zone(number % zones)), now: now).map { (second, $0) }
      }
      log += detector.step(.tick, now: now).map { (second, $0) }
    }
    return log
  }

  @Test("a silent node is suspect after ten seconds and out after ten minutes, not before")
  func timings() {
    var detector = detector()
    let log = run(&detector, from: 1, to: 601, silent: [2])
    #expect(log.map(\.second) == [10, 600])
    #expect(log.map(\.effect) == [.suspected(node(2)), .declaredOut(node(2))])
    #expect(detector.liveness(of: node(2)) == .out && detector.liveness(of: node(1)) == .alive)
  }

  @Test("a suspect that is heard again is alive, one that was out has returned")
  func back() {
    var detector = detector()
    _ = run(&detector, from: 1, to: 20, silent: [2])
    #expect(detector.step(.heartbeat(node(2), zone(2)), now: .seconds(21)) == [.recovered(node(2))])
    _ = run(&detector, from: 22, to: 700, silent: [2])
    #expect(detector.liveness(of: node(2)) == .out)
    #expect(detector.step(.heartbeat(node(2), zone(2)), now: .seconds(701)) == [.returned(node(2))])
  }

  @Test("a whole zone that falls silent is declared out")
  func zoneLost() {
    var detector = detector()
    let log = run(&detector, from: 1, to: 700, silent: [1, 4])
    #expect(log.map(\.effect).suffix(2) == [.declaredOut(node(1)), .declaredOut(node(4))])
  }

  @Test("when more than a zone, a node and a quarter seem down, the brake holds and nobody is out")
  func brake() {
    var detector = detector()
    let log = run(&detector, from: 1, to: 2000, silent: [0, 1, 2])
    #expect(log.map(\.effect).contains(.brakeEngaged(down: 3, limit: 2)))
    #expect(!log.contains { if case .declaredOut = $0.effect { true } else { false } })
    let after = run(&detector, from: 2001, to: 2001, silent: [0, 1])
    #expect(after.map(\.effect) == [.recovered(node(2)), .brakeReleased, .declaredOut(node(0)), .declaredOut(node(1))])
  }

  @Test("in a cluster of one zone the zone is no licence to lose everything")
  func oneZone() {
    var detector = detector(nodes: 4, zones: 1)
    let log = run(&detector, from: 1, to: 900, nodes: 4, zones: 1, silent: [0, 1])
    #expect(!log.contains { if case .declaredOut = $0.effect { true } else { false } })
  }

  @Test("a node that is out counts as down until its copies are restored")
  func unrestored() {
    var detector = detector()
    _ = run(&detector, from: 1, to: 700, silent: [0, 3])
    let log = run(&detector, from: 701, to: 800, silent: [0, 1, 3])
    #expect(log.map(\.effect) == [.suspected(node(1)), .brakeEngaged(down: 3, limit: 2)])
    #expect(detector.step(.restored(node(0)), now: .seconds(801)) == [.brakeReleased])
  }

  @Test("an operator who says that silent nodes are down indeed releases the brake, for a time")
  func released() {
    var detector = detector()
    _ = run(&detector, from: 1, to: 100, silent: [0, 1, 2, 3])
    #expect(detector.isBraked)
    #expect(detector.step(.releaseBrake(until: .seconds(900)), now: .seconds(101)) == [.brakeReleased])
    let log = run(&detector, from: 102, to: 700, silent: [0, 1, 2, 3])
    #expect(log.map(\.effect).filter { if case .declaredOut = $0 { true } else { false } }.count == 4)
    let later = run(&detector, from: 701, to: 901, silent: [0, 1, 2, 3])
    #expect(later.map(\.effect) == [.brakeEngaged(down: 4, limit: 2)], "when its time is over, the detector doubts itself again")
    #expect(detector.step(.releaseBrake(until: nil), now: .seconds(902)).isEmpty && detector.isBraked)
  }

  @Test("an observer that stood still blames nobody for its own silence")
  func stall() {
    var detector = detector()
    _ = run(&detector, from: 1, to: 30, silent: [])
    let effects = detector.step(.tick, now: .seconds(5000))
    #expect(effects == [.stalled(.seconds(4969))])
    #expect((0..<6).allSatisfy { detector.liveness(of: node($0)) == .alive })
    #expect(run(&detector, from: 5001, to: 5008, silent: [0]).isEmpty)
    #expect(run(&detector, from: 5009, to: 5012, silent: [0]).map(\.effect) == [.suspected(node(0))])
  }

  @Test("a node known from the database gets the full time to be heard; one that was out stays out until heard")
  func restart() {
    var detector = FailureDetector(configuration: .production)
    _ = detector.step(.known(node(0), zone(0), isOut: true), now: .seconds(100))
    _ = detector.step(.known(node(1), zone(1), isOut: false), now: .seconds(100))
    _ = detector.step(.tick, now: .seconds(100))
    #expect(detector.step(.tick, now: .seconds(101)).isEmpty)
    #expect(detector.liveness(of: node(0)) == .out)
    #expect(detector.downAndLimit.down == 0)
  }

  @Test("over random silences a node is out only after its full silence, and never past the brake", arguments: UInt64(1)...60)
  func random(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let count = Int.random(in: 1...12, using: &random)
    let zones = Int.random(in: 1...4, using: &random)
    var detector = FailureDetector(configuration: .dev)
    var heard = [MonotonicTime](repeating: .zero, count: count)
    var silentUntil = [MonotonicTime](repeating: .zero, count: count)
    for number in 0..<count { _ = detector.step(.known(node(number), zone(number % zones), isOut: false), now: .zero) }
    var now = MonotonicTime.zero
    for _ in 0..<400 {
      now += .milliseconds(200)
      for number in 0..<count {
        if Int.random(in: 0..<200, using: &random) == 0 {
          silentUntil[number] = now + .milliseconds(Int.random(in: 0...12_000, using: &random))
        }
        guard now >= silentUntil[number] else { continue }
        heard[number] = now
        _ = detector.step(.heartbeat(node(number), zone(number % zones)), now: now)
      }
      for effect in detector.step(.tick, now: now) {
        guard case .declaredOut(let out) = effect, let number = (0..<count).first(where: { node($0) == out }) else { continue }
        #expect(now - heard[number] >= .seconds(5), "seed \(seed)")
        #expect(!detector.isBraked, "seed \(seed)")
      }
    }
  }
}
