internal import BlockModel
internal import Platform
internal import ServiceAPI

/// One upload session as the client sees it: announces blocks in order while they are being hashed, hands out their URLs, and delivers
/// receipts.
///
/// Blocks may arrive in any order; they are announced in runs, one request at a time, each with all that came in during the one before.
actor UploadSession {
  /// What to do with an announced block.
  enum Need: Sendable {
    case have
    case send([SignedTarget])
  }

  /// Receipts in one request.
  private static let receiptsPerRequest = 96
  /// Blocks that the gateway had after which the next one is expected to be there as well.
  private static let streak = 8
  /// Between two requests that announce what is expected to be there.
  private static let gathering = Duration.milliseconds(40)
  /// Pages of lacking blocks read for one answer at most: a billion bytes of block list.
  private static let pageLimit = 256

  private let gateway: GatewayConnection
  private let journal: UploadJournal?
  private let source: FileIdentity?
  private let threads: BlockingPool
  private var template: UploadRequest
  private(set) var id: UploadID?
  /// What the gateway said of a session whose request left it to the folder.
  private(set) var chunking: Chunking?
  /// All blocks known so far, in order; those before `announced` are with the gateway.
  private(set) var blocks: [BlockRef] = []
  private var announced = 0
  private var arrived: [Int: (ref: BlockRef, waiter: CheckedContinuation<Need, any Error>)] = [:]
  /// Set while announcing goes on.
  private var announcing: Task<Void, Never>?
  private var failure: (any Error)?
  /// Blocks that the gateway had already, one after the other up to now.
  private var haveInARow: Int
  private var receipts: [String] = []
  private var isDelivering = false
  private var refreshing: Task<[Int: [SignedTarget]], any Error>?

  init(gateway: GatewayConnection, template: UploadRequest, journal: UploadJournal?, source: FileIdentity?, threads: BlockingPool) {
    self.gateway = gateway
    self.template = template
    self.journal = journal
    self.source = source
    self.threads = threads
    haveInARow = (template.baseVersion ?? 0) > 0 ? UploadSession.streak : 0
  }

  // MARK: Going on with a former run

  /// Takes up the session of a former run; false when the gateway does not know it any more.
  func resume(_ memory: UploadJournal.Memory) async throws -> Bool {
    let state: UploadState
    do { state = try await gateway.uploadState(memory.upload) } catch let problem as Problem
      where [.notFound, .uploadNotFound, .forbidden, .conflict, .fenced].contains(problem.kind)
    { return false }
    guard state.status == .uploading else { return false }
    id = memory.upload
    chunking = Chunking(state.chunker ?? .fixed)
    blocks = memory.blocks
    announced = min(state.blockCount, blocks.count)
    receipts = memory.receipts
    try await deliver(all: true)
    while announced < blocks.count {
      let end = min(announced + Limits.blocksPerRequest, blocks.count)
      _ = try await gateway.addBlocks(memory.upload, start: announced, Array(blocks[announced..<end]))
      announced = end
    }
    return true
  }

  // MARK: Announcing

  /// Whether the next block is likely to be there already: those before it were, or it is of a new version of a file.
  var expectsToHave: Bool { haveInARow >= UploadSession.streak }

  /// Announces block `index` as soon as all before it are; answers whether and where to send it.
  func announce(_ index: Int, _ ref: BlockRef) async throws -> Need {
    if let failure { throw failure }
    return try await withCheckedThrowingContinuation { waiter in
      arrived[index] = (ref, waiter)
      guard announcing == nil else { return }
      announcing = Task { await announceArrived() }
    }
  }

  /// Ends the waiting of all: the upload has failed.
  func fail(_ error: any Error) {
    guard failure == nil else { return }
    failure = error
    announcing?.cancel()
    let waiting = arrived
    arrived = [:]
    for (_, entry) in waiting { entry.waiter.resume(throwing: error) }
  }

  private func announceArrived() async {
    defer { announcing = nil }
    while failure == nil {
      var run: [(ref: BlockRef, waiter: CheckedContinuation<Need, any Error>)] = []
      while run.count < Limits.blocksPerRequest, let next = arrived.removeValue(forKey: blocks.count + run.count) { run.append(next) }
      guard !run.isEmpty else { return }
      let start = blocks.count
      blocks += run.map(\.ref)
      do {
        let missing = try await announceRun(start: start, run.map(\.ref))
        for (offset, entry) in run.enumerated() {
          let targets = missing[start + offset]
          haveInARow = targets == nil ? haveInARow + 1 : 0
          entry.waiter.resume(returning: targets.map { .send($0) } ?? .have)
        }
      } catch {
        for entry in run { entry.waiter.resume(throwing: error) }
        fail(error)
      }
      // Nobody holds a buffer meanwhile, and each request is a transaction of the cluster's.
      if expectsToHave { try? await Task.sleep(for: UploadSession.gathering) }
    }
  }

  private func announceRun(start: Int, _ refs: [BlockRef]) async throws -> [Int: [SignedTarget]] {
    let state: UploadState
    if let id {
      if let journal { try await threads.run { try journal.hashed(refs) } }
      state = try await gateway.addBlocks(id, start: start, refs)
    } else {
      state = try await open(with: refs)
    }
    announced = start + refs.count
    return try await lacking(in: start..<(start + refs.count), from: state)
  }

  private func open(with refs: [BlockRef]) async throws -> UploadState {
    var request = template
    request.blocks = refs
    let state = try await gateway.openUpload(request)
    id = state.uploadID
    chunking = Chunking(state.chunker ?? .fixed)
    if let journal, let source {
      try await threads.run {
        try journal.began(state.uploadID, source: source)
        try journal.hashed(refs)
      }
    }
    return state
  }

  /// Opens a session for a file without any block.
  func openEmpty() async throws {
    if id == nil { _ = try await open(with: []) }
  }

  /// Opens the session before anything of the file was read, to hear how its folder wants it cut.
  func openAhead() async throws -> Chunking {
    var request = template
    // None at all: an empty list together with the size would be a whole file.
    request.blocks = nil
    let state = try await gateway.openUpload(request)
    id = state.uploadID
    if let journal, let source { try await threads.run { try journal.began(state.uploadID, source: source) } }
    let chunking = Chunking(state.chunker ?? .fixed)
    self.chunking = chunking
    return chunking
  }

  /// Settles how the file is cut; of no effect on a session that is open, which has settled it.
  func choose(_ chunking: Chunking) { template.chunker = chunking.wire }

  /// The lacking blocks of `range` among the pages that begin with `first`.
  private func lacking(in range: Range<Int>, from first: UploadState) async throws -> [Int: [SignedTarget]] {
    var found: [Int: [SignedTarget]] = [:]
    var page = first
    for _ in 0..<UploadSession.pageLimit {
      for block in page.missing where range.contains(block.index) { found[block.index] = block.put }
      guard let next = page.next, (page.missing.last?.index ?? 0) < range.upperBound - 1 else { break }
      page = try await gateway.uploadState(page.uploadID, cursor: next)
    }
    return found
  }

  // MARK: What is lacking now

  /// Fresh URLs for a block, nil when it is not lacking any more. Blocks that ask at the same time share one request.
  func freshTargets(_ index: Int) async throws -> [SignedTarget]? {
    try await deliver(all: true)
    if let refreshing { return try await refreshing.value[index] }
    let end = blocks.count
    let task = Task { try await allLacking(below: end) }
    refreshing = task
    defer { if refreshing == task { refreshing = nil } }
    return try await task.value[index]
  }

  /// One page of what the gateway lacks, in file order.
  func lackingPage(cursor: String?) async throws -> UploadState {
    guard let id else { throw CairnError(.unexpected, "The upload has no session.") }
    return try await gateway.uploadState(id, cursor: cursor)
  }

  private func allLacking(below end: Int) async throws -> [Int: [SignedTarget]] {
    try await lacking(in: 0..<end, from: try await lackingPage(cursor: nil))
  }

  // MARK: Receipts

  /// Keeps receipts and delivers them in batches.
  func add(_ new: [String]) async throws {
    if let journal { try await threads.run { try journal.received(new) } }
    receipts += new
    if receipts.count >= UploadSession.receiptsPerRequest { try await deliver(all: false) }
  }

  private func deliver(all: Bool) async throws {
    guard let id, !isDelivering else { return }
    isDelivering = true
    defer { isDelivering = false }
    while receipts.count >= (all ? 1 : UploadSession.receiptsPerRequest) {
      let batch = Array(receipts.prefix(Limits.blocksPerRequest))
      do { try await gateway.addReceipts(id, batch) } catch let problem as Problem where problem.kind == .invalidReceipt {
        // Of a copy that does not count any more; completing says which blocks that leaves lacking.
      }
      receipts.removeFirst(batch.count)
      if let journal { try await threads.run { try journal.delivered(batch.count) } }
    }
  }

  // MARK: The end

  enum Completion: Sendable {
    case done(FileEntry)
    case lacking
  }

  /// - Parameters:
  ///   - size: of the file; its blocks have more where they are sealed.
  ///   - contentHash: where it does not follow from the blocks; where they are sealed, that of the file.
  ///   - cipher: what they are sealed with.
  func complete(size: Int64, contentHash: String?, sealedWith cipher: FolderCipher? = nil) async throws -> Completion {
    guard let id else { throw CairnError(.unexpected, "The upload has no session.") }
    while isDelivering { try await Task.sleep(for: .milliseconds(1)) }
    if receipts.count > UploadSession.receiptsPerRequest { try await deliver(all: true) }
    let sent = receipts
    var request = CompleteRequest(size: size, contentHash: contentHash, receipts: sent.isEmpty ? nil : sent)
    if cipher != nil || contentHash == nil { request.contentHash = ContentHash.ofPieces(blocks.map(\.id)) }
    if let cipher, let sealedHash = request.contentHash {
      request.size = blocks.reduce(0) { $0 + Int64($1.size) }
      request.envelope = try cipher.envelope(
        FolderCipher.Content(size: size, contentHash: contentHash ?? ContentHash.ofPieces([])), of: sealedHash)
    }
    do {
      let file = try await gateway.completeUpload(id, request)
      return .done(file)
    } catch let problem as Problem where problem.kind == .missingBlocks || problem.kind == .invalidReceipt {
      // Receipts that are not good would be refused again.
      receipts.removeFirst(min(sent.count, receipts.count))
      return .lacking
    }
  }

  func abort() async {
    guard let id else { return }
    try? await gateway.abortUpload(id)
  }
}
