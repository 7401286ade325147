internal import BlockModel
internal import ClusterLogic

/// What coordinators tell nodes and gateways of the cluster.
struct SimulatedView {
  var revision: UInt64
  var generation: UInt64
  var layout: Layout
  var members: [PlanMember]
  var filling: [PlanFilling]
  var gcEpoch: UInt64

  func member(_ node: NodeID) -> PlanMember? { members.first { $0.node == node } }
}

/// What a URL says and its signature vouches for.
struct SimulatedCapability {
  var isFromClient: Bool
  var block: BlockID
  var node: NodeID
  var layoutVersion: UInt64
  var gcEpoch: UInt64
  var upload: UploadID
  var writeQuorum: Int
  var forwards: [NodeID]
  /// By the gateway's clock.
  var expires: MonotonicTime
}

/// A storage node: stores, seals, its view of the cluster, and what it answers. The deciding is `WriteQuorum`'s, `SealLedger`'s and
/// `LayoutFence`'s; this is the shell around them.
///
/// What must hold: what outlives the process is in `stores`, `kept` and `keptSeals` only.
final class SimulatedNode {
  enum Failure: Error { case refused, full, stale, unavailable, notFound, damaged }

  /// What lies on its disk besides blocks.
  struct Kept {
    var generation: UInt64 = 0
    var view: SimulatedView?
  }

  struct KeptSeals {
    var layoutVersion: UInt64 = 0
    var rows: [(partition: Int, version: UInt64)] = []
  }

  unowned let simulation: ClusterSimulation
  let id: NodeID
  let zone: ZoneID
  let process: SimulatedProcess
  var stores: [SimulatedStore]
  /// By how much its clock is ahead of the gateway's.
  let skew: Duration
  var kept = Kept()
  var keptSeals = KeptSeals()
  /// Gone for good, with all that it held.
  var isDestroyed = false
  var isFull = false

  // What a process knows.
  var knowledge = Kept()
  var seals = SealLedger(layoutVersion: 0, allBelow: 0, rows: [])
  /// Changes of the ledger in this life of the process, and how many of them are on the disk.
  var sealChange = 0
  var keptChange = 0
  var rumouredLayout: UInt64 = 0
  var rumouredEpoch: UInt64 = 0
  var rot: [BlockID] = []

  init(_ simulation: ClusterSimulation, id: NodeID, zone: ZoneID, address: Int, disks: [DiskID], skew: Duration) {
    self.simulation = simulation
    self.id = id
    self.zone = zone
    process = SimulatedProcess(address: address)
    stores = disks.map { SimulatedStore(disk: $0) }
    self.skew = skew
  }

  var bug: ClusterBug? { simulation.bug }
  var bits: Int { simulation.settings.partitionBits }
  var clock: MonotonicTime { simulation.now + skew }

  // MARK: Life

  func start() {
    simulation.note("\(id) starts")
    process.isUp = true
    knowledge = kept
    let firstMark = UInt64(process.incarnation) << 32
    seals = SealLedger(layoutVersion: keptSeals.layoutVersion, allBelow: 0, rows: keptSeals.rows, firstMark: firstMark)
    (sealChange, keptChange, rumouredLayout, rumouredEpoch) = (0, 0, 0, 0)
    rot = []
    reportRot()
    beat()
    scrub()
  }

  func end(losingPower: Bool) {
    simulation.note("\(id) ends\(losingPower ? ", without power" : "")")
    process.end()
    for store in stores { store.crash(losingPower: losingPower, &simulation.diskRandom) }
  }

  /// The disk is gone and an empty one is in its place.
  func replaceDisk(_ index: Int) {
    stores[index] = SimulatedStore(disk: DiskID(using: &simulation.diskRandom))
  }

  // MARK: Heartbeats

  struct Heartbeat {
    var node: NodeID
    var zone: ZoneID
    var disks: [DiskAttendance.Report]
    var blockCount: Int
    var revision: UInt64
    var generation: UInt64
    var rotten: [BlockID]
  }

