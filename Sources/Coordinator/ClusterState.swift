internal import BlockModel
internal import ClusterLogic
internal import MetadataStore
internal import ServiceAPI

/// What the coordinator knows of the cluster, in memory; the database holds what has to outlive it.
struct ClusterState: Sendable {
  struct Node: Sendable {
    var record: NodeRecord
    var disks: [DiskReport] = []
    var attendance = DiskAttendance()
    var processID: UInt64 = 0
    var keys: [DataKeyStatement] = []
    /// Whether this process has had a heartbeat of it.
    var wasHeard = false
    /// How long it holds deleted blocks; nil when it does not say.
    var quarantineHold: Duration?
    /// Whether its record in the database says the same as here.
    var isSaved = true
    /// When what it holds beyond its part of the layout is looked at next.
    var sweepAt: MonotonicTime?

    var blockCount: Int { disks.reduce(0) { $0 + $1.blockCount } }

    func countedDisks(outAfter: Duration, now: MonotonicTime) -> [DiskID] {
      attendance.counted(recorded: record.disks, outAfter: outAfter, now: now)
    }

    /// A node that was not heard yet gets the benefit of the doubt, so that a restart of the coordinator stops no writes.
    var hasRoom: Bool { !wasHeard || disks.contains { $0.state == .healthy } }
  }

  var identity: ClusterIdentity
  var generation: UInt64
  var layout: Layout {
    didSet { noteChange(from: oldValue) }
  }
  /// Another layout is on its way to the database.
  var isLayoutCommitting = false
  /// Another layout went to the database and no answer came: nobody knows whether it is there.
  var isLayoutUnsettled = false
  /// Sorted by partition.
  var filling: [PlanFilling]
  /// What is filled is moved by the last change of layout, and lacks nowhere meanwhile. After a restart that is not known any more.
  var onlyMoves = false
  /// Sorted by id.
  private(set) var nodes: [Node] = []
  var detector: FailureDetector
  var gcEpoch: UInt64
  var dataKeys: [DataKeyEpochRecord]
  /// Nodes that lost a disk: all that they should hold is asked for again.
  var refills: [NodeID] = []
  /// Out, and not all of their blocks have their copies again.
  var unrestored: [NodeID] = []
  /// New nodes that an operator has let in and no layout names yet.
  var admitted: [NodeID] = []
  /// What operators want of the next layout, sorted by node.
  var staged: [StagedRole] = []
  var rebalance = RebalanceRecord()
  /// What nodes reported of their clients since it was last taken.
  var foreground: [RebalancePacer.Sample] = []
  private var counter: UInt64 = 0
  private var cachedView: ClusterView?
  /// The members of the last view, and the revision that each last changed with.
  private var published: [(member: Member, revision: UInt64)] = []
  /// The rows of the last view by their sources.
  private var rowsBySource: [NodeID: [FillingPartition]] = [:]
  /// The last steps to the present layout, oldest first.
  private var layoutChanges: [LayoutChange] = []

  init(
    identity: ClusterIdentity, generation: UInt64, layout: Layout, filling: [PlanFilling], detector: FailureDetector, gcEpoch: UInt64,
    dataKeys: [DataKeyEpochRecord]
  ) {
    self.identity = identity
    self.generation = generation
    self.layout = layout
    self.filling = filling.sorted { $0.partition < $1.partition }
    self.detector = detector
    self.gcEpoch = gcEpoch
    self.dataKeys = dataKeys
  }

  // MARK: Nodes

  func index(of id: NodeID) -> Int? {
    let index = place(of: id)
    return index < nodes.count && nodes[index].record.id == id ? index : nil
  }

  func node(_ id: NodeID) -> Node? { index(of: id).map { nodes[$0] } }

  mutating func insert(_ node: Node) {
    let place = place(of: node.record.id)
    if place < nodes.count && nodes[place].record.id == node.record.id { nodes[place] = node } else { nodes.insert(node, at: place) }
  }

  mutating func update(_ id: NodeID, _ change: (inout Node) -> Void) {
    if let index = index(of: id) { change(&nodes[index]) }
  }

  private func place(of id: NodeID) -> Int {
    var low = 0
    var high = nodes.count
    while low < high {
      let middle = (low + high) / 2
      if nodes[middle].record.id < id { low = middle + 1 } else { high = middle }
    }
    return low
  }

  var liveNodes: Int { nodes.count { liveness($0.record.id) == .alive } }

  func liveness(_ id: NodeID) -> Liveness { detector.liveness(of: id) ?? .out }

  /// Copies that each block shall have.
  var wantedCopies: Int { layout.wantedCopies(knownNodes: nodes.count) }

  // MARK: Views

  /// Unique over restarts: the generation stands in its upper half.
  var revision: UInt64 { generation << 32 | counter }

  /// To be called after each change that the view shows.
  mutating func touch() {
    counter += 1
    cachedView = nil
  }

