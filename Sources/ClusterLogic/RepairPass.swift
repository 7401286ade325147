internal import BlockModel

/// One way through a partition's live blocks (or through the repair rows), a page at a time.
struct Pass: Sendable {
  enum Kind: Sendable, Equatable {
    case fill(target: NodeID)
    /// The source gives up what it holds of the partition.
    case retire(source: NodeID)
    /// `of`: only this replica is read; nil: all.
    case recheck(of: NodeID?)
    case rows

    var rank: Int {
      switch self {
      case .rows: 0
      case .fill: 1
      case .recheck: 2
      case .retire: 3
      }
    }

    /// Takes part in moving a replica of its partition from one node to another.
    var isPartOfMove: Bool {
      switch self {
      case .fill, .retire: true
      case .recheck, .rows: false
      }
    }
  }

  enum Stage: Sendable, Equatable { case starting, sealing, comparing, listing, checking, copying, searching, settling }

  var number: UInt64
  var kind: Kind
  var partition: Int
  /// For a recheck of a single block.
  var only: RepairBlock?
  var stage = Stage.starting
  /// Everything up to here is done.
  var after: BlockID?
  var attempts = 0
  var wakeAt = MonotonicTime.zero
  /// The last try failed although every node answered: trying again alone will not help.
  var isStuck = false
  /// The source refuses older layouts for this partition.
  var isSealed = false
  /// The target's digest was compared with a whole replica's, and they differ.
  var isCompared = false
  /// A replica could not be asked on some page.
  var isUnseen = false
  /// Rows that stay, of all pages so far: how many, and how many of them nobody can repair for now.
  var rowsLeft = 0
  var rowsStuck = 0

  var entries: [Entry] = []
  var isLastPage = false
  /// Views that the scheduler had been given when the step was to be marked as done.
  var viewsAtMark = 0
  /// The source's, from when it listed the page.
  var mark: UInt64 = 0
  var layoutVersion: UInt64 = 0
  var isFill: Bool { if case .fill = kind { true } else { false } }
  var isRecheck: Bool { if case .recheck = kind { true } else { false } }
  /// The collection epoch when what is settled together was begun, a whole walk or a page: whoever answered since refuses deletes of older
  /// ones.
  var gcEpoch: UInt64 = 0
  var outstanding = 0
  /// Copies ready to be sent: indices into `entries` by target.
  var copies: [(target: NodeID, entries: [Int])] = []

  /// Forgets the page that it was at.
  mutating func restart() {
    entries = []
    copies = []
    outstanding = 0
    stage = .starting
  }

  /// Begins with the first block, and with the digest.
  mutating func forgetProgress() {
    after = nil
    isCompared = false
  }

  init(number: UInt64, kind: Kind, partition: Int) {
    self.number = number
    self.kind = kind
    self.partition = partition
  }

  /// A block of the page.
  struct Entry: Sendable {
    var block: RepairBlock
    var targets: [Target]
    /// Nodes that confirmed a whole copy in this pass.
    var confirmed: [NodeID] = []
    /// Nodes that answered that they have none, or a damaged one.
    var without: [NodeID] = []
    /// Nodes that should have a copy.
    var assumed: [NodeID]
    var isSearched = false
    var isSourceMissing = false

    var isComplete: Bool { targets.allSatisfy { $0.status == .present } }
  }

  struct Target: Sendable {
    enum Status: Sendable, Equatable { case unknown, present, missing, copying, unreachable, failed, full }
    var node: NodeID
    var status: Status
  }
}

/// Whose answer a request awaits.
struct RequestOwner: Sendable {
  enum Detail: Sendable {
    case list
    case check(node: NodeID, entries: [Int])
    case copy(target: NodeID, source: NodeID?, entries: [Int])
    case settle
    case seal
    case compare(reference: NodeID)
    case void
    case retire
  }
  var pass: UInt64
  var detail: Detail
}

/// Commands under way per node. Looked up by node only.
struct RepairLoad: Sendable {
  private var copies: [NodeID: Int] = [:]
  private var reads: [NodeID: Int] = [:]

  func copies(at node: NodeID) -> Int { copies[node] ?? 0 }
  func reads(from node: NodeID) -> Int { reads[node] ?? 0 }

  mutating func begin(target: NodeID, source: NodeID?) {
    copies[target, default: 0] += 1
    if let source { reads[source, default: 0] += 1 }
  }

  mutating func end(target: NodeID, source: NodeID?) {
    copies[target, default: 1] -= 1
    if let source { reads[source, default: 1] -= 1 }
  }
}

/// Passes with copies that wait for a node to end one. Looked up by node only.
struct BlockedPasses: Sendable {
  private var numbers: [NodeID: [UInt64]] = [:]

  mutating func add(_ pass: UInt64, waitingFor node: NodeID) {
    if numbers[node]?.last != pass { numbers[node, default: []].append(pass) }
  }

  mutating func takePasses(waitingFor node: NodeID) -> [UInt64] { numbers.removeValue(forKey: node) ?? [] }

  mutating func removeAll() { numbers.removeAll(keepingCapacity: true) }
}

/// A token bucket that holds up to one second's bytes and may go into debt by one command.
struct RepairBucket: Sendable {
  var bytesPerSecond: Double {
    didSet { tokens = min(tokens, bytesPerSecond) }
  }
  private var tokens: Double
  private var filledAt: MonotonicTime?

  init(bytesPerSecond: Int64) {
    self.bytesPerSecond = Double(max(1, bytesPerSecond))
    tokens = self.bytesPerSecond
  }

  mutating func isOpen(_ now: MonotonicTime) -> Bool {
    if let filledAt { tokens = min(bytesPerSecond, tokens + (now - filledAt).inSeconds * bytesPerSecond) }
    filledAt = now
    return tokens > 0
  }

  mutating func take(_ bytes: Int) { tokens -= Double(bytes) }
}
