import BlockModel
import StorageNode
import TestSupport
import Testing

@Suite("The scrub's pace") struct ScrubPacerTests {
  /// What a disk under the scrub does, as simple as can be: reads take longer in proportion to how fast the scrub goes.
  private struct Model {
    var pacer: ScrubPacer
    var work = ScrubPacer.Work()
    var now = MonotonicTime.zero
    var random: SeededRandom
    /// Reads a second.
    var reads: Double
    /// How much longer a read takes when the scrub goes at a MiB/s.
    var slowdown: Double
    var checkedBytes: Int64 = 0
    var restReads = LatencyHistogram()
    var workReads = LatencyHistogram()
    private var rate = 0.0

    init(configuration: ScrubPacer.Configuration = .init(), reads: Double, slowdown: Double, passBytes: Int64, random: SeededRandom) {
      pacer = ScrubPacer(configuration)
      self.reads = reads
      self.slowdown = slowdown
      self.random = random
      work.passBytes = passBytes
      work.passAge = .zero
    }

    mutating func run(for duration: Duration) {
      let end = now + duration
      while now < end {
        let began = now
        switch pacer.next(work, now: now) {
        case .beginPass: work.passAge = .zero
        case .rest(let time):
          now += max(min(time, .seconds(1)), .milliseconds(1))
          observe(now - began, isWorking: false)
        case .check(_, let bytes):
          // The disk reads 200 MiB/s.
          now += .seconds(Double(bytes) / (200 * 1048576))
          pacer.checked(bytes: bytes, work, began: began)
          checkedBytes += Int64(bytes)
          rate = pacer.rate(work) / 1048576
          observe(now - began, isWorking: true)
        }
        work.passAge = work.passAge.map { $0 + (now - began) }
      }
    }

    /// Reads that ended meanwhile. Those in a working turn suffer, whether a piece is being read just now or not.
    private mutating func observe(_ time: Duration, isWorking: Bool) {
      var histogram = LatencyHistogram()
      let expected = reads * time.inSeconds
      let count = Int(expected) + (Double.random(in: 0..<1, using: &random) < expected - Double(Int(expected)) ? 1 : 0)
      for _ in 0..<count {
        let base = 0.001 * Double.random(in: 0.5...2, using: &random)
        histogram.add(.seconds(isWorking ? base * (1 + slowdown * rate) : base))
      }
      if isWorking { workReads.add(histogram) } else { restReads.add(histogram) }
      pacer.observe(histogram)
    }
  }

  @Test("with nobody there it goes as fast as it may, and no faster")
  func idle() {
    var model = Model(reads: 0, slowdown: 1, passBytes: 1 << 40, random: Seeds.random())
    model.run(for: .seconds(60))
    let before = model.checkedBytes
    model.run(for: .seconds(60))
    let rate = Double(model.checkedBytes - before) / 60 / 1048576
    #expect((50...65).contains(rate), "\(rate) MiB/s")
  }

  @Test("where reads suffer it slows down until the slowest percent takes less than a fifth longer", arguments: [0.02, 0.1, 1.0])
  func busy(slowdown: Double) throws {
    var model = Model(reads: 500, slowdown: slowdown, passBytes: 100 << 30, random: Seeds.random())
    model.run(for: .seconds(120))
    (model.restReads, model.workReads) = (LatencyHistogram(), LatencyHistogram())
    let before = model.checkedBytes
    model.run(for: .seconds(600))
    var all = model.restReads
    all.add(model.workReads)
    let growth = try #require(all.percentile(0.99)).inSeconds / 0.00198
    #expect(growth < 1.2, "\(growth)")
    #expect(model.checkedBytes > before, "it does not stand still")
  }

  @Test("where reads do not suffer, load does not slow it down")
  func harmless() {
    var model = Model(reads: 500, slowdown: 0, passBytes: 1 << 40, random: Seeds.random())
    model.run(for: .seconds(400))
    let before = model.checkedBytes
    model.run(for: .seconds(100))
    #expect(Double(model.checkedBytes - before) / 100 > 25 * 1048576)
  }

  @Test("however reads suffer, all copies are read in time")
  func deadline() {
    var configuration = ScrubPacer.Configuration()
    configuration.passWithin = .seconds(4000)
    let bytes: Int64 = 4 << 30
    var model = Model(configuration: configuration, reads: 500, slowdown: 10, passBytes: bytes, random: Seeds.random())
    for _ in 0..<400 {
      let before = model.checkedBytes
      model.run(for: .seconds(10))
      model.work.passBytes = max(0, model.work.passBytes - (model.checkedBytes - before))
    }
    // The last hour's need is spread over an hour: what is left then is little.
    #expect(model.work.passBytes < bytes / 4)
    #expect(model.pacer.needed(model.work) <= Double(bytes) / 3600 + 1)
  }

  @Test("new blocks go first when their day is nearer than the walk's end, and the walk when it is")
  func source() {
    var pacer = ScrubPacer()
    var work = ScrubPacer.Work()
    (work.freshBytes, work.passBytes) = (1 << 20, 1 << 30)
    var now = MonotonicTime.zero
    func decide() -> ScrubPacer.Decision {
      while true {
        let decision = pacer.next(work, now: now)
        guard case .rest(let time) = decision else { return decision }
        now += time
      }
    }
    (work.freshAge, work.passAge) = (.seconds(6 * 3600), .seconds(86_400))
    guard case .check(.fresh, _) = decide() else { Issue.record("new blocks first"); return }
    (work.freshAge, work.passAge) = (.seconds(60), .seconds(20 * 86_400))
    guard case .check(.pass, _) = decide() else { Issue.record("the walk first"); return }
    work.freshBytes = 0
    guard case .check(.pass, _) = decide() else { Issue.record("nothing else to do"); return }
  }

  @Test("a walk begins when there was none, or when the time between two has passed")
  func interval() {
    var pacer = ScrubPacer()
    var work = ScrubPacer.Work()
    #expect(pacer.next(work, now: .zero) == .beginPass)
    work.sinceLastPass = .seconds(6 * 86_400)
    guard case .rest = pacer.next(work, now: .zero) else { Issue.record("it rests between two walks"); return }
    work.sinceLastPass = .seconds(7 * 86_400)
    #expect(pacer.next(work, now: .zero) == .beginPass)
  }

  @Test("a percentile is within the width of its class", arguments: [1.0, 17.3, 950, 12_345, 900_000])
  func histogram(milliseconds: Double) throws {
    var histogram = LatencyHistogram()
    #expect(histogram.percentile(0.99) == nil)
    for _ in 0..<98 { histogram.add(.milliseconds(1)) }
    for _ in 0..<2 { histogram.add(.seconds(milliseconds / 1000)) }
    let found = try #require(histogram.percentile(0.99)).inSeconds * 1000
    // Beyond two minutes everything is one class.
    #expect(milliseconds > 120_000 || (found >= milliseconds && found <= milliseconds * 1.07), "\(found)")
    histogram.fade(to: 0.5)
    #expect(histogram.total == 50)
  }
}
