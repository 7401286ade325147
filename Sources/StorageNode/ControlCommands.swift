internal import BlockModel
internal import BlockStore
internal import ClusterLogic
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Answers the coordinator's commands: `POST /v1/control/{sha256 of the body}`.
///
/// What must hold: the body's hash is the signed name in the URL, so a signature covers the whole command; every list is bounded.
struct ControlCommands: Sendable {
  static let bodyLimit = 4 << 20
  private static let partitionBits = 0...20

  let node: NodeID
  let admission: Admission
  let disks: DiskSet
  let pools: BufferPools
  let copying: RecordCopying
  let keys: DataKeyring?
  let knowledge: ClusterKnowledge
  let scrubs: ScrubService
  let seals: PartitionSeals
  let time: any TimeSource
  let log: Logger

  func handle(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    do throws(Problem) {
      let capability = try admission.capability(block: head.parameters["hash"] ?? "", query: head.query, operations: [.control])
      try ControlProtocol.check(head.headers[ControlHeader.protocolVersion], callee: "This node")
      let bytes: [UInt8]
      do throws(HTTPBodyError) { bytes = try await body.collect(limit: min(capability.size, ControlCommands.bodyLimit)) } catch {
        throw Problem(error)
      }
      let hash = bytes.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
      guard bytes.count == capability.size, hash == capability.block else {
        throw Problem(.hashMismatch, "The body is not the command that this URL was signed for.")
      }
      // Before anything is answered under a newer layout, what is given up under an older one has ended, for good.
      do { try await seals.observe(layoutVersion: capability.layoutVersion) } catch { throw ControlCommands.problem(error) }
      let command: NodeCommand
      do throws(JSONError) { command = try JSONCoding.decode(NodeCommand.self, from: bytes, limit: ControlCommands.bodyLimit) } catch {
        throw Problem(.malformed, "The command cannot be read: \(error.message)")
      }
      return HTTPResponse(status: 200, json: try await perform(command, capability, head.requestID))
    } catch { return HTTPResponse(error) }
  }

  private func perform(_ command: NodeCommand, _ capability: Capability, _ requestID: String) async throws(Problem) -> NodeCommandReply {
    if command.asksAboutCopies { try checkQuestion(capability) }
    switch command {
    case .exist(let blocks):
      try check(blocks.count <= 10_000, "at most 10,000 blocks")
      return .exist(
        present: String(decoding: disks.holds(blocks).map { $0 ? UInt8(ascii: "1") : UInt8(ascii: "0") }, as: UTF8.self))
    case .digest(let partitions, let bits):
      try check(partitions.count <= 4096, "at most 4,096 partitions")
      for partition in partitions { try checkPartition(partition, bits) }
      let digests = partitions.map { disks.digest(ofPartition: $0, bits: bits) }
      // After the digests: what is set aside while they are made is in one of the two.
      let asides = disks.setAsideCounts(inPartitions: partitions, bits: bits)
      return .digest(counts: digests.map(\.count), words: digests.map(\.words), disks: disks.soundDisks, asides: asides)
    case .list(let partition, let bits, let after, let limit):
      try checkPartition(partition, bits)
      try check(limit > 0, "a limit above 0")
      let limit = min(limit, 10_000)
      // Before the list: what is acknowledged while it is made counts as after it.
      let mark = seals.mark(of: partition)
      let page = disks.blocks(inPartition: partition, bits: bits, after: after, limit: limit)
      return .list(
        blocks: page.map { BlockRef(id: $0.id, size: $0.plainBytes) }, next: page.count == limit ? page.last?.id : nil, mark: mark)
    case .copy(let items):
      try check(items.count <= 256, "at most 256 items")
      return .copy(outcomes: await copying.copy(items, gcEpoch: capability.gcEpoch, requestID: requestID))
    case .verify(let blocks):
      try check(blocks.count <= 256, "at most 256 blocks")
      return .verify(outcomes: await verify(blocks))
    case .seal(let partitions, let layoutVersion):
      try check(partitions.count <= 4096, "at most 4,096 partitions")
      guard let bits = knowledge.partitionBits else { throw Problem(.unavailable, "This node knows no layout yet.", retryAfter: 1) }
      for partition in partitions { try checkPartition(partition, bits) }
      try check(layoutVersion <= capability.layoutVersion, "no layout newer than its own")
      do { try await seals.seal(partitions, layoutVersion: layoutVersion) } catch { throw ControlCommands.problem(error) }
      return .sealed
    case .retire(let partition, let bits, let blocks, let mark):
      try check(blocks.count <= 1000, "at most 1,000 blocks")
      try checkPartition(partition, bits)
      try check(blocks.allSatisfy { $0.partition(bits: bits) == partition }, "blocks of one partition")
      return .retire(retired: try await retire(blocks, of: partition, bits, mark: mark, capability.layoutVersion))
    case .delete(let blocks):
      try check(blocks.count <= 1000, "at most 1,000 blocks")
      return .delete(deleted: try await delete(blocks, capability))
    case .listBelow(let epoch, let partition, let bits, let after, let limit):
      try checkPartition(partition, bits)
      try check((1...10_000).contains(limit), "a limit from 1 to 10,000")
      return garbage.list(below: epoch, partition: partition, bits: bits, after: after, limit: limit)
    case .listQuarantined(let after, let limit):
      try check((1...10_000).contains(limit), "a limit from 1 to 10,000")
      return garbage.quarantined(after: after, limit: limit)
    case .restore(let epoch, let after, let limit):
      try check((1...1000).contains(limit), "a limit from 1 to 1,000")
      return await garbage.restore(sinceEpoch: epoch, after: after, limit: limit)
    case .dataKey(let epoch, let requester, let publicKey):
      return try dataKey(epoch, requester, publicKey)
    case .scrub(let action):
      scrubs.perform(action)
      return .done
    }
  }

