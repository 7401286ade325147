internal import BlockModel
internal import ClusterLogic

/// Somebody with a device: uploads, downloads and deletes, one thing at a time, and follows the change feed of their namespace.
final class SimulatedClient {
  unowned let simulation: ClusterSimulation
  let namespace: Int
  private let process: SimulatedProcess
  private let gateway: SimulatedGateway
  private var waiting: [ClusterScenario.Action] = []
  private(set) var isBusy = false

  /// The feed as far as it was read, and what replaying it gives: the version of each file and its blocks.
  private(set) var cursor = 0
  private(set) var replayed: [Int: SimulatedMetadata.Change] = [:]

  init(_ simulation: ClusterSimulation, namespace: Int, address: Int, gateway: SimulatedGateway) {
    self.simulation = simulation
    self.namespace = namespace
    self.gateway = gateway
    process = SimulatedProcess(address: address)
  }

  private var bug: ClusterBug? { simulation.bug }
  var isIdle: Bool { !isBusy && waiting.isEmpty }

  func perform(_ action: ClusterScenario.Action) {
    waiting.append(action)
    if !isBusy { next() }
  }

  private func next() {
    guard !waiting.isEmpty else {
      isBusy = false
      return
    }
    isBusy = true
    switch waiting.removeFirst() {
    case .upload(_, let file, let blocks, let overwrites): upload(file, blocks, overwrites: overwrites, abandons: false)
    case .abandonUpload(_, let file, let blocks): upload(file, blocks, overwrites: true, abandons: true)
    case .download(_, let file): download(file, tries: 3)
    case .delete(_, let file): delete(file, tries: 3)
    default: next()
    }
  }

  private func end() { simulation.after(.milliseconds(5), process) { [unowned self] in next() } }

  private func retry(_ body: @escaping () -> Void) {
    simulation.after(.milliseconds(Int64(300 + simulation.clientRandom.below(1500))), process, body)
  }

  /// Asks the gateway; nil when no answer came.
  private func ask<Reply, Answer>(
    _ body: @escaping (SimulatedMetadata) -> Reply, _ make: @escaping (Reply) -> Answer, _ then: @escaping (Answer?) -> Void
  ) {
    let gateway = gateway
    simulation.call(process, gateway.process, within: .seconds(6)) {
      gateway.ask(body, $0, make)
    } then: {
      then($0)
    }
  }

  // MARK: Uploads

  private func upload(_ file: Int, _ numbers: [Int], overwrites: Bool, abandons: Bool) {
    let blocks = numbers.map { simulation.blocks[$0 % simulation.blocks.count] }
    let base = overwrites ? nil : replayed[file]?.version ?? 0
    open(file, blocks, base, abandons: abandons, tries: 3)
  }

  private func open(_ file: Int, _ blocks: [BlockID], _ base: Int?, abandons: Bool, tries: Int) {
    let (simulation, namespace, gateway) = (simulation, namespace, gateway)
    let id = UploadID(using: &simulation.clientRandom)
    ask(
      { metadata -> SimulatedMetadata.Opened in
        // Sent twice, it opens two sessions.
        let id = metadata.uploads[id] == nil ? id : UploadID(high: id.high, low: id.low &+ UInt64(metadata.uploadOrder.count))
        let opened = metadata.open(
          id, namespace: namespace, name: file, base: base, blocks: blocks, sizes: { simulation.size(of: $0) }, now: simulation.now)
        simulation.checkOpened(opened, blocks, namespace)
        return opened
      }, { opened in SimulatedGateway.Opened(id: opened.id, puts: gateway.puts(opened.missing, for: opened.id)) }
    ) { [unowned self] answer in
      guard let answer else {
        guard tries > 1 else { return end() }
        return retry { self.open(file, blocks, base, abandons: abandons, tries: tries - 1) }
      }
      simulation.totals.uploads += 1
      let session = SimulatedSession(id: answer.id, missing: answer.puts.map(\.block), abandons: abandons)
      put(session, answer.puts, rounds: 5)
    }
  }

  /// Puts what the session lacks, then completes it.
  private func put(_ session: SimulatedSession, _ targets: [SimulatedGateway.Target], rounds: Int) {
    guard let block = session.missing.first else { return sendOrComplete(session) }
    guard let target = targets.first(where: { $0.block == block }), !target.candidates.isEmpty else {
      return freshTargets(session, rounds: rounds)
    }
    put(target.candidates[...]) { [unowned self] receipts in
      guard let receipts else { return freshTargets(session, rounds: rounds) }
      session.missing.removeFirst()
      session.receipts += receipts
      if session.abandons, session.missing.count < 2 { return end() }
      put(session, targets, rounds: rounds)
    }
  }

  /// One candidate after the other; nil when a fresh URL is needed or none did it.
  private func put(_ candidates: ArraySlice<SimulatedCapability>, _ then: @escaping ([SimulatedReceipt]?) -> Void) {
    guard let capability = candidates.first, let node = simulation.node(capability.node) else { return then(nil) }
    simulation.call(process, node.process, within: .seconds(20)) {
      node.put(capability, $0)
    } then: { [unowned self] (result: SimulatedNode.Receipts?) in
      switch result {
      case .success(let receipts)?:
        simulation.totals.puts += 1
        then(receipts)
      case .failure(.stale)?: then(nil)
      case .failure?, nil: put(candidates.dropFirst(), then)
      }
    }
  }

