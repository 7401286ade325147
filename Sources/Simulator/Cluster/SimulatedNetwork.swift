internal import BlockModel

/// A process on a machine of its own: what it knows is gone when it ends, and what was on its way to it finds another one or none.
final class SimulatedProcess {
  let address: Int
  var isUp = true
  /// Grows with each end; answers to an earlier life find nobody.
  var incarnation = 0
  /// Until then it stands still, as a stopped process does: nothing is lost and nothing is done.
  var stalledUntil = MonotonicTime.zero

  init(address: Int) { self.address = address }

  func end() {
    isUp = false
    incarnation += 1
    stalledUntil = .zero
  }
}

/// Who can reach whom, how fast and how surely.
///
/// Loss, delay, duplication and reordering are drawn for each message; a link that is cut drops everything in one direction.
struct SimulatedNetwork {
  struct Link: Hashable {
    var from: Int
    var to: Int
  }

  /// Messages of 1,000 that are lost, come twice, or take seconds instead of milliseconds.
  var lossPerMille = 0
  var duplicatePerMille = 0
  var delayPerMille = 0
  var isSlow = false
  private var cuts: [Link: Int] = [:]
  private(set) var lost = 0
  private(set) var duplicated = 0
  private(set) var delayed = 0

  mutating func cut(_ from: Int, _ to: Int) { cuts[Link(from: from, to: to), default: 0] += 1 }

  mutating func mend(_ from: Int, _ to: Int) {
    let link = Link(from: from, to: to)
    guard let count = cuts[link] else { return }
    cuts[link] = count > 1 ? count - 1 : nil
  }

  /// Faults end: what was cut is whole.
  mutating func heal() {
    cuts = [:]
    (lossPerMille, duplicatePerMille, delayPerMille, isSlow) = (0, 0, 0, false)
  }

  /// When the copies of a message arrive; none when it is lost.
  mutating func delays(_ from: Int, _ to: Int, _ random: inout SeededRandom) -> [Duration] {
    if !cuts.isEmpty, cuts[Link(from: from, to: to)] != nil {
      lost += 1
      return []
    }
    if Int(random.next() % 1000) < lossPerMille {
      lost += 1
      return []
    }
    var delays = [delay(&random)]
    if Int(random.next() % 1000) < duplicatePerMille {
      duplicated += 1
      delays.append(delay(&random))
    }
    return delays
  }

  private mutating func delay(_ random: inout SeededRandom) -> Duration {
    if Int(random.next() % 1000) < delayPerMille {
      delayed += 1
      return .milliseconds(Int64(random.next() % 8000))
    }
    return .microseconds(Int64(200 + random.next() % (isSlow ? 400_000 : 4000)))
  }
}

extension ClusterSimulation {
  /// Sends something that runs `body` at the other end, if that lives then.
  func transmit(_ from: SimulatedProcess, _ to: SimulatedProcess, _ body: @escaping () -> Void) {
    for delay in network.delays(from.address, to.address, &networkRandom) {
      queue.add(at: now + delay) { [unowned self] in arrive(to, body) }
    }
  }

  private func arrive(_ to: SimulatedProcess, _ body: @escaping () -> Void) {
    guard to.isUp else { return }
    guard to.stalledUntil <= now else {
      let life = to.incarnation
      queue.add(at: to.stalledUntil) { [unowned self] in if to.incarnation == life { arrive(to, body) } }
      return
    }
    body()
  }

  /// A request and its answer; `nil` when none comes in time. A request whose answer was lost, or that was given up, may be done all the
  /// same, and even twice.
  func call<Reply>(
    _ from: SimulatedProcess, _ to: SimulatedProcess, within deadline: Duration,
    _ handle: @escaping (@escaping (Reply) -> Void) -> Void, then: @escaping (Reply?) -> Void
  ) {
    let life = from.incarnation
    var isAnswered = false
    let finish: (Reply?) -> Void = { reply in
      guard !isAnswered, from.isUp, from.incarnation == life else { return }
      isAnswered = true
      then(reply)
    }
    // A process that is gone refuses connections; a machine that is gone says nothing.
    if !to.isUp, networkRandom.next() % 2 == 0 {
      queue.add(at: now + .milliseconds(2)) { finish(nil) }
      return
    }
    transmit(from, to) { [unowned self] in
      let server = to.incarnation
      handle { reply in
        guard to.isUp, to.incarnation == server else { return }
        self.transmit(to, from) { finish(reply) }
      }
    }
    queue.add(at: now + deadline) { [unowned self] in arrive(from) { finish(nil) } }
  }

  /// Runs `body` later, unless the process ends before.
  func after(_ delay: Duration, _ process: SimulatedProcess, _ body: @escaping () -> Void) {
    let life = process.incarnation
    queue.add(at: now + delay) { [unowned self] in if process.incarnation == life { arrive(process, body) } }
  }
}