  /// Whoever asks may conclude that no older delete takes what it is told of: so this node refuses those first.
  private func checkQuestion(_ capability: Capability) throws(Problem) {
    guard let view = knowledge.view else { return }
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkQuestion(gcEpoch: capability.gcEpoch, knownEpoch: view.gcEpoch)
    } catch {
      knowledge.heard(gcEpoch: capability.gcEpoch)
      throw Problem(error, layoutVersion: capability.layoutVersion)
    }
  }

  private var garbage: GarbageCommands { GarbageCommands(disks: disks, time: time, log: log) }

  private func check(_ condition: Bool, _ words: String) throws(Problem) {
    guard condition else { throw Problem(.malformed, "The command takes \(words).") }
  }

  private func checkPartition(_ partition: Int, _ bits: Int) throws(Problem) {
    try check(
      ControlCommands.partitionBits.contains(bits) && (0..<(1 << max(0, min(bits, 20)))).contains(partition), "a partition that exists")
  }

  private func verify(_ blocks: [BlockID]) async -> [VerifyOutcome] {
    var outcomes: [VerifyOutcome] = []
    for block in blocks {
      guard let stored = disks.status(of: block) else {
        outcomes.append(.missing)
        continue
      }
      do throws(BlockStoreError) {
        try await disks.verify(block, using: pools.read.pool(storedBytes: stored.storedBytes))
        outcomes.append(.valid)
      } catch {
        switch error.code {
        case .notFound: outcomes.append(.missing)
        case .rotten: outcomes.append(.rotten)
        default: outcomes.append(.unreadable)
        }
        log.warning("a copy did not verify", ["block": .string(block.hex), "reason": .string(error.message)])
      }
    }
    return outcomes
  }

  /// A coordinator that acts on an older layout than this node's is a past one: it deletes nothing here.
  private func delete(_ blocks: [BlockID], _ capability: Capability) async throws(Problem) -> Int {
    if let view = knowledge.view {
      do throws(LayoutFence.Refusal) {
        try LayoutFence.checkDeletion(
          layoutVersion: capability.layoutVersion, gcEpoch: capability.gcEpoch, knownLayout: view.layout.version, knownEpoch: view.gcEpoch)
      } catch { throw Problem(error, layoutVersion: capability.layoutVersion) }
    }
    return await garbage.delete(blocks, below: capability.gcEpoch)
  }

  /// Gives up copies that every replica has, whatever their epoch. This node checks for itself that it is no replica: with another layout
  /// than the command's it knows nothing about that, and does nothing.
  private func retire(
    _ blocks: [BlockID], of partition: Int, _ bits: Int, mark: UInt64, _ layoutVersion: UInt64
  ) async throws(Problem) -> Int {
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkRetirement(
        by: node, of: partition, bits: bits, layoutVersion: layoutVersion, knowing: knowledge.view?.layout)
    } catch { throw Problem(error, layoutVersion: layoutVersion) }
    try seals.beginRetiring(partition, layoutVersion: layoutVersion, mark: mark)
    defer { seals.endRetiring(partition, layoutVersion: layoutVersion) }
    // All at once, so that they share a sync.
    let outcomes = await withTaskGroup(of: Result<Bool, BlockStoreError>.self) { group in
      for block in blocks {
        group.addTask {
          do throws(BlockStoreError) { return .success(try await disks.delete(block, ifEpochBelow: .max)) } catch { return .failure(error) }
        }
      }
      var outcomes: [Result<Bool, BlockStoreError>] = []
      for await outcome in group { outcomes.append(outcome) }
      return outcomes
    }
    var retired = 0
    for outcome in outcomes {
      do throws(BlockStoreError) { retired += try outcome.get() ? 1 : 0 } catch { throw Problem(error) }
    }
    log.info("copies that moved to other nodes were given up", ["partition": .int(partition), "blocks": .int(retired)])
    return retired
  }

  private static func problem(_ error: any Error) -> Problem {
    error as? Problem ?? Problem(.unavailable, "This node could not keep what it was told: \(error)", retryAfter: 1)
  }

  private func dataKey(_ epoch: UInt32, _ requester: NodeID, _ publicKey: String) throws(Problem) -> NodeCommandReply {
    guard let key = keys?.key(epoch) else { throw Problem(.notFound, "This node does not hold the data key of epoch \(epoch).") }
    guard let bytes = HexDigits.decode(publicKey) else { throw Problem(.malformed, "The public key is not hexadecimal.") }
    do throws(CryptoError) {
      let reply = try DataKeyExchange.answer(key: key, epoch: epoch, requester: requester, publicKey: bytes, holder: node)
      log.info("a data key was given to a node", ["epoch": .int(epoch), "node": .string(requester.text)])
      return reply
    } catch { throw Problem(.malformed, "The public key is not usable.") }
  }
}

extension NodeCommand {
  /// Its answer says which copies are here.
  fileprivate var asksAboutCopies: Bool {
    switch self {
    case .exist, .digest, .verify, .copy: true
    case .list, .seal, .retire, .delete, .listBelow, .listQuarantined, .restore, .dataKey, .scrub: false
    }
  }
}
