internal import BlockModel
internal import ClusterLogic
internal import HTTPTransport
internal import MetadataStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Checks the invariants that a live cluster can be asked about: every copy on a live node is read back and hashed.
///
/// What must hold: a node that does not answer is no violation by itself; what seems missing is looked at twice before it is reported,
/// because commits and repair go on meanwhile. An audit changes nothing but to note damaged copies for repair.
final class AuditRunner: Sendable {
  private struct State {
    var progress = AuditProgress(running: false, blocksDone: 0, blocksTotal: 0, findings: nil)
    var task: Task<Void, Never>?
  }

  static let pageBlocks = 32
  private static let partitionsAtOnce = 8
  /// Of so many partitions one block is read as a client reads it.
  private static let sampledEvery = 16
  private static let secondLook: Duration = .seconds(1)

  let service: ClusterService
  private let state = Mutex(State())

  init(service: ClusterService) { self.service = service }

  var progress: AuditProgress { state.withLock { $0.progress } }

  /// Starts an audit when none runs.
  func start() -> AuditProgress {
    state.withLock { state in
      guard !state.progress.running else { return state.progress }
      state.progress = AuditProgress(running: true, blocksDone: 0, blocksTotal: 0, findings: nil)
      state.task = Task { await self.run() }
      return state.progress
    }
  }

  func stop() { state.withLock { $0.task }?.cancel() }

  // MARK: Running

  private func run() async {
    var sheet = AuditSheet()
    do throws(MetadataError) {
      let counts = try await service.metadata.referencedBlockCounts()
      state.withLock { $0.progress.blocksTotal = counts.reduce(0, +) }
      sheet.merge(try await auditBlocks())
      try await auditHistory(&sheet)
      try await auditDeletes(&sheet)
      try await auditCounts(&sheet)
    } catch {
      sheet.record(.countsEqualRecount, checked: 0, violations: ["The metadata could not be read: \(error.message)"])
    }
    let findings = sheet.findings
    state.withLock { state in
      state.progress.running = false
      state.progress.findings = findings
    }
    let broken = findings.filter { !$0.holds }.map { String($0.invariant) }
    service.log.info("an audit ended", ["broken_invariants": .string(broken.joined(separator: ","))])
  }

  private func auditBlocks() async throws(MetadataError) -> AuditSheet {
    let count = (try? service.withState { state in state.layout.version > 0 ? state.layout.partitionCount : 0 }) ?? 0
    let results = await withTaskGroup(of: Result<AuditSheet, MetadataError>.self) { group in
      var next = 0
      func add() {
        guard next < count, !Task.isCancelled else { return }
        let partition = next
        next += 1
        group.addTask {
          do throws(MetadataError) { return .success(try await self.audit(partition: partition)) } catch { return .failure(error) }
        }
      }
      for _ in 0..<AuditRunner.partitionsAtOnce { add() }
      var sheet = AuditSheet()
      var failure: MetadataError?
      while let result = await group.next() {
        switch result {
        case .success(let part): sheet.merge(part)
        case .failure(let error): failure = error
        }
        if failure == nil { add() }
      }
      return failure.map { Result<AuditSheet, MetadataError>.failure($0) } ?? .success(sheet)
    }
    return try results.get()
  }

  private func audit(partition: Int) async throws(MetadataError) -> AuditSheet {
    var sheet = AuditSheet()
    var after: BlockID?
    while !Task.isCancelled {
      let bits = (try? service.withState { state in state.layout.partitionBits }) ?? 0
      let page = try await service.metadata.liveBlocks(inPartition: partition, bits: bits, after: after, limit: AuditRunner.pageBlocks)
      let blocks = page.filter(\.isReferenced)
      if !blocks.isEmpty { sheet.merge(try await audit(blocks, partition)) }
      state.withLock { $0.progress.blocksDone += blocks.count }
      guard page.count == AuditRunner.pageBlocks, let last = page.last else { break }
      after = last.id
    }
    return sheet
  }

