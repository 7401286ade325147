internal import BlockModel
internal import BlockStore
internal import ClusterLogic
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// A client's PUT at the first node: receive, hash, seal, forward, store, and answer with receipts.
///
/// What must hold: a 201 stands for as many durable copies, in as many zones, as the write needs, one of them hashed here; when the bytes
/// are not the block or the client goes away, no node keeps anything.
struct BlockUpload: Sendable {
  let node: NodeID
  let zone: ZoneID
  let pools: BufferPools
  let limits: NodeLimits
  let keys: DataKeyring?
  let keeper: CopyKeeper
  let knowledge: ClusterKnowledge
  let forwarding: Forwarding
  let foreground: ForegroundMeter
  let time: any TimeSource
  let log: Logger

  private let clock = WriteClock()

  private static let placement = BodyPlacement(
    base: RecordLayout.framesStart, piece: Limits.frameBytes, stride: Limits.frameBytes + Limits.frameTagBytes)
  /// Bytes hashed and sealed before replicas are told that there is more.
  private static let step = 256 << 10

  /// The receipts of a PUT whose body comes with the request.
  func receive(_ put: AdmittedPut, _ body: any HTTPRequestBody) async throws(Problem) -> [String] {
    let buffer = try await acquire(put)
    let write = try prepare(put, buffer)
    body.receive(into: buffer, placement: BlockUpload.placement, limit: put.bodyBytes)
    let record: SealedRecord
    do throws(Problem) { record = try await intake(put, body, buffer, write) } catch {
      write.abort()
      throw error
    }
    return try await keep([Sealed(put: put, record: record, write: write)])[0].get()
  }

  /// A block that is what it is named after, sealed, and not stored yet.
  struct Sealed: Sendable {
    fileprivate let put: AdmittedPut
    fileprivate let record: SealedRecord
    fileprivate let write: ReplicatedWrite
  }

  /// Checks and seals a PUT whose body is in memory already. `keep` has to follow.
  ///
  /// - Parameters:
  ///   - range: where the body is in the batch.
  ///   - buffer: of `pool(for:)`.
  func seal(_ put: AdmittedPut, _ range: Range<Int>, of batch: IOBuffer, in buffer: IOBuffer) throws(Problem) -> Sealed {
    let write = try prepare(put, buffer)
    do throws(Problem) {
      BlockUpload.place(batch.bytes(range), in: buffer)
      var receiver = try BlockReceiver(put, buffer: buffer, keys: keys)
      _ = try receiver.take(upTo: range.count)
      return Sealed(put: put, record: try receiver.finish(gcEpoch: put.capability.gcEpoch), write: write)
    } catch {
      write.abort()
      throw error
    }
  }

  /// Where a PUT's buffer comes from.
  func pool(for put: AdmittedPut) -> BufferPool { pools.client.pool(storedBytes: put.bodyBytes) }

