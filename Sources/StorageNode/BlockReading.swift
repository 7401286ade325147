internal import BlockModel
internal import BlockStore
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Answers GET and HEAD: blocks for clients, sealed records for other nodes.
///
/// What must hold: no byte leaves whose record's check failed. A node whose copy is bad reports it, and fetches a good one from another
/// replica by the coordinator's leave (`ReadMending`) before it answers; only when that cannot be had, the answer is 503, and the reader
/// takes the next replica of its plan.
struct BlockReading: Sendable {
  let admission: Admission
  let disks: DiskSet
  let pools: BufferPools
  let rot: RotReports
  let mending: ReadMending
  let time: any TimeSource
  let metrics: NodeMetrics
  let log: Logger
  let foreground: ForegroundMeter
  /// Told how long each read of a client took.
  let noteRead: @Sendable (Duration) -> Void

  func get(_ head: HTTPRequestHead) async -> HTTPResponse {
    do {
      let capability = try admission.capability(of: head, operations: [.get, .record])
      guard capability.operation == .get else { return try await record(capability, head) }
      let began = time.monotonic()
      let response = try await mended(capability, head.requestID) { try await block(capability, head) }
      let duration = time.monotonic() - began
      noteRead(duration)
      // Records are what copying reads: counted here, moving data would take itself for a client and slow down for ever.
      foreground.note(duration)
      return response
    } catch let problem as Problem {
      return HTTPResponse(problem)
    } catch let error as BlockStoreError {
      return HTTPResponse(Problem(error))
    } catch {
      return HTTPResponse(Problem(.internalError, "The block could not be read."))
    }
  }

  /// Runs a read; when it meets a bad copy, runs it again after a good one was fetched.
  private func mended<Answer>(
    _ capability: Capability, _ requestID: String, _ read: () async throws -> Answer
  ) async throws -> Answer {
    do { return try await read() } catch let error as BlockStoreError where error.code == .rotten {
      guard await mending.mend(capability, requestID: requestID) else { throw Problem.badCopy }
      return try await read()
    }
  }

  /// Where the block stands; a copy that was set aside is a bad one, not a missing one.
  private func standing(of block: BlockID) throws(BlockStoreError) -> StoredBlock {
    if let stored = disks.status(of: block) { return stored }
    throw BlockStoreError(disks.isSetAside(block) ? .rotten : .notFound, "")
  }

  /// The answer to a plain GET of a small block that is in memory, on the network's own thread: handing it to another and back costs more
  /// than opening it. Nil for everything else, refusals included; `get` answers those.
  func getCached(_ head: HTTPRequestHead) -> HTTPResponse? {
    let began = time.monotonic()
    guard head.method == .get, head.headers["Range"] == nil, head.headers["If-None-Match"] == nil,
      let capability = try? admission.capability(of: head, operations: [.get]),
      capability.size <= BufferPools.smallBlockBytes, let buffer = pools.read.pool(storedBytes: capability.size).tryAcquire(),
      let payload = disks.readCached(capability.block, into: buffer), payload.block.plainBytes == capability.size
    else { return nil }
    let passThrough = payload.block.encoding == .zstd && BlockReading.acceptsZstandard(head.headers["Accept-Encoding"])
    guard passThrough || payload.block.encoding == .plain else { return nil }
    metrics.served("get", bytes: payload.range.count)
    noteRead(time.monotonic() - began)
    return HTTPResponse(
      status: 200, headers: headers(of: payload.block, passThrough: passThrough), body: .buffer(payload.buffer, range: payload.range))
  }

  private static func names(_ match: String, _ block: BlockID) -> Bool { match == "*" || match.contains("\"\(block.hex)\"") }

  // MARK: Blocks

  private func block(_ capability: Capability, _ head: HTTPRequestHead) async throws -> HTTPResponse {
    let stored = try standing(of: capability.block)
    guard stored.plainBytes == capability.size else {
      throw Problem(.conflict, "The block has \(stored.plainBytes) bytes, and this URL is signed for \(capability.size).")
    }
    if let match = head.headers["If-None-Match"], BlockReading.names(match, stored.id) {
      return HTTPResponse(status: 304, headers: headers(of: stored, passThrough: false))
    }
    let range = HTTPRange.parse(head.headers["Range"], size: stored.plainBytes)
    if case .unsatisfiable = range { return unsatisfiable(stored) }
    let passThrough = range == .whole && stored.encoding == .zstd && BlockReading.acceptsZstandard(head.headers["Accept-Encoding"])
    var headers = headers(of: stored, passThrough: passThrough)
    var status = 200
    var wanted = 0..<stored.plainBytes
    if case .part(let part) = range {
      status = 206
      wanted = part
      headers["Content-Range"] = range.contentRange(size: stored.plainBytes)
    }
    if head.method == .head {
      // The length that GET would have; nothing is read for it.
      headers["Content-Length"] = String(passThrough ? stored.storedBytes : wanted.count)
      return HTTPResponse(status: status, headers: headers)
    }
    if stored.encoding == .zstd, !passThrough {
      return HTTPResponse(status: status, headers: headers, body: try await decoded(stored, wanted))
    }
    let payload = try await read(stored, passThrough ? nil : wanted)
    return HTTPResponse(status: status, headers: headers, body: .buffer(payload.buffer, range: payload.range))
  }

