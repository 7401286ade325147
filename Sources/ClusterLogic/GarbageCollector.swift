package import BlockModel

/// Decides over one run of the garbage collector: what nodes hold and the metadata does not want goes, and nothing else.
///
/// The metadata's transactions and the nodes' epochs make a delete safe; this value makes a run sane:
/// - nothing is deleted before all was marked, so that a run which would delete what no log accounts for ends before it begins;
/// - a candidate is what a node says it holds; a node that does not answer is skipped, and nothing is concluded from its silence;
/// - every delete sent to a node is of blocks that the metadata authorized for this run's epoch, in an answer that came before;
/// - any error of the metadata, and an error that a node repeats, ends the run;
/// - memory is bounded: a page of each node for each of a few partitions at a time.
///
/// With `.plan` it ends after marking.
package struct GarbageCollector: Sendable {
  package enum Purpose: Sendable, Equatable { case plan, collect }

  package struct Configuration: Sendable, Equatable {
    /// How long after the epoch was raised nothing is marked: at least the longest life of a URL that reads what was dropped just before.
    package var grace: Duration = .seconds(3600)
    /// Partitions worked on at a time.
    package var lanes = 8
    /// Copies that a node is asked for at a time.
    package var pageBlocks = 2000
    /// Blocks authorized in one transaction.
    package var batchBlocks = 500
    package var blocksPerSecond = 5000
    /// Share of the held copies that may go although no log accounts for them.
    package var unloggedShare = 0.05
    /// How often a node that refuses is asked, and how long it is left alone before.
    package var attempts = 4
    package var retryAfter: Duration = .seconds(2)
    /// Between two records of how far the run is.
    package var saveInterval: Duration = .seconds(5)
    package init() {}
  }

  package enum Event: Sendable {
    case timer
    /// Which nodes answer now; `areAll` when no node of the layout is missing among them.
    case nodes([NodeID], areAll: Bool)
    /// As many numbers as partitions were asked for.
    case counted(GarbageRequest, GarbageAnswer<[Int]>)
    case listed(GarbageRequest, GarbageAnswer<GarbagePage>)
    /// Nil: the metadata could not be read or written.
    case judged(GarbageRequest, [GarbageVerdict]?)
    case authorized(GarbageRequest, [BlockID]?)
    /// How many copies went.
    case deleted(GarbageRequest, GarbageAnswer<Int>)
    /// How many rows went; 0 ends it.
    case forgotten(GarbageRequest, Int?)
    case saved(GarbageRequest, Bool)
    case stop(reason: String)
  }

  package enum Effect: Sendable, Equatable {
    /// How many blocks does the node hold in each of these partitions?
    case count(GarbageRequest, NodeID, Range<Int>)
    case list(GarbageRequest, NodeID, partition: Int, after: BlockID?, limit: Int)
    /// Which of these does the metadata not want? Changes nothing.
    case judge(GarbageRequest, [BlockID])
    /// Check again and log the deletes, in one transaction; answers those that are still not wanted.
    case authorize(GarbageRequest, [BlockID])
    case delete(GarbageRequest, NodeID, [BlockID])
    case forget(GarbageRequest)
    case save(GarbageRequest, GarbageRun)
    /// The last effect. To be recorded.
    case ended(GarbageRun)
  }

  /// Partitions that nodes are asked to count at a time.
  static let countedAtOnce = 4096

  package private(set) var run: GarbageRun
  let purpose: Purpose
  let configuration: Configuration
  /// Which answer now, sorted.
  var members: [NodeID]
  var membersAreAll = false
  /// Nodes of the present count that have not been silent since, sorted.
  var asked: [NodeID] = []
  /// Blocks that each of `asked` holds, in its place, in the partitions of `countedPartitions`.
  var counts: [[Int]] = []
  var countedPartitions = 0..<0
  var isCounting = false
  /// Sorted by partition.
  var lanes: [GarbageLane] = []
  /// The first partition that no lane has taken.
  var nextPartition: Int
  var outstanding: [GarbageTicket] = []
  private var nextNumber: UInt64 = 1
  let settledAt: MonotonicTime
  /// No delete is authorized before.
  var paceAt: MonotonicTime
  private var savedAt: MonotonicTime
  private var isSaving = false
  /// The phase has begun and is not recorded yet: nothing of it may be done.
  private var mustRecord = false
  private var isForgetting = false

  /// - Parameters:
  ///   - run: a new run, or one that another coordinator began, as `resumed`.
  ///   - settleFor: what is left of the grace.
  package init(
    run: GarbageRun, purpose: Purpose, nodes: [NodeID], areAll: Bool, configuration: Configuration = Configuration(), settleFor: Duration,
    now: MonotonicTime
  ) {
    self.run = run
    self.purpose = purpose
    self.configuration = configuration
    members = nodes.sorted()
    membersAreAll = areAll
    nextPartition = run.partition
    settledAt = now + settleFor
    paceAt = now
    savedAt = now
  }

  package var isEnded: Bool { run.phase == .ended }

  package mutating func step(_ event: Event, now: MonotonicTime) -> [Effect] {
    guard !isEnded else { return [] }
    var effects: [Effect] = []
    switch event {
    case .timer: break
    case .nodes(let nodes, let areAll):
      members = nodes.sorted()
      membersAreAll = areAll
    case .counted(let request, let answer): counted(request, answer, now, &effects)
    case .listed(let request, let answer): listed(request, answer, now, &effects)
    case .judged(let request, let verdicts): judged(request, verdicts, &effects)
    case .authorized(let request, let blocks): authorized(request, blocks, now, &effects)
    case .deleted(let request, let answer): deleted(request, answer, now, &effects)
    case .forgotten(let request, let rows): forgotten(request, rows, &effects)
    case .saved(let request, let isDone): saved(request, isDone, &effects)
    case .stop(let reason): stop(reason, &effects)
    }
    if !isEnded { advance(now, &effects) }
    return effects
  }

  // MARK: - Phases

  private mutating func advance(_ now: MonotonicTime, _ effects: inout [Effect]) {
    if run.phase == .settling {
      guard now >= settledAt else { return }
      enter(.marking)
    }
    askAgain(now, &effects)
    if run.phase == .marking || run.phase == .deleting { workPartitions(now, &effects) }
    if run.phase == .forgetting, !isForgetting { forget(&effects) }
    record(now, &effects)
  }

  private mutating func enter(_ phase: GarbageRun.Phase) {
    run.phase = phase
    run.partition = 0
    nextPartition = 0
    countedPartitions = 0..<0
    asked = []
    counts = []
    mustRecord = purpose == .collect
  }

  private mutating func workPartitions(_ now: MonotonicTime, _ effects: inout [Effect]) {
    guard !mustRecord else { return }
    while true {
      startLanes(now, &effects)
      guard !isEnded, lanes.isEmpty, !isCounting else { return }
      if nextPartition < run.partitionCount {
        count(nextPartition, &effects)
        // When nobody answers, these partitions are passed over: what nobody counts nobody loses.
        guard asked.isEmpty else { return }
        continue
      }
      return run.phase == .marking ? endMarking(&effects) : enter(.forgetting)
    }
  }

  private mutating func endMarking(_ effects: inout [Effect]) {
    run.partition = run.partitionCount
    if hasTooManyUnlogged(run.marked) {
      let share = Int((100 * Double(run.marked.unloggedCopies) / Double(max(1, run.marked.held))).rounded())
      return stop(
        "\(run.marked.unlogged) blocks, \(share) % of what the nodes hold, have no logged dereference: nothing was deleted.", &effects)
    }
    guard purpose == .collect else { return end(.finished, nil, &effects) }
    run.marked.blocks == 0 ? enter(.forgetting) : enter(.deleting)
  }

  func hasTooManyUnlogged(_ tally: GarbageTally) -> Bool {
    !run.acceptsUnlogged && Double(tally.unloggedCopies) > configuration.unloggedShare * Double(run.marked.held)
  }

  /// Rows of blocks that no node holds go only when every node said so.
  private mutating func forget(_ effects: inout [Effect]) {
    guard run.skipped.isEmpty, membersAreAll, run.nodes == members else { return end(.finished, nil, &effects) }
    isForgetting = true
    effects.append(.forget(open(.forget)))
  }

  private mutating func forgotten(_ request: GarbageRequest, _ rows: Int?, _ effects: inout [Effect]) {
    guard close(request) != nil else { return }
    isForgetting = false
    guard let rows else { return stop(GarbageCollector.metadataFailed, &effects) }
    if rows == 0 { end(.finished, nil, &effects) }
  }

  static let metadataFailed = "The metadata could not be read or written."

  mutating func stop(_ reason: String, _ effects: inout [Effect]) { end(.stopped, reason, &effects) }

  private mutating func end(_ outcome: GarbageRun.Outcome, _ reason: String?, _ effects: inout [Effect]) {
    guard !isEnded else { return }
    run.phase = .ended
    run.outcome = outcome
    run.reason = reason
    lanes = []
    outstanding = []
    effects.append(.ended(run))
  }

  // MARK: - Recording

  private mutating func record(_ now: MonotonicTime, _ effects: inout [Effect]) {
    guard purpose == .collect, !isEnded, !isSaving, mustRecord || now - savedAt >= configuration.saveInterval else { return }
    isSaving = true
    savedAt = now
    effects.append(.save(open(.save), run))
  }

  private mutating func saved(_ request: GarbageRequest, _ isDone: Bool, _ effects: inout [Effect]) {
    guard let ticket = close(request) else { return }
    isSaving = false
    guard isDone else { return stop(GarbageCollector.metadataFailed, &effects) }
    // A record that was on its way when the phase began says nothing of it.
    if ticket.phase == run.phase { mustRecord = false }
  }

  // MARK: - Requests

  mutating func open(_ kind: GarbageTicket.Kind, _ node: NodeID? = nil, partition: Int = 0, attempt: Int = 1) -> GarbageRequest {
    defer { nextNumber += 1 }
    let request = GarbageRequest(number: nextNumber)
    outstanding.append(
      GarbageTicket(request: request, kind: kind, node: node, partition: partition, phase: run.phase, attempt: attempt))
    return request
  }

  /// Nil for an answer that nobody waits for any more.
  mutating func close(_ request: GarbageRequest) -> GarbageTicket? {
    guard let index = outstanding.firstIndex(where: { $0.request == request }) else { return nil }
    return outstanding.remove(at: index)
  }

  /// Makes note of a node that did not answer: it is not asked again in this run.
  mutating func skip(_ node: NodeID) {
    if let place = asked.firstIndex(of: node) {
      asked.remove(at: place)
      counts.remove(at: place)
    }
    run.nodes.removeAll { $0 == node }
    if !run.skipped.contains(node) { run.skipped = (run.skipped + [node]).sorted() }
  }

  /// Changes what the run says of itself, for the parts in other files.
  mutating func note(_ change: (inout GarbageRun) -> Void) { change(&run) }
}

/// A request under way.
struct GarbageTicket: Sendable {
  enum Kind: Sendable, Equatable {
    case count(Range<Int>)
    case list, judge, authorize, forget, save
    case delete([BlockID], bytes: Int64)
  }
  var request: GarbageRequest
  var kind: Kind
  var node: NodeID?
  var partition: Int
  var phase: GarbageRun.Phase
  var attempt: Int
  /// A node refused and is asked again from this time on.
  var againAt: MonotonicTime?
}
