internal import BlockModel
internal import BlockStore
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Fetches blocks' records from other nodes, for repair and rebalance.
///
/// What must hold: a record is stored only when every tag fits and its plain bytes have the SHA-256 that is the block's name, so a repair
/// never spreads what one bad node made up.
struct RecordCopying: Sendable {
  /// Room for a problem document, which may be longer than a small block's record.
  private static let problemBytes = 16 << 10

  let client: any HTTPRequesting
  let disks: DiskSet
  let pools: BufferPools
  let limits: NodeLimits
  let keys: DataKeyring?
  let metrics: NodeMetrics
  let log: Logger

  /// Copies the items, a bounded number at a time; one outcome per item, in their order.
  func copy(_ items: [CopyItem], gcEpoch: UInt64, requestID: String) async -> [CopyOutcome] {
    await withTaskGroup(of: (Int, CopyOutcome).self) { group in
      var next = 0
      func add() {
        guard next < items.count else { return }
        let (index, item) = (next, items[next])
        next += 1
        group.addTask { (index, await copy(item, gcEpoch, requestID)) }
      }
      for _ in 0..<limits.parallelCopies { add() }
      var outcomes = [CopyOutcome](repeating: .failed, count: items.count)
      while let (index, outcome) = await group.next() {
        outcomes[index] = outcome
        metrics.copies(outcome.rawValue).increment()
        add()
      }
      return outcomes
    }
  }

  /// A copy that only a fenced disk of this node has goes to another of its disks without the network; nil when that did not do.
  private func moveFromFenced(_ item: CopyItem, _ gcEpoch: UInt64, _ requestID: String) async -> CopyOutcome? {
    do throws(BlockStoreError) {
      guard let stored = disks.status(of: item.block), stored.plainBytes == item.size else { return nil }
      var record = try await disks.readRecord(item.block, into: pools.replica.pool(storedBytes: stored.storedBytes))
      record.gcEpoch = max(gcEpoch, stored.gcEpoch)
      return try await disks.append(record).outcome.wasNew ? .copied : .present
    } catch {
      log.request(requestID).warning(
        "a block could not be moved off a fenced disk", ["block": .string(item.block.hex), "reason": .string(error.message)])
      return error.code == .full ? .full : nil
    }
  }

  private func copy(_ item: CopyItem, _ gcEpoch: UInt64, _ requestID: String) async -> CopyOutcome {
    guard (0...Limits.blockBytes).contains(item.size) else { return .failed }
    if disks.holds([item.block]) == [true] { return .present }
    if disks.status(of: item.block) != nil, let outcome = await moveFromFenced(item, gcEpoch, requestID) { return outcome }
    var worst = CopyOutcome.sourceMissing
    for source in item.sources {
      do {
        let record = try await fetch(item, source.url, gcEpoch, requestID)
        return try await disks.append(record).outcome.wasNew ? .copied : .present
      } catch let error as BlockStoreError where error.code == .full {
        return .full
      } catch let error as BlockStoreError where error.code == .notFound {
        continue
      } catch {
        worst = .failed
        log.request(requestID).warning(
          "a record was not copied",
          ["block": .string(item.block.hex), "source": .string(source.node.text), "reason": .error(error)])
      }
    }
    return worst
  }

  private func fetch(_ item: CopyItem, _ url: String, _ gcEpoch: UInt64, _ requestID: String) async throws -> SealedRecord {
    let longest = RecordLayout.wireRange(storedBytes: item.size).count
    let buffer = try await pools.replica.pool(storedBytes: item.size).acquire(patience: limits.replicaPatience)
    let response = try await client.send(
      HTTPClientRequest(
        method: .get, url: url, headers: ["X-Request-Id": requestID], deadline: limits.forwardDeadline,
        connectTimeout: limits.forwardConnectTimeout, responseBuffer: buffer, responseLimit: max(longest, RecordCopying.problemBytes)))
    guard response.status == 200 else {
      throw BlockStoreError(response.status == 404 ? .notFound : .io, "The source answered \(response.status).")
    }
    guard response.count <= longest else { throw BlockStoreError(.malformed, "The source sent \(response.count) bytes for a record.") }
    // The response lies at the buffer's start, and the wire form has its place behind the local header. The ranges overlap: this moves.
    let end = RecordLayout.localBytes + response.count
    buffer.mutableBytes(RecordLayout.localBytes..<end).copyMemory(from: buffer.bytes(0..<response.count))
    var verifier = RecordVerifier(buffer: buffer, block: item.block, keys: keys)
    try verifier.receive(upTo: end)
    let record = try verifier.finish(gcEpoch: gcEpoch)
    guard record.header.plainBytes == item.size else { throw BlockStoreError(.malformed, "The record is of a block of another size.") }
    try await checkHash(record)
    // What comes in anew comes under the current data key, so that old ones can be retired.
    return try RecordRewrap.rewrap(record, keys: keys)
  }

  /// Opens a copy of the record, because opening overwrites it. A read buffer and then a decoder's are waited for, in this order.
  private func checkHash(_ record: SealedRecord) async throws {
    let header = record.header
    let bytes = RecordLayout.recordBytes(storedBytes: header.storedBytes)
    let scratch = try await pools.read.pool(storedBytes: header.storedBytes).acquire(patience: limits.replicaPatience)
    scratch.mutableBytes(0..<bytes).copyMemory(from: record.buffer.bytes(0..<bytes))
    let payload = try RecordOpener.open(SealedRecord(header: header, buffer: scratch, gcEpoch: record.gcEpoch), keys: keys)
    let hash: BlockID
    switch header.encoding {
    case .plain: hash = BlockID(words: SHA256Hasher.hash(scratch.bytes(payload)))
    case .zstd:
      let plain = try await pools.decode.acquire(patience: limits.replicaPatience)
      try Zstandard.decode(scratch.bytes(payload), into: plain.mutableBytes(0..<header.plainBytes))
      hash = BlockID(words: SHA256Hasher.hash(plain.bytes(0..<header.plainBytes)))
    }
    guard hash == header.block else { throw BlockStoreError(.malformed, "The record's contents are not block \(header.block).") }
  }
}