  private func freshTargets(_ session: SimulatedSession, rounds: Int) {
    guard rounds > 0 else { return end() }
    retry { [unowned self] in
      let (gateway, missing, id) = (gateway, session.missing, session.id)
      ask({ $0.missing(id) != nil }, { isOpen in isOpen ? gateway.puts(missing, for: id) : [] }) { [unowned self] targets in
        guard let targets else { return freshTargets(session, rounds: rounds - 1) }
        guard !targets.isEmpty else { return end() }
        put(session, targets, rounds: rounds - 1)
      }
    }
  }

  /// Half of the time receipts go ahead, as a long upload sends them.
  private func sendOrComplete(_ session: SimulatedSession) {
    guard !session.receipts.isEmpty, simulation.clientRandom.below(2) == 0 else { return complete(session, rounds: 6) }
    let (simulation, id, receipts) = (simulation, session.id, session.receipts)
    ask({ $0.keep(receipts, for: id, sizes: { simulation.size(of: $0) }, now: simulation.now) }, { $0 }) { [unowned self] (_: Bool?) in
      let pause = simulation.clientRandom.below(1000 * simulation.settings.pauseSeconds)
      simulation.after(.milliseconds(Int64(pause)), process) { [unowned self] in complete(session, rounds: 6) }
    }
  }

  private func complete(_ session: SimulatedSession, rounds: Int) {
    guard rounds > 0 else { return end() }
    let (simulation, id, receipts) = (simulation, session.id, session.receipts)
    ask(
      { metadata in
        metadata.complete(id, receipts: receipts, sizes: { simulation.size(of: $0) }, now: simulation.now) { upload, arrivals in
          simulation.checkCommit(upload, arrivals)
        }
      }, { $0 }
    ) { [unowned self] (answer: SimulatedMetadata.Completion?) in
      switch answer {
      case .committed(let version)?:
        simulation.acknowledge(id, version: version)
        end()
      case .missing(let blocks)?:
        session.missing = blocks
        session.receipts.removeAll { blocks.contains($0.block) }
        freshTargets(session, rounds: rounds - 1)
      case .conflict?, .gone?: end()
      case nil: retry { self.complete(session, rounds: rounds - 1) }
      }
    }
  }

  private func delete(_ file: Int, tries: Int) {
    let namespace = namespace
    ask({ $0.delete(file, namespace: namespace) }, { $0 }) { [unowned self] (answer: Bool?) in
      guard answer == nil, tries > 1 else { return end() }
      retry { self.delete(file, tries: tries - 1) }
    }
  }

  // MARK: Downloads

  private func download(_ file: Int, tries: Int) {
    let (gateway, namespace) = (gateway, namespace)
    ask(
      { metadata -> ([BlockID], [BlockID: [NodeID]]) in
        let blocks = metadata.namespaces[namespace].file(file)?.blocks ?? []
        return (blocks, metadata.strays)
      }, { gateway.gets($0.0, strays: $0.1) }
    ) { [unowned self] targets in
      guard let targets else {
        guard tries > 1 else { return end() }
        return retry { self.download(file, tries: tries - 1) }
      }
      read(targets[...]) { [unowned self] isWhole in
        simulation.totals.downloads += 1
        if isWhole || tries == 1 { return end() }
        retry { self.download(file, tries: tries - 1) }
      }
    }
  }

  private func read(_ targets: ArraySlice<SimulatedGateway.Target>, _ then: @escaping (Bool) -> Void) {
    guard let target = targets.first else { return then(true) }
    get(target.candidates[...]) { [unowned self] isThere in isThere ? read(targets.dropFirst(), then) : then(false) }
  }

  /// Takes the next replica on error, and when the bytes are not the block.
  private func get(_ candidates: ArraySlice<SimulatedCapability>, _ then: @escaping (Bool) -> Void) {
    guard let capability = candidates.first, let node = simulation.node(capability.node) else { return then(false) }
    simulation.call(process, node.process, within: .seconds(8)) {
      node.get(capability, $0)
    } then: { [unowned self] (result: Result<Bool, SimulatedNode.Failure>?) in
      guard case .success(let isRight)? = result, isRight || bug == .servesRot else { return get(candidates.dropFirst(), then) }
      simulation.checkAccepted(isRight, capability.block)
      then(true)
    }
  }

  // MARK: The feed

  /// Reads the feed on from the cursor, which moves when the page was applied.
  func follow() {
    let (namespace, cursor, bug) = (namespace, cursor, bug)
    ask(
      { metadata -> [SimulatedMetadata.Change] in
        var page = Array(metadata.namespaces[namespace].changes.filter { $0.sequence > cursor }.prefix(5))
        if bug == .skipsChanges, page.count == 5, let last = page.popLast(), !page.isEmpty { page[page.count - 1].sequence = last.sequence }
        return page
      }, { $0 }
    ) { [unowned self] (page: [SimulatedMetadata.Change]?) in
      if let page, self.cursor == cursor { apply(page) }
      simulation.after(.milliseconds(Int64(1000 + simulation.clientRandom.below(2000))), process) { [unowned self] in follow() }
    }
  }

  private func apply(_ page: [SimulatedMetadata.Change]) {
    for change in page {
      simulation.checkNext(change, after: cursor)
      cursor = change.sequence
      replayed[change.name] = change.version == 0 ? nil : change
    }
  }
}

/// An upload as its client knows it.
final class SimulatedSession {
  let id: UploadID
  var missing: [BlockID]
  var receipts: [SimulatedReceipt] = []
  /// The client goes away before the end.
  let abandons: Bool

  init(id: UploadID, missing: [BlockID], abandons: Bool) {
    self.id = id
    self.missing = missing
    self.abandons = abandons
  }
}
