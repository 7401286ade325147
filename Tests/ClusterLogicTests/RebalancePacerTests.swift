import ClusterLogic
import Testing

@Suite("How fast data moves beside clients") struct RebalancePacerTests {
  private func configuration() -> RebalancePacer.Configuration {
    var configuration = RebalancePacer.Configuration()
    configuration.fastestBytes = 256 << 20
    configuration.slowestBytes = 1 << 20
    return configuration
  }

  @Test("with nobody there it is as fast as it may be within seconds")
  func idle() {
    var pacer = RebalancePacer(configuration())
    for _ in 0..<4 { pacer.observe([], isMoving: true) }
    #expect(pacer.bytesPerSecond == 256 << 20)
    pacer.observe([.init(requests: 3, meanMilliseconds: 1e9)], isMoving: true)
    #expect(pacer.bytesPerSecond == 256 << 20, "three slow requests are nobody's load")
  }

  /// Requests take 5 ms, and one more for every 20 MB/s that move: at 1.3 times and a millisecond, about 50 MB/s are in order.
  @Test("where moving slows clients down, it settles where that stays within its bound")
  func settles() {
    var pacer = RebalancePacer(configuration())
    for _ in 0..<5 { pacer.observe([.init(requests: 100, meanMilliseconds: 5)], isMoving: false) }
    var latest: [Double] = []
    for second in 0..<200 {
      let latency = 5 + Double(pacer.bytesPerSecond) / Double(20 << 20)
      pacer.observe([.init(requests: 50, meanMilliseconds: latency), .init(requests: 50, meanMilliseconds: latency)], isMoving: true)
      if second >= 20 { latest.append(latency) }
    }
    let mean = latest.reduce(0, +) / Double(latest.count)
    #expect(mean < 5 * 1.5 + 1, "\(mean) ms")
    #expect(mean > 5.5, "it moves all the same: \(mean) ms")
  }

  @Test("beside clients it begins slowly, however fast it was with nobody there, and grows while they do not notice")
  func slowStart() {
    var pacer = RebalancePacer(configuration())
    for _ in 0..<9 { pacer.observe([], isMoving: false) }
    for _ in 0..<5 { pacer.observe([.init(requests: 100, meanMilliseconds: 5)], isMoving: false) }
    #expect(pacer.bytesPerSecond == 8 << 20)
    for _ in 0..<40 { pacer.observe([.init(requests: 100, meanMilliseconds: 5)], isMoving: true) }
    #expect(pacer.bytesPerSecond == 256 << 20)
  }

  @Test("when clients suffer without end it goes on at its slowest, and fast again when they have left")
  func suffering() {
    var pacer = RebalancePacer(configuration())
    pacer.observe([.init(requests: 100, meanMilliseconds: 5)], isMoving: false)
    for _ in 0..<20 { pacer.observe([.init(requests: 100, meanMilliseconds: 500)], isMoving: true) }
    #expect(pacer.bytesPerSecond == 1 << 20)
    for _ in 0..<9 { pacer.observe([], isMoving: true) }
    #expect(pacer.bytesPerSecond == 256 << 20)
  }

  @Test("nonsense from a node changes nothing")
  func nonsense() {
    var pacer = RebalancePacer(configuration())
    let before = pacer.bytesPerSecond
    pacer.observe([.init(requests: 100, meanMilliseconds: .nan)], isMoving: true)
    pacer.observe([.init(requests: 100, meanMilliseconds: .infinity)], isMoving: true)
    pacer.observe([.init(requests: -5, meanMilliseconds: 3), .init(requests: 5, meanMilliseconds: -3)], isMoving: true)
    #expect(pacer.bytesPerSecond == before)
  }

  @Test("a bound below the slowest rate is kept")
  func bound() {
    var small = configuration()
    small.fastestBytes = 1000
    var pacer = RebalancePacer(small)
    for _ in 0..<5 { pacer.observe([], isMoving: true) }
    #expect(pacer.bytesPerSecond == 1000)
  }
}