  private func audit(_ blocks: [LiveBlock], _ partition: Int) async throws(MetadataError) -> AuditSheet {
    var sheet = AuditSheet()
    let first = try await judge(blocks.map(\.id), partition)
    var broken = first.filter { !$0.judgement.violations.isEmpty }
    // What seems wrong is looked at again: it may have been committed, moved or deleted while it was being read. Damage counts at once.
    let doubtful = broken.filter { item in !item.copies.contains { $0.answer == .damaged } }.map(\.block)
    if !doubtful.isEmpty {
      try? await Task.sleep(for: AuditRunner.secondLook)
      let live = try await stillReferenced(doubtful, partition)
      let second = try await judge(live, partition)
      broken = broken.filter { !doubtful.contains($0.block) } + second.filter { !$0.judgement.violations.isEmpty }
    }
    for invariant in [Invariant.readsBack, .committedAtQuorum, .fullyReplicated] {
      let violations = broken.flatMap(\.judgement.violations).filter { $0.invariant == invariant }.map(\.sentence)
      sheet.record(invariant, checked: blocks.count, violations: violations)
    }
    let lacking = broken.filter(\.judgement.needsRepair).map(\.block)
    if !lacking.isEmpty { try await service.metadata.addRepairs(lacking) }
    if partition % AuditRunner.sampledEvery == 0, let sample = first.first(where: { item in item.copies.contains { $0.answer == .valid } }),
      let size = blocks.first(where: { $0.id == sample.block })?.size
    {
      await auditReading(sample, size, &sheet)
    }
    return sheet
  }

  private func stillReferenced(_ blocks: [BlockID], _ partition: Int) async throws(MetadataError) -> [BlockID] {
    var found: [BlockID] = []
    for block in blocks where try await !service.metadata.uses(of: block, limit: 1).uses.isEmpty { found.append(block) }
    return found
  }

  // MARK: Copies

  struct Judged: Sendable {
    var block: BlockID
    var copies: [CopyJudgement.Copy]
    var judgement: CopyJudgement
  }

  /// Has every live holder of these blocks verify them.
  private func judge(_ blocks: [BlockID], _ partition: Int) async throws(MetadataError) -> [Judged] {
    guard
      let (layout, row, live) = try? service.withState({ state in
        (state.layout, state.fillingRow(partition), state.nodes.map(\.record.id).filter { state.liveness($0) == .alive })
      })
    else { return [] }
    let strays = try await service.metadata.strays(of: blocks)
    let known = try await knownRepairs(blocks)
    let replicas = layout.replicas(ofPartition: partition)
    var holders = replicas
    for node in (row?.sources ?? []) + blocks.flatMap({ strays[$0] ?? [] }) where !holders.contains(node) { holders.append(node) }
    let answers = await verify(blocks, at: holders.filter(live.contains))
    return blocks.enumerated().map { index, block in
      let expected = replicas + ((row?.sources ?? []) + (strays[block] ?? [])).filter { !replicas.contains($0) }
      let copies = expected.map { node in
        CopyJudgement.Copy(
          node: node, answer: answers[node].map { CopyJudgement.Answer($0[index]) } ?? .silent, isReplica: replicas.contains(node),
          isFilling: row?.targets.contains(node) ?? false)
      }
      let quorum = min(layout.writeQuorum, max(1, replicas.count))
      return Judged(
        block: block, copies: copies,
        judgement: CopyJudgement(block: block, copies: copies, writeQuorum: quorum, isKnown: known.contains(block)))
    }
  }

  private func verify(_ blocks: [BlockID], at nodes: [NodeID]) async -> [NodeID: [VerifyOutcome]] {
    await withTaskGroup(of: (NodeID, [VerifyOutcome]?).self) { group in
      for node in nodes { group.addTask { (node, await self.service.verify(node, blocks)) } }
      var answers: [NodeID: [VerifyOutcome]] = [:]
      for await (node, outcomes) in group { answers[node] = outcomes }
      return answers
    }
  }

  /// Which of these blocks have a repair row.
  private func knownRepairs(_ blocks: [BlockID]) async throws(MetadataError) -> Set<BlockID> {
    guard try await service.metadata.repairCount() > 0, let first = blocks.min(), let last = blocks.max() else { return [] }
    var found: Set<BlockID> = []
    var after = first.predecessor
    while true {
      let rows = try await service.metadata.repairs(after: after, limit: 1000)
      found.formUnion(rows.map(\.block).filter(blocks.contains))
      guard rows.count == 1000, let end = rows.last?.block, end < last else { return found }
      after = end
    }
  }
}

extension BlockID {
  /// The id just before this one; nil for the first.
  fileprivate var predecessor: BlockID? {
    var words = words
    if words.3 > 0 {
      words.3 -= 1
      return BlockID(words: words)
    }
    words.3 = .max
    if words.2 > 0 {
      words.2 -= 1
      return BlockID(words: words)
    }
    words.2 = .max
    if words.1 > 0 {
      words.1 -= 1
      return BlockID(words: words)
    }
    words.1 = .max
    if words.0 > 0 {
      words.0 -= 1
      return BlockID(words: words)
    }
    return nil
  }
}

extension CopyJudgement.Answer {
  init(_ outcome: VerifyOutcome) {
    switch outcome {
    case .valid: self = .valid
    case .missing: self = .missing
    case .rotten, .unreadable: self = .damaged
    }
  }
}