  private func headers(of stored: StoredBlock, passThrough: Bool) -> HTTPHeaders {
    var headers: HTTPHeaders = [
      "Content-Type": "application/octet-stream", "ETag": stored.id.entityTag, "Accept-Ranges": "bytes",
      "Cache-Control": "private, max-age=31536000, immutable",
    ]
    if stored.encoding == .zstd { headers["Vary"] = "Accept-Encoding" }
    if passThrough { headers["Content-Encoding"] = "zstd" }
    return headers
  }

  private func unsatisfiable(_ stored: StoredBlock) -> HTTPResponse {
    var response = HTTPResponse(Problem(.rangeNotSatisfiable, "The block has \(stored.plainBytes) bytes; the range is beyond its end."))
    response.headers["Content-Range"] = "bytes */\(stored.plainBytes)"
    return response
  }

  private func read(_ stored: StoredBlock, _ range: Range<Int>?) async throws(BlockStoreError) -> Payload {
    do throws(BlockStoreError) {
      let payload = try await disks.read(stored.id, range: range, into: pools.read.pool(storedBytes: stored.storedBytes))
      metrics.served("get", bytes: payload.range.count)
      return payload
    } catch {
      noteRot(error, stored.id)
      throw error
    }
  }

  private func decoded(_ stored: StoredBlock, _ wanted: Range<Int>) async throws -> HTTPResponseBody {
    let plain = try await plain(stored)
    return .buffer(plain, range: wanted)
  }

  /// The whole plain block from the buffer's start on. Reading holds a read buffer while it waits for a decoder's, never the other way
  /// round.
  private func plain(_ stored: StoredBlock) async throws -> IOBuffer {
    let payload = try await read(stored, nil)
    let buffer: IOBuffer
    do { buffer = try await pools.decode.acquire(patience: .seconds(2)) } catch { throw BlockStoreError(.busy, "no buffer") }
    do throws(ZstandardError) {
      try Zstandard.decode(payload.buffer.bytes(payload.range), into: buffer.mutableBytes(0..<stored.plainBytes))
    } catch {
      noteRot(BlockStoreError(.rotten, error.description), stored.id)
      throw BlockStoreError(.rotten, error.description)
    }
    return buffer
  }

  /// Plain bytes and encoding of a small block, for batches; `passThrough` leaves compressed ones compressed.
  func small(_ capability: Capability, passThrough: Bool, requestID: String) async throws -> (bytes: [UInt8], encoding: ContentEncoding) {
    let began = time.monotonic()
    let found = try await mended(capability, requestID) { try await small(capability, passThrough: passThrough) }
    noteRead(time.monotonic() - began)
    return found
  }

  private func small(_ capability: Capability, passThrough: Bool) async throws -> (bytes: [UInt8], encoding: ContentEncoding) {
    let stored = try standing(of: capability.block)
    guard stored.plainBytes == capability.size else { throw Problem(.conflict, "The block has another size than this URL is signed for.") }
    if stored.encoding == .zstd, !passThrough {
      return (Array(try await plain(stored).bytes(0..<stored.plainBytes)), .plain)
    }
    let payload = try await read(stored, nil)
    return (Array(payload.buffer.bytes(payload.range)), stored.encoding)
  }

  /// Whether an `Accept-Encoding` field names zstd without refusing it.
  static func acceptsZstandard(_ header: String?) -> Bool {
    guard let header else { return false }
    for part in header.split(separator: ",") {
      let pieces = part.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
      guard pieces.first == "zstd" else { continue }
      return !pieces.dropFirst().contains { $0.hasPrefix("q=0") && !$0.contains { ("1"..."9").contains($0) } }
    }
    return false
  }

  // MARK: Records

  private func record(_ capability: Capability, _ head: HTTPRequestHead) async throws -> HTTPResponse {
    guard let stored = disks.status(of: capability.block) else { throw BlockStoreError(.notFound, "") }
    var headers: HTTPHeaders = ["Content-Type": "application/vnd.cairn.record"]
    if head.method == .head {
      headers["Content-Length"] = String(RecordLayout.wireRange(storedBytes: stored.storedBytes).count)
      return HTTPResponse(status: 200, headers: headers)
    }
    do throws(BlockStoreError) {
      let record = try await disks.readRecord(stored.id, into: pools.read.pool(storedBytes: stored.storedBytes))
      metrics.served("record", bytes: RecordLayout.wireRange(storedBytes: record.header.storedBytes).count)
      return HTTPResponse(
        status: 200, headers: headers,
        body: .buffer(record.buffer, range: RecordLayout.wireRange(storedBytes: record.header.storedBytes)))
    } catch {
      noteRot(error, stored.id)
      throw error
    }
  }

  private func noteRot(_ error: BlockStoreError, _ block: BlockID) {
    guard error.code == .rotten else { return }
    rot.add(block)
    metrics.rottenCopies.increment()
    log.error("a copy fails its check and was set aside", ["block": .string(block.hex), "reason": .string(error.message)])
  }
}
