internal import BlockModel
internal import BlockStore
internal import Platform

/// Opening, asking and closing, and what the answers mean for the model.
extension StoreRun {
  /// An opening that goes on.
  struct StoreOpening {
    var attempts = 0
  }

  mutating func beginOpening(attempts: Int = 0) {
    opening = StoreOpening(attempts: attempts + 1)
    let (configuration, log) = (configuration, log)
    scheduler.spawn {
      log.add(.opened(Result { () throws(BlockStoreError) in try SegmentStore.open(configuration) }))
    }
  }

  private var configuration: SegmentStore.Configuration {
    let settings = sequence.settings
    var configuration = SegmentStore.Configuration(
      folder: StoreRun.folder, cluster: StoreRun.cluster, keys: settings.isEncrypted ? StoreContents.keys : nil)
    configuration.durability = settings.isRelaxed ? .relaxed : .strict
    configuration.segmentBytes = settings.segmentKiB << 10
    configuration.capacityBytes = settings.capacityKiB > 0 ? Int64(settings.capacityKiB) << 10 : nil
    configuration.readThreads = 3
    configuration.queueLimit = settings.queueLimit
    configuration.checkpointRecords = settings.checkpointRecords
    configuration.openFileLimit = settings.openFileLimit
    configuration.directWriteBytes = settings.directWriteKiB << 10
    configuration.fileSystem = wrap(disk)
    configuration.time = time
    configuration.scansAhead = false
    let (scheduler, words) = (scheduler, words)
    configuration.makeQueue = { kind in scheduler.makeQueue(threads: kind.threads, queueLimit: kind.queueLimit) }
    configuration.randomWord = { words.next() }
    return configuration
  }

  /// The open store; one that is being opened is waited for, and one that is closed is opened.
  mutating func opened(_ random: inout SeededRandom) throws(Violation) -> SegmentStore {
    if let store { return store }
    if opening == nil { beginOpening() }
    while store == nil {
      guard scheduler.step(&random) else { throw violation("the opening of the disk does not come to an end") }
      try listen()
    }
    guard let store else { throw violation("no store") }
    return store
  }

  mutating func begin(_ action: StoreSequence.Action, _ store: SegmentStore) {
    guard let request = StoreRequest(action) else { preconditionFailure("only what a store is asked for begins") }
    let number = nextNumber
    nextNumber += 1
    pending[number] = request
    let (log, settings, buffers) = (log, sequence.settings, resources.buffers)
    Task(executorPreference: scheduler) {
      log.add(.began(number))
      do throws(BlockStoreError) {
        log.add(.ended(number, .success(try await request.perform(on: store, settings, buffers))))
      } catch { log.add(.ended(number, .failure(error))) }
    }
  }

  /// Ends everything in order. The next that needs a store opens it.
  mutating func close(_ store: SegmentStore, _ random: inout SeededRandom) throws(Violation) {
    let log = log
    Task(executorPreference: scheduler) {
      await store.close()
      log.add(.closed)
    }
    try rest(&random)
    guard self.store == nil else { throw violation("closing does not come to an end") }
    guard pending.isEmpty else { throw violation("\(pending.count) operations were never answered") }
    // What a failed sync left open is seen at the next start.
    model.crash(forgets: false)
    disk.setFaults {
      $0.syncsUntilFailure = nil; $0.writesUntilFailure = nil; $0.readsUntilFailure = nil; $0.nameChangesUntilFailure = nil
    }
    startAnew()
    mayBeFull = mayBeFull || disk.isLimited
    beginOpening()
  }

  /// Takes what was reported and holds it against the model.
  mutating func listen() throws(Violation) {
    for event in log.take() {
      switch event {
      case .began(let number):
        guard let request = pending[number] else { continue }
        if let mutation = request.mutation {
          model.begin(mutation, number, on: request.content)
        } else {
          model.beginRead(number, of: request.content)
        }
      case .ended(let number, let result):
        guard let request = pending.removeValue(forKey: number) else { continue }
        try hear(result, number, request)
      case .opened(.success(let opened)): try take(opened)
      case .opened(.failure(let error)): try retry(error)
      case .closed: store = nil
      }
    }
  }

  private mutating func take(_ opened: SegmentStore) throws(Violation) {
    store = opened
    opening = nil
    totals.opened += 1
    totals.tornRecords += opened.openReport.tornRecords
    if opened.openReport.usedCheckpoint { totals.fromCheckpoint += 1 }
    // A disk with room for nothing more cannot note what it found torn.
    if case .fenced = opened.health() {
      guard mayFence || mayBeFull else { throw violation("the store opened fenced: \(opened.health())") }
      mayFence = true
    }
    for content in StoreContents.all.indices {
      let state = opened.status(of: StoreContents.all[content].id)?.gcEpoch
      guard model.mayBe(state, content, mayRise: totals.tornRecords > 0) else {
        throw violation(
          "after opening, block \(content) is \(StoreModel.text([state])), may be \(StoreModel.text(model.visible(content)))")
      }
      model.see(state, content)
    }
  }

  /// A disk that was told to fail may not open; without the failures it has to.
  private mutating func retry(_ error: BlockStoreError) throws(Violation) {
    let attempts = opening?.attempts ?? 0
    let mayFail = [.io, .unreadable].contains(error.code) && (mayFence || mayBeFull || mayFailReads || isUnreadable)
    guard mayFail, attempts < 4 else { throw violation("the disk does not open: \(error)") }
    totals.failedOpenings += 1
    disk.setFaults { $0 = SimulatedDisk.Faults() }
    disk.makeReadable()
    isUnreadable = false
    beginOpening(attempts: attempts)
  }

  private mutating func hear(
    _ result: Result<StoreRequest.Answer, BlockStoreError>, _ number: Int, _ request: StoreRequest
  ) throws(Violation) {
    let content = request.content
    switch result {
    case .success(.changed(let changed)):
      totals.acknowledged += 1
      if let fault = model.succeed(number, on: content, changed: changed) { throw violation("\(request) \(fault)") }
    case .success(let answer):
      totals.reads += 1
      if case .bytes(areRight: false) = answer { throw violation("\(request) gave wrong bytes") }
      let read = model.endRead(number, of: content)
      guard read.metDamage || read.states.contains(where: { $0 != nil }) else { throw violation("\(request) read what is not there") }
    case .failure(let error): try hear(error, number, request)
    }
  }

  private mutating func hear(_ error: BlockStoreError, _ number: Int, _ request: StoreRequest) throws(Violation) {
    let content = request.content
    let isAllowed: Bool
    if request.mutation != nil {
      switch error.code {
      case .fenced:
        // It may be on the disk: the next start will show.
        totals.fenced += 1
        isAllowed = mayFence
      case .full:
        totals.full += 1
        isAllowed = mayBeFull
        model.refuse(number, on: content)
      case .busy:
        isAllowed = sequence.settings.queueLimit < StoreRun.operationLimit
        model.refuse(number, on: content)
      case .closed:
        isAllowed = true
        model.refuse(number, on: content)
      default: isAllowed = false
      }
    } else {
      let read = model.endRead(number, of: content)
      switch error.code {
      case .notFound: isAllowed = read.metDamage || read.states.contains(nil)
      case .rotten:
        totals.rottenReads += 1
        // What a crash tore was set aside: to its readers it is a bad copy.
        isAllowed = read.metDamage || read.states.contains(nil) && totals.tornRecords > 0
      case .io, .unreadable: isAllowed = mayFailReads || isUnreadable
      case .closed: isAllowed = true
      default: isAllowed = false
      }
    }
    guard isAllowed else { throw violation("\(request) failed: \(error)") }
  }
}
