internal import BlockModel
package import ClusterLogic

/// A whole cluster in one thread: a coordinator, gateways, nodes and clients over a network, disks and clocks that fail as the scenario
/// says.
///
/// First come operations and faults together; then the faults end and everything has to be finished in bounded time. What must hold is
/// checked when it could break and at the end. The same scenario does the same each time.
package final class ClusterSimulation {
  package struct Violation: Sendable, Equatable, CustomStringConvertible {
    package var invariant: Invariant
    /// From the start of the run.
    package var after: Duration
    package var sentence: String
    package var description: String { "invariant \(invariant.number) (\(invariant)) after \(after): \(sentence)" }
  }

  package let scenario: ClusterScenario
  let bug: ClusterBug?
  package private(set) var violation: Violation?
  package var totals = ClusterTotals()
  /// Told what happens, a sentence each, for whoever looks into a failure.
  package var trace: ((String) -> Void)?

  private let begin = MonotonicTime(nanoseconds: 3_600_000_000_000)
  private(set) var now: MonotonicTime
  var queue = EventQueue()
  var network = SimulatedNetwork()
  /// Each draws for itself, so that one more message does not change what disks do.
  var networkRandom: SeededRandom
  var diskRandom: SeededRandom
  var clientRandom: SeededRandom
  private var numbers: UInt64 = 0

  let metadata: SimulatedMetadata
  private var keeper: SimulatedCoordinator?
  private(set) var gateways: [SimulatedGateway] = []
  private(set) var nodes: [SimulatedNode] = []
  private(set) var clients: [SimulatedClient] = []
  let blocks: [BlockID]
  private var sizes: [BlockID: Int] = [:]
  var truth = ClusterTruth()
  private(set) var isHealed = false

  package init(_ scenario: ClusterScenario, bug: ClusterBug? = nil) {
    self.scenario = scenario
    self.bug = bug
    now = begin
    var random = SeededRandom(seed: scenario.seed ^ 0x5EED)
    networkRandom = random.fork()
    diskRandom = random.fork()
    clientRandom = random.fork()
    var blocks: [BlockID] = []
    for _ in 0..<scenario.settings.blocks {
      let block = BlockID(words: (random.next(), random.next(), random.next(), random.next()))
      blocks.append(block)
      sizes[block] = 1 + random.below(200_000)
    }
    self.blocks = blocks
    metadata = SimulatedMetadata(scenario.settings, bug: bug)
    keeper = SimulatedCoordinator(self, metadata: metadata)
    for number in 0..<2 { gateways.append(SimulatedGateway(self, address: 1 + number)) }
    for number in 0..<settings.nodes { _ = addNode(zone: number % settings.zones, &random) }
    for number in 0..<settings.clients {
      clients.append(
        SimulatedClient(self, namespace: number % settings.namespaces, address: 1000 + number, gateway: gateways[number % 2]))
    }
  }

  var settings: ClusterScenario.Settings { scenario.settings }

  var coordinator: SimulatedCoordinator {
    guard let keeper else { preconditionFailure("the coordinator is made with the simulation") }
    return keeper
  }

  /// How long deleted blocks are kept: the longest URL's life and the longest lease.
  var hold: Duration { .seconds(settings.urlSeconds + settings.leaseSeconds) }
  var elapsed: Duration { now - begin }

  func size(of block: BlockID) -> Int { sizes[block] ?? 1 }

  func node(_ id: NodeID) -> SimulatedNode? { nodes.first { $0.id == id } }

  func nextNumber() -> UInt64 {
    numbers += 1
    return numbers
  }

  func addNode(zone: Int, _ random: inout SeededRandom) -> SimulatedNode? {
    let number = nodes.count + 1
    guard let id = NodeID("n\(number)"), let zone = ZoneID("z\(zone + 1)"), number < 16 else { return nil }
    let skew = settings.skewMilliseconds == 0 ? 0 : random.below(2 * settings.skewMilliseconds) - settings.skewMilliseconds
    let node = SimulatedNode(
      self, id: id, zone: zone, address: 100 + number, disks: (0..<settings.disksPerNode).map { _ in DiskID(using: &random) },
      skew: .milliseconds(skew))
    nodes.append(node)
    return node
  }

  // MARK: Running

  /// Plays the scenario to its end, or to the first violation.
  package func run() -> Violation? {
    (network.lossPerMille, network.duplicatePerMille) = (settings.lossPerMille, settings.duplicatePerMille)
    (network.delayPerMille, network.isSlow) = (settings.delayPerMille, settings.isNetworkSlow)
    coordinator.start()
    for node in nodes { node.start() }
    for gateway in gateways { gateway.refresh() }
    for client in clients { client.follow() }
    for step in scenario.steps {
      queue.add(at: begin + .milliseconds(step.at)) { [unowned self] in
        note("\(step.action)")
        perform(step.action)
      }
    }
    lookAround()
    let faultEnd = begin + .seconds(settings.faultSeconds)
    play(until: faultEnd)
    if violation == nil {
      heal()
      let end = faultEnd + ClusterSimulation.livenessLimit
      var reason: (Invariant, String)?
      repeat {
        play(until: now + .seconds(2))
        reason = unfinished()
      } while reason != nil && now < end && violation == nil
      if let (invariant, sentence) = reason { fail(invariant, "\(ClusterSimulation.livenessLimit) after the faults ended: \(sentence)") }
      if violation == nil { checkEnd() }
    }
    totals.elapsed = elapsed
    totals.lost = network.lost
    totals.duplicated = network.duplicated
    totals.delayed = network.delayed
    queue.clear()
    return violation
  }

  /// In this time after the last fault everything is to be finished.
  private static let livenessLimit: Duration = .seconds(600)

  private func play(until end: MonotonicTime) {
    while violation == nil, let time = queue.nextTime, time <= end, let item = queue.take() {
      now = max(now, time)
      item.body()
    }
    now = max(now, end)
  }

  private func lookAround() {
    queue.add(at: now + .seconds(5)) { [unowned self] in
      checkAlways()
      lookAround()
    }
  }

  /// The faults end: whoever is not gone for good comes back, and the network does what it should.
  private func heal() {
    isHealed = true
    network.heal()
    for node in nodes where !node.isDestroyed {
      (node.isFull, node.process.stalledUntil) = (false, min(node.process.stalledUntil, now))
      for store in node.stores { store.isSlow = false }
      if !node.process.isUp { node.start() }
    }
    coordinator.process.stalledUntil = min(coordinator.process.stalledUntil, now)
    if !coordinator.process.isUp { coordinator.start() }
    metadata.isPaused = false
  }

  func note(_ sentence: @autoclosure () -> String) {
    if let trace {
      trace(
        "\(elapsed.components.seconds).\(String(1000 + elapsed.components.attoseconds / 1_000_000_000_000_000).dropFirst()) \(sentence())")
    }
  }

  func fail(_ invariant: Invariant, _ sentence: @autoclosure () -> String) {
    guard violation == nil else { return }
    violation = Violation(invariant: invariant, after: elapsed, sentence: sentence())
  }
}

