package import BlockModel
internal import BlockStore
package import Platform
internal import Synchronization

/// Plays one sequence: a store on a simulated disk beside the model of it, in one order that follows from the sequence.
///
/// The first thing that the store does and the model does not allow ends the run.
package struct StoreRun {
  /// What happened, so that a test can tell whether its faults did.
  package struct Totals: Sendable, Equatable {
    package var acknowledged = 0
    package var reads = 0
    package var rottenReads = 0
    package var opened = 0
    package var interruptedOpenings = 0
    package var failedOpenings = 0
    package var fromCheckpoint = 0
    package var tornRecords = 0
    package var fenced = 0
    package var full = 0
    package var powerLosses = 0
    package var damagedBlocks = 0
    package init() {}

    package static func += (a: inout Totals, b: Totals) {
      a.acknowledged += b.acknowledged
      a.reads += b.reads
      a.rottenReads += b.rottenReads
      a.opened += b.opened
      a.interruptedOpenings += b.interruptedOpenings
      a.failedOpenings += b.failedOpenings
      a.fromCheckpoint += b.fromCheckpoint
      a.tornRecords += b.tornRecords
      a.fenced += b.fenced
      a.full += b.full
      a.powerLosses += b.powerLosses
      a.damagedBlocks += b.damagedBlocks
    }
  }

  /// What the store did that it may not do.
  package struct Violation: Error, Sendable, Equatable, CustomStringConvertible {
    /// The step it was noticed at.
    package var step: Int
    package var what: String
    package var description: String { "at step \(step): \(what)" }
  }

  /// What runs share, so that it is made once: for one thread.
  package struct Resources: Sendable {
    let fibers = FiberPool()
    /// More than operations are ever on their way, so that no read waits for a buffer, which would take real time.
    let buffers = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: StoreRun.operationLimit + 2)
    package init() {}
  }

  /// Operations on their way at once, at most.
  static let operationLimit = 96
  /// Every store's folder.
  static let folder = "/disk-1"
  package static let cluster = ClusterID(high: 1, low: 2)

  let sequence: StoreSequence
  let resources: Resources
  /// Puts something between the store and its disk, for checks that are to fail.
  let wrap: @Sendable (any FileSystem) -> any FileSystem
  let scheduler: SimulatedScheduler
  let time = ManualTime()
  let words: WordSource
  package internal(set) var totals = Totals()
  var model = StoreModel()
  var disk: SimulatedDisk
  var log = StoreEventLog()
  var store: SegmentStore?
  var opening: StoreOpening?
  /// Operations that were begun and not answered, by number.
  var pending: [Int: StoreRequest] = [:]
  var nextNumber = 0
  var step = 0
  /// Whether the disk was told to fail, or to be full, since the store was opened: what may be refused follows from it.
  var mayFence = false
  var mayBeFull = false
  var mayFailReads = false
  var isUnreadable = false

  /// - Parameter wrap: what the store gets in place of the disk; deliberate bugs live there.
  package init(
    _ sequence: StoreSequence, _ resources: Resources, wrap: @escaping @Sendable (any FileSystem) -> any FileSystem = { $0 }
  ) {
    self.sequence = sequence
    self.resources = resources
    self.wrap = wrap
    let scheduler = SimulatedScheduler(fibers: resources.fibers, interruptionShare: sequence.settings.interruptionShare)
    self.scheduler = scheduler
    disk = SimulatedDisk(seed: 1) { scheduler.passPoint() }
    words = WordSource()
    mayBeFull = sequence.settings.capacityKiB > 0
  }

  /// Plays the sequence to its end, or to the first violation.
  package mutating func play() -> Violation? {
    let result = Result { () throws(Violation) in
      for (number, step) in sequence.steps.enumerated() {
        self.step = number
        var random = SeededRandom(seed: step.seed)
        try perform(step.action, &random)
        try run(step.ticks, &random)
      }
      step = sequence.steps.count
      try end()
    }
    // Nothing may be left waiting, or its task would wait for ever.
    disk.switchOff()
    var random = SeededRandom(seed: 0)
    let isAtRest = scheduler.run(&random)
    if case .failure(let violation) = result { return violation }
    return isAtRest ? nil : Violation(step: step, what: "the store does not come to rest without a disk")
  }

  /// The same ending for all: the power fails, and then a clean restart.
  private mutating func end() throws(Violation) {
    var random = SeededRandom(seed: UInt64(sequence.steps.count))
    try perform(.settle, &random)
    try perform(.losePower, &random)
    try perform(.settle, &random)
    try perform(.reopen, &random)
    try perform(.settle, &random)
  }

  private mutating func perform(_ action: StoreSequence.Action, _ random: inout SeededRandom) throws(Violation) {
    switch action {
    case .kill, .losePower: crash(losesPower: action == .losePower, &random)
    case .append, .raise, .delete, .read, .readRange, .readRecord, .verify:
      let store = try opened(&random)
      if pending.count < StoreRun.operationLimit { begin(action, store) }
    case .settle:
      _ = try opened(&random)
      try settle(&random)
    case .reopen:
      let store = try opened(&random)
      try close(store, &random)
    case .failSync(let count): arm { $0.syncsUntilFailure = count }
    case .failWrite(let count): arm { $0.writesUntilFailure = count }
    case .failNameChange(let count): arm { $0.nameChangesUntilFailure = count }
    case .failRead(let count):
      mayFailReads = true
      disk.setFaults { $0.readsUntilFailure = count }
    case .limitSpace(let slack):
      mayBeFull = true
      let used = disk.usedBytes
      disk.setFaults { $0.capacityBytes = used + Int64(slack) }
    case .freeSpace: disk.setFaults { $0.capacityBytes = .max }
    case .advanceTime: time.advance(by: .seconds(2))
    case .evictCaches: disk.evictCaches()
    case .rot, .scramble, .misdirect, .rollBack, .makeUnreadable: damage(action, &random)
    case .makeReadable: disk.makeReadable()
    }
  }

  private mutating func arm(_ body: (inout SimulatedDisk.Faults) -> Void) {
    mayFence = true
    disk.setFaults(body)
  }

  /// Lets so many things happen, and listens.
  mutating func run(_ ticks: Int, _ random: inout SeededRandom) throws(Violation) {
    for _ in 0..<ticks {
      guard scheduler.step(&random) else { break }
      try listen()
    }
  }

  /// Everything that was begun ends.
  mutating func rest(_ random: inout SeededRandom) throws(Violation) {
    for _ in 0..<100_000 {
      guard scheduler.step(&random) else { return }
      try listen()
    }
    throw Violation(step: step, what: "the store does not come to rest")
  }

  /// The process ends where it stands; what it would have answered nobody hears.
  private mutating func crash(losesPower: Bool, _ random: inout SeededRandom) {
    if opening != nil { totals.interruptedOpenings += 1 }
    if losesPower { totals.powerLosses += 1 }
    log.close()
    disk.switchOff()
    var unheard = SeededRandom(seed: 0)
    _ = scheduler.run(&unheard)
    store = nil
    opening = nil
    pending = [:]
    model.crash(forgets: sequence.settings.isRelaxed && losesPower)
    let scheduler = scheduler
    disk = disk.afterCrash(losesPower: losesPower, seed: random.next()) { scheduler.passPoint() }
    startAnew()
    beginOpening()
  }

  /// A new process knows of no failures; the disk has none to come.
  mutating func startAnew() {
    log = StoreEventLog()
    mayFence = false
    mayBeFull = sequence.settings.capacityKiB > 0
    mayFailReads = false
    isUnreadable = disk.hasUnreadableParts
  }

  func violation(_ what: String) -> Violation { Violation(step: step, what: what) }
}

/// Numbers for identifiers, in an order that does not depend on the rest.
final class WordSource: Sendable {
  private let random = Mutex(SeededRandom(seed: 4711))
  func next() -> UInt64 { random.withLock { $0.next() } }
}
