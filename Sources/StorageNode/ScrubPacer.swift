package import BlockModel

/// Decides what the scrub of one disk does next, and how fast: a value without a clock of its own.
///
/// What must hold: a new block is read within a day and every copy within thirty, as long as the disk can do both; within that, reads of
/// clients come first. The scrub works in turns and rests between them, compares how long reads take in the one and in the other, and
/// goes slower when the slowest percent takes more than a tenth longer; with nobody there it goes as fast as it may.
package struct ScrubPacer: Sendable {
  package struct Configuration: Sendable, Equatable {
    /// Bytes per second that are never exceeded for lack of anybody else.
    package var fastestBytes = 64.0 * 1024 * 1024
    /// What is left of the rate when reads suffer and no deadline presses.
    package var slowestBytes = 128.0 * 1024
    /// A block is first read at most so long after it came. Half of what is promised.
    package var freshWithin: Duration = .seconds(12 * 3600)
    /// A walk over all copies takes at most so long; with the time between two starts, below what is promised, 30 days.
    package var passWithin: Duration = .seconds(22 * 86_400)
    /// From the start of one walk to the start of the next.
    package var passInterval: Duration = .seconds(7 * 86_400)
    /// How often new blocks are looked for.
    package var freshInterval: Duration = .seconds(60)
    /// One turn of work and the rest before it.
    package var restTime: Duration = .seconds(1)
    package var workTime: Duration = .seconds(4)
    /// The 99th percentile of reads may grow by this factor. Less than is promised, 1.2, because it is noticed afterwards.
    package var growthLimit = 1.1
    /// Reads in a turn below which the disk counts as idle.
    package var busyFrom = 40.0
    /// Bytes of one piece of work, at most, and as long as a piece may take at the present rate.
    package var pieceBytes = 4 << 20
    package var pieceTime: Duration = .milliseconds(250)
    package init() {}
  }

  /// What there is to do.
  package struct Work: Sendable, Equatable {
    /// Blocks that were never read since they came: their bytes, and for how long there have been some.
    package var freshBytes: Int64 = 0
    package var freshAge: Duration = .zero
    /// Bytes that the walk under way has before it, and since when it runs; nil between two walks.
    package var passBytes: Int64 = 0
    package var passAge: Duration?
    /// Since the last walk began; nil when there was none.
    package var sinceLastPass: Duration?
    package init() {}
  }

  package enum Source: Sendable, Equatable { case fresh, pass }

  package enum Decision: Sendable, Equatable {
    case rest(Duration)
    /// Read about so many bytes of copies, one at least.
    case check(Source, bytes: Int)
    /// A new walk over everything is due.
    case beginPass
  }

  private let configuration: Configuration
  /// Bytes per second that reads of clients seem to allow.
  package private(set) var allowedBytes: Double
  private var turnBegan: MonotonicTime?
  private var nextPiece = MonotonicTime.zero
  private var resting = LatencyHistogram()
  private var working = LatencyHistogram()
  /// The scrub was at work in the time that ends now.
  private var isWorking = false

  package init(_ configuration: Configuration = Configuration()) {
    self.configuration = configuration
    allowedBytes = configuration.fastestBytes / 16
  }

  /// Reads of clients that ended since the last call.
  package mutating func observe(_ reads: LatencyHistogram) {
    if isWorking { working.add(reads) } else { resting.add(reads) }
  }

  /// Bytes per second that the deadlines ask for.
  package func needed(_ work: Work) -> Double {
    func rate(_ bytes: Int64, _ age: Duration, _ limit: Duration, atLeast: Duration) -> Double {
      bytes > 0 ? Double(bytes) / max(limit - age, atLeast).inSeconds : 0
    }
    let fresh = rate(work.freshBytes, work.freshAge, configuration.freshWithin, atLeast: .seconds(600))
    guard let age = work.passAge else { return fresh }
    return fresh + rate(work.passBytes, age, configuration.passWithin, atLeast: .seconds(3600))
  }

  /// Bytes per second at which it goes now, rests included.
  package func rate(_ work: Work) -> Double { max(min(allowedBytes, configuration.fastestBytes), needed(work)) }

  package mutating func next(_ work: Work, now: MonotonicTime) -> Decision {
    if work.passAge == nil, work.sinceLastPass.map({ $0 >= configuration.passInterval }) ?? true { return .beginPass }
    guard work.freshBytes > 0 || work.passBytes > 0 else {
      turnBegan = nil
      isWorking = false
      return .rest(configuration.restTime)
    }
    let turn = configuration.restTime + configuration.workTime
    if turnBegan.map({ now - $0 >= turn }) ?? true {
      if turnBegan != nil { adapt() }
      turnBegan = now
    }
    let within = now - (turnBegan ?? now)
    guard within >= configuration.restTime else {
      isWorking = false
      return .rest(configuration.restTime - within)
    }
    isWorking = true
    guard now >= nextPiece else { return .rest(min(nextPiece - now, turn - within)) }
    // What is lost to resting is made up for in the working part.
    let rate = rate(work) * turn.inSeconds / configuration.workTime.inSeconds
    let bytes = max(1, min(configuration.pieceBytes, Int(rate * configuration.pieceTime.inSeconds)))
    return .check(source(work), bytes: bytes)
  }

  /// What a piece took, so that the next one comes in its time.
  package mutating func checked(bytes: Int, _ work: Work, began: MonotonicTime) {
    let turn = configuration.restTime + configuration.workTime
    let rate = rate(work) * turn.inSeconds / configuration.workTime.inSeconds
    nextPiece = began + .seconds(Double(bytes) / rate)
  }

  /// What is nearer to its deadline.
  private func source(_ work: Work) -> Source {
    guard work.freshBytes > 0 else { return .pass }
    guard work.passBytes > 0, let age = work.passAge else { return .fresh }
    return work.freshAge.inSeconds / configuration.freshWithin.inSeconds >= age.inSeconds / configuration.passWithin.inSeconds
      ? .fresh : .pass
  }

  /// At the end of a turn: halves the rate when reads took longer while the scrub worked, else raises it by a step.
  private mutating func adapt() {
    defer {
      resting.fade(to: 0.75)
      working.fade(to: 0.75)
    }
    guard resting.total + working.total >= configuration.busyFrom else {
      allowedBytes = min(configuration.fastestBytes, allowedBytes * 2)
      return
    }
    // A percentile of a few reads says nothing: the rate stays until there are enough in both.
    guard resting.total >= 20, working.total >= 20, let calm = resting.percentile(0.99), let under = working.percentile(0.99) else {
      return
    }
    if under.inSeconds > calm.inSeconds * configuration.growthLimit {
      allowedBytes = max(configuration.slowestBytes, allowedBytes / 2)
    } else {
      allowedBytes = min(configuration.fastestBytes, allowedBytes + configuration.fastestBytes / 32)
    }
  }
}