/// What happened in a run, to be added up over many.
package struct ClusterTotals: Sendable, Equatable {
  package var runs = 0
  package var elapsed = Duration.zero
  package var uploads = 0
  package var puts = 0
  package var commits = 0
  package var downloads = 0
  package var layouts = 0
  package var copies = 0
  package var retired = 0
  package var deleted = 0
  package var collections = 0
  package var declaredOut = 0
  package var brakes = 0
  package var stalls = 0
  /// Messages.
  package var lost = 0
  package var duplicated = 0
  package var delayed = 0
  /// Faults by kind, sorted.
  package var faults: [(kind: String, count: Int)] = []

  package init() {}

  package mutating func count(_ kind: String, _ number: Int = 1) {
    let place = faults.partitioningIndex { $0.kind < kind }
    if place < faults.count, faults[place].kind == kind {
      faults[place].count += number
    } else {
      faults.insert((kind, number), at: place)
    }
  }

  package static func += (total: inout ClusterTotals, other: ClusterTotals) {
    total.runs += other.runs
    total.elapsed += other.elapsed
    for field in [
      \ClusterTotals.uploads, \.puts, \.commits, \.downloads, \.layouts, \.copies, \.retired, \.deleted, \.collections, \.declaredOut,
      \.brakes, \.stalls, \.lost, \.duplicated, \.delayed,
    ] as [WritableKeyPath<ClusterTotals, Int>] { total[keyPath: field] += other[keyPath: field] }
    for (kind, count) in other.faults { total.count(kind, count) }
  }

  package static func == (a: ClusterTotals, b: ClusterTotals) -> Bool { a.description == b.description }
}

extension ClusterTotals: CustomStringConvertible {
  package var description: String {
    """
    \(uploads) uploads, \(puts) puts, \(commits) commits, \(downloads) downloads, \(layouts) layouts, \(copies) copies, \
    \(retired) given up, \(deleted) deleted in \(collections) collections, \(declaredOut) nodes declared out, \(brakes) brakes, \
    \(stalls) stalls; messages: \(lost) lost, \(duplicated) twice, \(delayed) late; \
    faults: \(faults.map { "\($0.kind) \($0.count)" }.joined(separator: ", ")); \(elapsed.components.seconds) s
    """
  }
}