  private static func place(_ bytes: UnsafeRawBufferPointer, in buffer: IOBuffer) {
    var done = 0
    while done < bytes.count {
      let run = min(Limits.frameBytes, bytes.count - done)
      let start = RecordLayout.frameStart(done / Limits.frameBytes)
      buffer.mutableBytes(start..<(start + run)).copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[done..<(done + run)]))
      done += run
    }
  }

  private func acquire(_ put: AdmittedPut) async throws(Problem) -> IOBuffer {
    let pool = pool(for: put)
    if let buffer = pool.tryAcquire() { return buffer }
    do { return try await pool.acquire(patience: limits.clientPatience) } catch { throw .noBuffer }
  }

  private func prepare(_ put: AdmittedPut, _ buffer: IOBuffer) throws(Problem) -> ReplicatedWrite {
    guard let layout = knowledge.view?.layout else {
      throw Problem(.unavailable, "This node has not heard from its coordinator yet; take another replica or try again.", retryAfter: 1)
    }
    let capability = put.capability
    let candidates = capability.forwards.compactMap { forward in
      knowledge.member(forward.node).map {
        WriteQuorum.Candidate(node: $0.node, zone: $0.zone, isUp: $0.state == .alive && $0.writable)
      }
    }
    let copies = max(1, layout.targetCopies)
    let quorum = WriteQuorum(
      own: WriteQuorum.Candidate(node: node, zone: zone, isUp: true), forwards: candidates,
      configuration: WriteQuorum.Configuration(
        copiesWanted: copies, copiesNeeded: min(max(1, capability.writeQuorum), copies),
        zonesNeeded: min(max(1, capability.writeQuorum), max(1, layout.zoneCount))))
    let forwarding = forwarding
    return ReplicatedWrite(
      own: node, quorum: quorum, record: OutgoingRecord(buffer: buffer, storedBytes: put.bodyBytes), time: time, clock: clock
    ) { node, record in
      await forwarding.send(record, to: node, under: capability, requestID: put.requestID)
    }
  }

  /// Takes the body in, in step with the network.
  private func intake(
    _ put: AdmittedPut, _ body: any HTTPRequestBody, _ buffer: IOBuffer, _ write: ReplicatedWrite
  ) async throws(Problem) -> SealedRecord {
    var receiver = try BlockReceiver(put, buffer: buffer, keys: keys)
    let started = time.monotonic()
    var taken = 0
    while true {
      let progress: (count: Int, ended: Bool)
      do throws(HTTPBodyError) { progress = try await body.received(beyond: taken) } catch { throw Problem(error) }
      while taken < progress.count {
        taken = min(taken + BlockUpload.step, progress.count)
        write.advance(to: try receiver.take(upTo: taken))
        if !write.hasBegun, isNearlyHere(taken, of: put.bodyBytes, since: started) { write.begin() }
      }
      if case .failed(let failure)? = write.decided { throw BlockUpload.problem(failure) }
      if progress.ended { break }
    }
    guard taken == put.bodyBytes else { throw Problem(.malformed, "The body has \(taken) bytes; \(put.bodyBytes) were declared.") }
    return try receiver.finish(gcEpoch: put.capability.gcEpoch)
  }

  /// Whether the rest of the body can be expected so soon that replicas may start to receive.
  private func isNearlyHere(_ taken: Int, of total: Int, since started: MonotonicTime) -> Bool {
    guard taken >= Limits.frameBytes, total > Limits.frameBytes else { return false }
    let elapsed = (time.monotonic() - started).inSeconds
    return elapsed * Double(total - taken) / Double(taken) <= limits.streamingHorizon.inSeconds
  }

  /// Stores records here and waits for their quorums; the receipts of each, in their order.
  func keep(_ blocks: [Sealed]) async -> [Result<[String], Problem>] {
    // From here on it is the nodes that take their time, and not the client.
    let began = time.monotonic()
    if blocks.count == 1 {
      blocks[0].begin()
    } else {
      forwarding.courier.together { for block in blocks { block.begin() } }
    }
    let stored = await keeper.store(blocks.map { ($0.record, $0.put.capability) }, verification: .hashed)
    for (block, result) in zip(blocks, stored) { tell(block, result) }
    var answers: [Result<[String], Problem>] = []
    for (block, result) in zip(blocks, stored) {
      answers.append(await answer(block, result))
      foreground.note(time.monotonic() - began)
    }
    return answers
  }

  /// Tells a block's quorum what became of the copy here.
  private func tell(_ block: Sealed, _ result: Result<String, BlockStoreError>) {
    switch result {
    case .success(let receipt): block.write.localStored(receipt: receipt)
    case .failure(let error):
      log.request(block.put.requestID).error(
        "a block was not stored", ["block": .string(block.put.capability.block.hex), "reason": .string(error.message)])
      block.write.localFailed(error.code == .full ? .full : .refused)
    }
  }

  private func answer(_ block: Sealed, _ result: Result<String, BlockStoreError>) async -> Result<[String], Problem> {
    if case .failure(let error) = result {
      block.write.abort()
      return .failure(Problem(error))
    }
    switch await block.write.outcome() {
    case .stored(let receipts): return .success(receipts)
    case .failed(let failure):
      block.write.abort()
      return .failure(BlockUpload.problem(failure))
    }
  }

  private static func problem(_ failure: WriteQuorum.Failure) -> Problem {
    switch failure {
    case .localStorage(.full): Problem(.full, "This node has no room for the block; ask for a URL at another node.")
    case .localStorage: Problem(.unavailable, "This node could not store the block; take another replica.", retryAfter: 1)
    case .tooFewCopies(_, _, full: true): Problem(.full, "The nodes that may hold this block have no room.")
    case .tooFewCopies(let durable, let zones, full: false):
      Problem(
        .unavailable, "Too few nodes took the block (\(durable) copies in \(zones) zones are durable): try again, or ask for a fresh URL.",
        retryAfter: 1)
    case .timedOut(let durable, let zones):
      Problem(
        .unavailable, "The nodes took too long (\(durable) copies in \(zones) zones are durable): try again, or ask for a fresh URL.",
        retryAfter: 1)
    }
  }
}

extension BlockUpload.Sealed {
  /// The record may go to replicas.
  fileprivate func begin() { write.verified(end: RecordLayout.recordBytes(storedBytes: record.header.storedBytes)) }
}