  mutating func view() -> ClusterView {
    if let cachedView { return cachedView }
    let members = nodes.map { node in
      Member(
        node: node.record.id, zone: node.record.zone, address: node.record.address, state: NodeState(liveness(node.record.id)),
        writable: isWritable(node))
    }
    let view = ClusterView(
      cluster: identity.cluster, revision: revision, generation: generation, layout: layout, members: members, gcEpoch: gcEpoch,
      filling: filling.map { FillingPartition($0) })
    cachedView = view
    publish(view)
    return view
  }

  private mutating func publish(_ view: ClusterView) {
    var known = published[...]
    published = view.members.map { member in
      while let next = known.first, next.member.node < member.node { known.removeFirst() }
      guard let same = known.first, same.member == member else { return (member, view.revision) }
      return same
    }
    rowsBySource = [:]
    for row in view.filling { for source in row.sources { rowsBySource[source, default: []].append(row) } }
  }

  private static let changesKept = 4

  private mutating func noteChange(from old: Layout) {
    guard old.version != layout.version else { return }
    guard let change = LayoutChange(from: old, to: layout) else {
      layoutChanges = []
      return
    }
    layoutChanges.append(change)
    if layoutChanges.count > ClusterState.changesKept { layoutChanges.removeFirst() }
  }

  /// What a node has to learn that has this revision and this layout; nil when it knows all. Of partitions on their way it learns those
  /// that it gives up.
  mutating func news(
    for node: NodeID, knowing known: UInt64, layoutVersion: UInt64?
  ) -> (view: ClusterView?, update: ClusterViewUpdate?)? {
    guard revision != known else { return nil }
    var view = view()
    view.filling = rowsBySource[node] ?? []
    let steps = layoutChanges.drop { $0.from != layoutVersion }
    guard layoutVersion == layout.version || !steps.isEmpty else { return (view, nil) }
    // What this process said before, it can go on from.
    let follows = known >> 32 == generation && known < view.revision
    return (
      nil,
      ClusterViewUpdate(
        revision: view.revision, generation: generation, layoutVersion: layout.version,
        layoutChanges: layoutVersion == layout.version ? [] : Array(steps), since: follows ? known : nil,
        members: follows ? published.filter { $0.revision > known }.map(\.member) : view.members, gcEpoch: gcEpoch, filling: view.filling)
    )
  }

  var repairView: RepairView {
    RepairView(layout: layout, filling: filling, members: planMembers, isBraked: detector.isBraked, gcEpoch: gcEpoch)
  }

  var planMembers: [PlanMember] { nodes.map(planMember) }

  func planMember(_ node: Node) -> PlanMember {
    PlanMember(
      node: node.record.id, zone: node.record.zone, liveness: liveness(node.record.id), isWritable: isWritable(node))
  }

  /// A node off the layout takes no new blocks, not even as a spare: it is new, or it is being emptied.
  private func isWritable(_ node: Node) -> Bool {
    liveness(node.record.id) == .alive && node.hasRoom && (layout.version == 0 || layout.node(node.record.id) != nil)
  }

  func fillingRow(_ partition: Int) -> PlanFilling? { fillingIndex(partition).map { filling[$0] } }

  func fillingIndex(_ partition: Int) -> Int? {
    let place = fillingPlace(partition)
    return place < filling.count && filling[place].partition == partition ? place : nil
  }

  /// Where the partition's row is, or would be.
  func fillingPlace(_ partition: Int) -> Int {
    var low = 0
    var high = filling.count
    while low < high {
      let middle = (low + high) / 2
      if filling[middle].partition < partition { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: Layout

  /// The nodes that the layout should have; nil when it should stay.
  func desiredNodes(initialNodes: Int) -> [LayoutNode]? {
    let candidates = nodes.map { node in
      DesiredLayout.Candidate(
        node: LayoutNode(node.record), liveness: liveness(node.record.id), wasHeard: node.wasHeard,
        isComing: node.record.isOut || admitted.contains(node.record.id))
    }
    return DesiredLayout.nodes(for: layout, candidates: candidates, isBraked: detector.isBraked, initialNodes: initialNodes)
  }
}

extension NodeState {
  init(_ liveness: Liveness) {
    switch liveness {
    case .alive: self = .alive
    case .suspect: self = .suspect
    case .out: self = .out
    }
  }
}

extension LayoutNode {
  init(_ record: NodeRecord) { self.init(id: record.id, zone: record.zone, region: record.region, weight: record.weight) }
}

extension FillingPartition {
  init(_ row: PlanFilling) {
    self.init(partition: row.partition, targets: row.targets, sources: row.sources, arrivals: row.arrivals)
  }
}

extension PlanFilling {
  init(_ row: FillingPartition) {
    self.init(partition: row.partition, targets: row.targets, sources: row.sources, arrivals: row.arrivals)
  }
}

extension Problem {
  init(cluster error: MetadataError) {
    if let problem = error.problem {
      self = problem
      return
    }
    switch error.code {
    case .conflict: self.init(.conflict, error.message)
    case .refused: self.init(.forbidden, error.message)
    case .unavailable: self.init(.unavailable, error.message, retryAfter: 1)
    case .full: self.init(.full, error.message)
    case .unusable: self.init(.internalError, error.message)
    }
  }
}
