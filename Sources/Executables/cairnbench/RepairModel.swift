import BlockModel
import ClusterLogic

/// Nodes, disks and links as numbers around the real `RepairScheduler`: how long repair of a large cluster takes, and what deciding costs.
///
/// A partition's blocks go as a few large pieces, because ten billion of them would be as many events; what listing and asking for their
/// pages takes is in the time of each listing. Each node reads and writes one piece after the other at its rate.
struct RepairModel {
  struct Settings {
    /// Plain bytes of one partition.
    var partitionBytes: Int64
    var pieces = 40
    /// What a node's disk and link give to repair.
    var nodeBytesPerSecond = 100e6
    /// Listing and asking for all pages of a partition: two round trips for each 256 blocks.
    var listSeconds = 1.5
    var answerSeconds = 0.01
  }

  struct Result {
    /// Simulated.
    var seconds = 0.0
    var bytes: Int64 = 0
    var events = 0
    var mostActive = 0
    /// Of this machine's processor, for all decisions.
    var decidingSeconds = 0.0
    /// Replicas still to fill by simulated time.
    var left: [(time: Double, fills: Int)] = []
  }

  private struct Pending {
    var time: Double
    var number: Int
    var event: RepairScheduler.Event
  }

  private let settings: Settings
  private var scheduler: RepairScheduler
  private var view: RepairView
  /// By time, then by number; a binary heap.
  private var queue: [Pending] = []
  private var counter = 0
  private var readerFree: [NodeID: Double] = [:]
  private var writerFree: [NodeID: Double] = [:]
  private var result = Result()
  private let clock = ContinuousClock()

  /// - Parameters:
  ///   - view: after the loss: the layout without the lost nodes, and the rows that this left.
  init(_ view: RepairView, configuration: RepairScheduler.Configuration, settings: Settings) {
    self.settings = settings
    self.view = view
    scheduler = RepairScheduler(configuration: configuration, view: view)
  }

  /// Until nothing is left to fill; nil when that takes longer than so many simulated seconds.
  mutating func run(limit: Double) -> Result? {
    var now = 0.0
    var nextSample = 0.0
    push(.timer, at: 0)
    while let next = pop(), next.time <= limit {
      now = next.time
      let time = MonotonicTime(nanoseconds: Int64(now * 1e9))
      let start = clock.now
      let effects = scheduler.step(next.event, now: time)
      result.decidingSeconds += (clock.now - start).inSeconds
      result.events += 1
      result.mostActive = max(result.mostActive, queue.count)
      if now >= nextSample {
        result.left.append((now, scheduler.fillsLeft))
        nextSample = now + 60
      }
      for effect in effects { carryOut(effect, now) }
      guard case .timer = next.event else { continue }
      if scheduler.fillsLeft == 0 {
        result.seconds = now
        result.left.append((now, 0))
        result.bytes = scheduler.copiedBytes
        return result
      }
      push(.timer, at: now + 0.2)
    }
    return nil
  }

  private mutating func carryOut(_ effect: RepairScheduler.Effect, _ now: Double) {
    switch effect {
    case .list(let request, let partition, _, _):
      push(.listed(request, blocks(partition)), at: now + settings.listSeconds)
    case .compare(let request, _, _, _): push(.compared(request, false), at: now + settings.answerSeconds)
    case .check(let request, _, let blocks, _):
      push(.checked(request, blocks.map { _ in .missing }), at: now + settings.answerSeconds)
    case .copy(let request, let target, let items): copy(request, target, items, now)
    case .markFilled(let request, _, _, _, _), .clearRepairs(let request, _, _, _), .markRetired(let request, _, _, _):
      push(.settled(request, true), at: now + settings.answerSeconds)
    case .listRepairs(let request, _, _): push(.repairsListed(request, []), at: now + settings.answerSeconds)
    // Nothing retires here: what was lost gives nothing up.
    case .seal(let request, _, _, _): push(.sealed(request, false), at: now + settings.answerSeconds)
    case .listHeld(let request, _, _, _, _): push(.heldListed(request, nil), at: now + settings.answerSeconds)
    case .voidReceipts(let request, _, _, _, _): push(.settled(request, false), at: now + settings.answerSeconds)
    case .retire(let request, _, _, _, _, _): push(.retired(request, false), at: now + settings.answerSeconds)
    }
  }

  private mutating func copy(_ request: RepairRequest, _ target: NodeID, _ items: [RepairCopy], _ now: Double) {
    var end = now
    for item in items {
      guard let source = item.sources.first else { continue }
      let start = max(now, readerFree[source] ?? 0, writerFree[target] ?? 0)
      end = start + Double(item.size) / settings.nodeBytesPerSecond
      readerFree[source] = end
      writerFree[target] = end
    }
    push(.copied(request, items.map { $0.sources.isEmpty ? .sourceMissing : .copied }), at: end)
  }

  private func blocks(_ partition: Int) -> [RepairBlock] {
    let bits = UInt64(view.layout.partitionBits)
    return (0..<settings.pieces).map { number in
      let id = BlockID(words: (UInt64(partition) << (64 - bits) | UInt64(number) << 20, 0, 0, UInt64(number)))
      return RepairBlock(id: id, size: Int(settings.partitionBytes) / settings.pieces, isReferenced: true)
    }
  }

  // MARK: Queue

  private mutating func push(_ event: RepairScheduler.Event, at time: Double) {
    counter += 1
    queue.append(Pending(time: time, number: counter, event: event))
    var child = queue.count - 1
    while child > 0, isBefore(child, (child - 1) / 2) {
      queue.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  private mutating func pop() -> Pending? {
    guard !queue.isEmpty else { return nil }
    queue.swapAt(0, queue.count - 1)
    let first = queue.removeLast()
    var parent = 0
    while true {
      let left = 2 * parent + 1
      guard left < queue.count else { return first }
      let child = left + 1 < queue.count && isBefore(left + 1, left) ? left + 1 : left
      guard isBefore(child, parent) else { return first }
      queue.swapAt(child, parent)
      parent = child
    }
  }

  private func isBefore(_ a: Int, _ b: Int) -> Bool { (queue[a].time, queue[a].number) < (queue[b].time, queue[b].number) }
}