  private func beat() {
    let rotten = Array(rot.prefix(100))
    let heartbeat = Heartbeat(
      node: id, zone: zone,
      disks: stores.map { DiskAttendance.Report(disk: $0.disk, isServing: true, isHealthy: !isFull) },
      blockCount: stores.reduce(0) { $0 + $1.copies.count }, revision: knowledge.view?.revision ?? 0,
      generation: knowledge.generation, rotten: rotten)
    let coordinator = simulation.coordinator
    simulation.call(process, coordinator.process, within: .seconds(5)) {
      coordinator.hear(heartbeat, $0)
    } then: { [unowned self] reply in
      // The next one is sent after this one was answered and taken in.
      let rest: () -> Void = { [unowned self] in
        let isBehind = rumouredLayout > knowledge.view?.layout.version ?? .max || rumouredEpoch > knowledge.view?.gcEpoch ?? .max
        simulation.after(.milliseconds(isBehind ? 200 : 1000), process) { [unowned self] in beat() }
      }
      guard let reply else { return rest() }
      rot.removeAll { rotten.contains($0) }
      take(generation: reply.generation, view: reply.view, then: rest)
    }
  }

  /// Takes what a coordinator says, durably before anything acts on it.
  private func take(generation: UInt64, view: SimulatedView?, then: @escaping () -> Void) {
    let isOld = generation < knowledge.generation || view.map { $0.generation < knowledge.generation } ?? false
    guard !isOld else { return then() }
    let next = Kept(generation: max(generation, view?.generation ?? 0), view: view ?? knowledge.view)
    simulation.after(.milliseconds(Int64(1 + simulation.diskRandom.below(10))), process) { [unowned self] in
      simulation.checkGrowth(of: self, to: next)
      kept = next
      knowledge = next
      then()
    }
  }

  /// What lies set aside is reported again and again, until another copy takes its place: nobody may have noted it, because a restart came
  /// in between or only an upload under way needed it.
  private func reportRot() {
    for block in stores.flatMap(\.setAside).sorted() { report(block) }
    simulation.after(.seconds(60), process) { [unowned self] in reportRot() }
  }

  // MARK: Stores

  func store(of block: BlockID) -> SimulatedStore? { stores.first { $0.copies[block] != nil } }
  func holds(_ block: BlockID) -> Bool { stores.contains { $0.holds(block) } }
  /// A whole copy is here, on the disk.
  func isSafe(_ block: BlockID) -> Bool { stores.contains { $0.isSafe(block) } }

  func blocks(inPartition partition: Int) -> [BlockID] {
    stores.count == 1
      ? stores[0].blocks(inPartition: partition, bits: bits)
      : stores.flatMap { $0.blocks(inPartition: partition, bits: bits) }.sorted()
  }

  /// Makes a change and says when it is durable.
  func change(_ store: SimulatedStore, _ change: SimulatedStore.Change, then: @escaping () -> Void) {
    let (number, at) = store.make(change, now: simulation.now, &simulation.diskRandom)
    let life = process.incarnation
    simulation.queue.add(at: at) { [unowned self] in
      guard process.incarnation == life else { return }
      store.sync(through: number)
      simulation.note("\(id) has on disk: \(change)")
      simulation.after(.zero, process, then)
    }
  }

  /// Stores a block and answers the disk when it is durable there. A copy that is here is the copy, if it is whole, and gets the epoch.
  func append(_ block: BlockID, gcEpoch: UInt64, then: @escaping (DiskID) -> Void) {
    if bug != .trustsWhatIsThere, stores.contains(where: { $0.copies[block]?.isRotten == true }) { setAside(block) }
    let store = store(of: block) ?? stores[Int(block.words.2 % UInt64(stores.count))]
    if bug == .acknowledgesBeforeSync { then(store.disk) }
    change(store, .put(block, gcEpoch: gcEpoch)) { [unowned self] in
      if isSafe(block) { simulation.truth.regain(block, id) }
      if bug != .acknowledgesBeforeSync { then(store.disk) }
    }
  }

  /// A copy that does not check out is set aside and reported.
  func setAside(_ block: BlockID) {
    for store in stores where store.copies[block]?.isRotten == true { change(store, .setAside(block)) {} }
    report(block)
  }

  private func report(_ block: BlockID) {
    if !rot.contains(block), bug != .hidesRot { rot.append(block) }
  }

  /// Looks at a few copies every now and then, round and round.
  private func scrub() {
    simulation.after(.seconds(3), process) { [unowned self] in
      for store in stores {
        for block in store.copies.filter({ $0.value.isRotten }).keys.sorted().prefix(2) where simulation.diskRandom.below(3) == 0 {
          setAside(block)
        }
      }
      purge()
      scrub()
    }
  }

  /// What was deleted long enough ago goes.
  private func purge() {
    let hold = simulation.hold
    for store in stores {
      let old = store.copies.filter { $0.value.quarantinedAt.map { simulation.now - $0 >= hold } ?? false }.keys.sorted()
      for block in old {
        simulation.checkPurge(of: block, at: self)
        change(store, .purge(block)) {}
      }
    }
  }
}
