internal import BlockModel
package import ClusterLogic
package import Credentials
package import HTTPTransport
package import Journal
package import MetadataStore
package import Platform
internal import Synchronization

/// Ships the records of the metadata's group commits to the nodes, and says when they are safe. A thin driver of `JournalQuorum`,
/// `JournalUpkeep` and `JournalTakeover`.
///
/// What must hold:
/// - nothing is said to be safe before a snapshot, and every record that follows on it up to here, are durable on nodes of as many zones as
///   were asked for (`JournalQuorum`);
/// - a node gets records in their order, one message at a time, and what gathers meanwhile in the next; what fails is sent again;
/// - what waits is bounded, in memory and in time: with too few zones new mutations are refused, and those that wait are answered that
///   their outcome is unknown. They are in this database, and become safe when the zones are back.
package final class MetadataJournal: JournalSink {
  struct Kept: Sendable {
    var record: JournalRecord
    var sequence: UInt64 { record.sequence }
  }

  struct Wait: Sendable {
    var sequence: UInt64
    var until: MonotonicTime
    var body: @Sendable (MetadataError?) -> Void
  }

  struct State: Sendable {
    var term: JournalTerm
    var quorum: JournalQuorum
    var upkeep: JournalUpkeep
    /// In order; the first ones may be needed by a slow node only.
    var kept: [Kept] = []
    var keptBytes = 0
    /// In order.
    var waits: [Wait] = []
    var hasBase: Bool
    var targets: [NodeID: ClusterNodeClient.Target] = [:]
    /// Nodes that a message is on its way to, and those that a greeting is.
    var busy: Set<NodeID> = []
    var greeted: Set<NodeID> = []
    var greetedAt: MonotonicTime?
    /// Why this coordinator changes nothing any more; nil while it does.
    var fence: MetadataError?
    /// This database has no journal yet: what nodes have of one is to be looked for before anything is sent.
    var isNew = false
    var isLooking = false
    /// Snapshots that were begun, and what that number was when a node left the members: another one has to be whole before that node may
    /// go for good.
    var snapshotsBegun = 0
    var leavers: [NodeID: Int] = [:]
    var isFenced: Bool { fence != nil }
    /// Waiting took too long; until all is safe again nothing new is taken.
    var isStalled = false
    var isEstablished = false
    var isStopped = false

    /// Up to here everything is safe.
    var safe: UInt64 { hasBase ? quorum.stored : 0 }
  }

  /// How long a mutation waits for the nodes before its outcome is called unknown.
  static let patience: Duration = .seconds(5)
  /// As above while the first snapshot is on its way.
  static let firstPatience: Duration = .seconds(120)
  static let sendDeadline: Duration = .seconds(5)
  private static let messageBytes = 8 << 20
  /// Of records that are kept for slow nodes, and of those that wait to be safe.
  private static let keptLimit = 64 << 20
  static let tick: Duration = .milliseconds(100)

  /// Who the nodes are. A value around the closure, because one that is by itself in generic storage is wrapped once more each time that
  /// it is looked at, until calling it takes all of the stack.
  struct NodeSource: Sendable {
    var all: @Sendable () -> [JournalNode]
  }

  let client: ClusterNodeClient
  let cipher: Rotating<JournalCipher>
  let time: any TimeSource
  let log: Logger
  /// For snapshots on their way.
  let folder: String
  let state: Mutex<State>
  let nodes: Mutex<NodeSource>
  private let ticking = Mutex<Task<Void, Never>?>(nil)
  let snapshots: BlockingPool
  /// When this coordinator had its folder for itself.
  let began: MonotonicTime
  let quiet: Duration

  /// - Parameters:
  ///   - folder: of the database, which no other process works on; a copy of it is put there for as long as it is sent.
  ///   - quiet: how long nobody may have written the journal before it is taken over.
  package init(
    secret: ClusterSecret, http: any HTTPRequesting, time: any TimeSource, folder: String, logger: Logger,
    quiet: Duration = JournalTakeover.quiet
  ) {
    began = time.monotonic()
    self.quiet = quiet
    client = ClusterNodeClient(
      signer: CapabilitySigner(secret: secret), http: http, time: time, lifetime: .seconds(600))
    cipher = Rotating(JournalCipher(secret))
    self.time = time
    self.folder = folder
    log = logger.component("journal")
    snapshots = BlockingPool(name: "journal-snapshot", threads: 1, queueLimit: 64)
    // Before the first layout no node has promised anything, and a crash before it may have left a promise that nothing came of.
    let term = JournalTerm(generation: UInt64(clamping: time.wall().seconds), writer: .random(in: 1...(.max)))
    state = Mutex(State(term: term, quorum: JournalQuorum(stored: 0, zones: 1), upkeep: JournalUpkeep(isWanted: true), hasBase: false))
    nodes = Mutex(NodeSource(all: { [] }))
  }

  /// Signs and seals with the keys of this secret from now on. What the nodes have goes under the new epoch by the next snapshot.
  package func replace(secret: ClusterSecret) {
    client.signer.replace(secret: secret)
    let fresh = JournalCipher(secret)
    let isOther = fresh.epoch != cipher.current.epoch
    cipher.replace(fresh)
    if isOther { state.withLock { $0.upkeep.keysChanged() } }
  }

  // MARK: The writer's side

  package var term: JournalTerm { state.withLock { $0.term } }
  package var stored: UInt64 { state.withLock { $0.safe } }
  package var hasBase: Bool { state.withLock { $0.hasBase } }
  /// Whether users may be served.
  package var isEstablished: Bool { state.withLock { $0.isEstablished } }

  package var refusal: MetadataError? {
    state.withLock { state in
      if let fence = state.fence { return fence }
      if !state.isEstablished { return MetadataError(.unavailable, "The coordinator is finding the metadata's journal on the nodes.") }
      guard state.isStalled || state.keptBytes > MetadataJournal.keptLimit else { return nil }
      return MetadataError(
        .unavailable,
        "Too few zones can keep the metadata's journal (\(state.quorum.zones) are needed): nothing is changed until they are back.")
    }
  }

  package func seal(_ plain: [UInt8], sequence: UInt64) throws(JournalError) -> [UInt8] {
    try cipher.current.seal(plain, as: SnapshotFormat.recordName(sequence))
  }

  package func send(_ record: JournalRecord, zones: Int) {
    state.withLock { state in
      state.quorum.append(record.sequence, zones: zones)
      state.kept.append(Kept(record: record))
      state.keptBytes += record.encodedBytes
      state.upkeep.appended(bytes: record.encodedBytes)
    }
    pump()
  }

  package func retract(_ record: JournalRecord) {
    state.withLock { state in
      state.quorum.retract(record.sequence)
      state.kept.removeLast()
      state.keptBytes -= record.encodedBytes
      state.term.attempt += 1
    }
  }

  package func whenStored(_ sequence: UInt64, _ body: @escaping @Sendable (MetadataError?) -> Void) {
    let now = time.monotonic()
    let isSafe = state.withLock { state in
      if state.safe >= sequence { return true }
      state.waits.append(
        Wait(sequence: sequence, until: now + (state.hasBase ? MetadataJournal.patience : MetadataJournal.firstPatience), body: body))
      return false
    }
    if isSafe { body(nil) }
  }

  // MARK: Sending

  private struct Message: Sendable {
    var target: ClusterNodeClient.Target
    var request: JournalRequest
    var through: UInt64
    var era: Int
  }

  /// Sends each node what it lacks, unless a message is on its way to it.
  func pump() {
    let messages = state.withLock { state -> [Message] in
      guard !state.isFenced, !state.isStopped, !state.isNew else { return [] }
      var messages: [Message] = []
      for node in state.quorum.members.map(\.node) {
        if let message = MetadataJournal.message(to: node, &state) { messages.append(message) }
      }
      return messages
    }
    for message in messages { Task { await self.deliver(message) } }
  }

  private static func message(to node: NodeID, _ state: inout State) -> Message? {
    guard !state.busy.contains(node), let target = state.targets[node], let range = state.quorum.toSend(node),
      let first = state.kept.first?.sequence, range.lowerBound >= first
    else { return nil }
    var records: [JournalRecord] = []
    var bytes = 0
    for kept in state.kept[Int(range.lowerBound - first)...] where bytes < messageBytes {
      records.append(kept.record)
      bytes += kept.record.encodedBytes
    }
    guard let last = records.last else { return nil }
    state.busy.insert(node)
    state.quorum.node(node, wasSent: last.sequence)
    return Message(target: target, request: .append(state.term, records), through: last.sequence, era: state.quorum.era)
  }

  private func deliver(_ message: Message) async {
    let node = message.target.node
    let failure: NodeClientError?
    do throws(NodeClientError) {
      _ = try await client.ask(message.request, of: message.target, deadline: MetadataJournal.sendDeadline)
      failure = nil
    } catch { failure = error }
    let now = time.monotonic()
    let ready = state.withLock { state -> [Wait] in
      state.busy.remove(node)
      if let failure {
        if failure.code == .fenced { state.fence = MetadataJournal.takenOver }
        MetadataJournal.changeMembers(&state) { $0.node(node, failedAt: now) }
      } else {
        _ = state.quorum.node(node, has: message.through, era: message.era)
      }
      return MetadataJournal.settle(&state)
    }
    for wait in ready { wait.body(nil) }
    guard let failure else { return pump() }
    log.warning("a node did not take the metadata's journal", ["node": .string(node.text), "reason": .string(failure.message)])
  }

  /// What became safe; forgets records that nobody needs.
  static func settle(_ state: inout State) -> [Wait] {
    let safe = state.safe
    let count = state.waits.firstIndex { $0.sequence > safe } ?? state.waits.count
    let ready = Array(state.waits[..<count])
    state.waits.removeFirst(count)
    if safe == state.quorum.head { state.isStalled = false }
    let slowest = state.quorum.members.map(\.stored).min() ?? safe
    var gone = 0
    while gone < state.kept.count, state.kept[gone].sequence <= safe,
      state.kept[gone].sequence <= slowest || state.keptBytes > keptLimit / 2
    {
      state.keptBytes -= state.kept[gone].record.encodedBytes
      gone += 1
    }
    if gone > 0 {
      state.quorum.forget(through: state.kept[gone - 1].sequence)
      state.kept.removeFirst(gone)
    }
    return ready
  }

  // MARK: Life

  /// Begins to look after the nodes and the snapshots.
  /// - Parameter nodes: all that are known, as they are when it is called.
  package func run(over store: SQLMetadataStore, nodes provider: @escaping @Sendable () -> [JournalNode]) {
    follow(provider)
    let task = Task {
      while !Task.isCancelled {
        self.passTime(store)
        try? await Task.sleep(for: MetadataJournal.tick)
      }
    }
    ticking.withLock { $0 = task }
  }

  /// Who the nodes are from now on.
  package func follow(_ provider: @escaping @Sendable () -> [JournalNode]) { nodes.withLock { $0.all = provider } }

  /// Returns never: throws when another coordinator has taken the journal over, so that this one ends and does not answer with what is old.
  package func untilFenced() async throws {
    while true {
      if let fence = state.withLock({ $0.fence }) { throw fence }
      try await Task.sleep(for: MetadataJournal.tick)
    }
  }

  /// Ends sending; those who wait are told that their outcome is unknown.
  package func stop() async {
    let task = ticking.withLock { $0.take() }
    task?.cancel()
    await task?.value
    let waits = state.withLock { state in
      defer { state.waits = [] }
      state.isStopped = true
      return state.waits
    }
    for wait in waits { wait.body(MetadataError(.unavailable, "The coordinator is stopping; whether it happened is not known.")) }
  }
}

extension JournalCipher {
  convenience init(_ secret: ClusterSecret) {
    let keys = secret.journalKeys
    self.init(keys: keys.epochs.map { ($0.epoch, $0.key) }, sealing: keys.current.epoch)
  }
}
