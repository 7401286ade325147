internal import BlockModel
internal import BlockStore
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// The routes that carry many small blocks at once, in the framing of `BlockBatch`.
///
/// What must hold: each item is admitted by its own capability and has its own outcome; a batch costs one buffer and as many small ones as
/// items are under way; what a client sends and what a node sends never wait for each other's buffers.
struct BatchRoutes: Sendable {
  private static let blockPath = "/v1/blocks/"
  static let putPath = "/v1/blocks/batch"
  static let getPath = "/v1/blocks/batch/get"
  static let replicatePath = "/v1/blocks/batch/replicate"

  let admission: Admission
  let upload: BlockUpload
  let replica: ReplicaIntake
  let reading: BlockReading
  let pools: BufferPools
  let limits: NodeLimits

  /// `POST /v1/blocks/batch`: blocks from a client.
  func put(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    await store(head, body, .put, pools.client.large, limits.clientPatience)
  }

  /// `POST /v1/blocks/batch/replicate`: records from another node.
  func replicate(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    await store(head, body, .replicate, pools.replica.large, limits.replicaPatience)
  }

  private func store(
    _ head: HTTPRequestHead, _ body: any HTTPRequestBody, _ operation: CapabilityOperation, _ pool: BufferPool, _ patience: Duration
  ) async -> HTTPResponse {
    do throws(Problem) {
      try Admission.check(head.peer, for: operation)
      let (buffer, items) = try await receive(head, body, operation, pool, patience)
      let outcomes = await store(items, in: buffer, operation, head.requestID)
      return HTTPResponse(status: 200, json: BatchPutReply(items: outcomes))
    } catch { return HTTPResponse(error) }
  }

  /// Reads a batch into a buffer. The first item's capability is checked before there is a buffer and before more than the beginning is
  /// read, so that a stranger's batch costs neither.
  private func receive(
    _ head: HTTPRequestHead, _ body: any HTTPRequestBody, _ operation: CapabilityOperation, _ pool: BufferPool, _ patience: Duration
  ) async throws(Problem) -> (IOBuffer, [BlockBatch.Item]) {
    let length = head.contentLength ?? 0
    guard length <= BlockBatch.bodyBytes else { throw Problem(.tooLarge, "A batch has at most \(BlockBatch.bodyBytes) bytes.") }
    let beginning: [UInt8]
    let longest = BlockBatch.magic.count + BlockBatch.itemHeaderBytes + Limits.capabilityCharacters
    do throws(HTTPBodyError) { beginning = try await body.beginning(min(length, longest)) } catch { throw Problem(error) }
    try checkFirst(beginning, operation)
    let buffer: IOBuffer
    do { buffer = try await pool.acquire(patience: patience) } catch { throw .noBuffer }
    body.receive(into: buffer, placement: .contiguous, limit: length)
    var taken = 0
    while true {
      let progress: (count: Int, ended: Bool)
      do throws(HTTPBodyError) { progress = try await body.received(beyond: taken) } catch { throw Problem(error) }
      taken = progress.count
      if progress.ended { break }
    }
    do throws(BlockBatch.Malformed) { return (buffer, try BlockBatch.parse(buffer.bytes(0..<taken))) } catch {
      throw Problem(.malformed, "The batch is malformed: \(error).")
    }
  }

  private func checkFirst(_ beginning: [UInt8], _ operation: CapabilityOperation) throws(Problem) {
    let text: Result<String?, Problem> = beginning.withUnsafeBytes { bytes in
      do throws(BlockBatch.Malformed) { return .success(try BlockBatch.firstText(of: bytes)) } catch {
        return .failure(Problem(.malformed, "The batch is malformed: \(error)."))
      }
    }
    if let text = try text.get() { _ = try capability(text, operation) }
  }

  /// The capability of an item's text, which is path and query of a signed URL.
  private func capability(_ text: String, _ operation: CapabilityOperation) throws(Problem) -> Capability {
    let wrong = Problem(.malformed, "An item's text is not the path of a signed URL.")
    guard text.hasPrefix(BatchRoutes.blockPath) else { throw wrong }
    let target: RequestTarget
    do throws(RequestTarget.Malformed) { target = try RequestTarget(parsing: Array(text.utf8)) } catch { throw wrong }
    return try admission.capability(of: target, operations: [operation])
  }

  /// An item that may be stored: checked, in a buffer of its own.
  private struct Ready {
    enum Work {
      case block(BlockUpload.Sealed)
      case record(ReplicaIntake.Checked)
    }
    let number: Int
    let visit: Admission.Visit
    let work: Work
  }

  /// Checks items and stores them, as many together as there are buffers for: they are written with one sync, and go to each other node in
  /// one request.
  private func store(
    _ items: [BlockBatch.Item], in batch: IOBuffer, _ operation: CapabilityOperation, _ requestID: String
  ) async -> [BatchPutReply.Item] {
    var outcomes = [BatchPutReply.Item?](repeating: nil, count: items.count)
    var next = 0
    while next < items.count {
      var group: [Ready] = []
      while next < items.count, group.count < limits.parallelBatchItems {
        do throws(Problem) {
          // Whoever holds buffers waits for none: what is ready goes first.
          guard let ready = try await prepare(items[next], next, in: batch, operation, requestID, mayWait: group.isEmpty) else { break }
          group.append(ready)
        } catch { outcomes[next] = BatchPutReply.Item(status: error.status, problem: error) }
        next += 1
      }
      for (ready, result) in zip(group, await keep(group)) {
        admission.leave(ready.visit)
        switch result {
        case .success(let receipts): outcomes[ready.number] = BatchPutReply.Item(status: 201, receipts: receipts)
        case .failure(let problem): outcomes[ready.number] = BatchPutReply.Item(status: problem.status, problem: problem)
        }
      }
    }
    return outcomes.compactMap { $0 }
  }

  /// - Returns: nil when no buffer is free and the item may not wait for one.
  private func prepare(
    _ item: BlockBatch.Item, _ number: Int, in batch: IOBuffer, _ operation: CapabilityOperation, _ requestID: String, mayWait: Bool
  ) async throws(Problem) -> Ready? {
    guard item.data.count <= BlockBatch.itemDataBytes else {
      throw Problem(.tooLarge, "A block in a batch has at most \(BlockBatch.itemDataBytes) bytes; send larger ones on their own.")
    }
    let capability = try capability(item.text, operation)
    let put = try admission.put(capability, encoding: item.encoding, bodyBytes: item.data.count, requestID: requestID)
    let isBlock = operation == .put
    let pool = isBlock ? upload.pool(for: put) : replica.pool(for: put)
    var buffer = pool.tryAcquire()
    if buffer == nil, mayWait {
      do { buffer = try await pool.acquire(patience: isBlock ? limits.clientPatience : limits.replicaPatience) } catch { throw .noBuffer }
    }
    guard let buffer else { return nil }
    upload.forwarding.metrics.received(put)
    let visit = try admission.enter(capability)
    do throws(Problem) {
      return Ready(
        number: number, visit: visit,
        work: isBlock
          ? .block(try upload.seal(put, item.data, of: batch, in: buffer))
          : .record(try replica.check(put, item.data, of: batch, in: buffer)))
    } catch {
      admission.leave(visit)
      throw error
    }
  }

  /// Stores what is ready, all of it blocks or all of it records.
  private func keep(_ group: [Ready]) async -> [Result<[String], Problem>] {
    var blocks: [BlockUpload.Sealed] = []
    var records: [ReplicaIntake.Checked] = []
    for ready in group {
      switch ready.work {
      case .block(let block): blocks.append(block)
      case .record(let record): records.append(record)
      }
    }
    return await blocks.isEmpty ? replica.keep(records) : upload.keep(blocks)
  }

  /// `POST /v1/blocks/batch/get`: blocks to a client, compressed ones as they are when the client says so.
  func get(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    do throws(Problem) {
      let (_, items) = try await receive(head, body, .get, pools.client.large, limits.clientPatience)
      let passThrough = BlockReading.acceptsZstandard(head.headers["Accept-Encoding"])
      let admitted = try admit(items)
      let found = await each(of: admitted, atMost: limits.parallelBatchItems) { await read($0, passThrough, head.requestID) }
      var answer = BlockBatch.begin(reserving: found.reduce(0) { $0 + $1.bytes.count + 64 })
      for item in found {
        BlockBatch.append(to: &answer, status: item.status, encoding: item.encoding, text: item.text, data: item.bytes)
      }
      return HTTPResponse(status: 200, headers: ["Content-Type": BlockBatch.contentType], body: .bytes(answer))
    } catch { return HTTPResponse(error) }
  }

  private struct Found: Sendable {
    var status: Int
    var encoding = ContentEncoding.plain
    var text = ""
    var bytes: [UInt8]
  }

  /// Checks every capability before anything is read, so that the answer is known to fit its bound.
  private func admit(_ items: [BlockBatch.Item]) throws(Problem) -> [Result<Capability, Problem>] {
    var total = BlockBatch.magic.count
    var admitted: [Result<Capability, Problem>] = []
    for item in items {
      do throws(Problem) {
        let capability = try capability(item.text, .get)
        total += BlockBatch.itemHeaderBytes + capability.size
        admitted.append(.success(capability))
      } catch {
        total += BlockBatch.itemHeaderBytes + 300
        admitted.append(.failure(error))
      }
    }
    guard total <= BlockBatch.bodyBytes else {
      throw Problem(.tooLarge, "The blocks of a batch have at most \(BlockBatch.bodyBytes) bytes together: ask for fewer.")
    }
    return admitted
  }

  private func read(_ admitted: Result<Capability, Problem>, _ passThrough: Bool, _ requestID: String) async -> Found {
    let problem: Problem
    do {
      let capability = try admitted.get()
      guard capability.size <= BlockBatch.itemDataBytes else { throw Problem(.tooLarge, "The block is too large for a batch.") }
      let (bytes, encoding) = try await reading.small(capability, passThrough: passThrough, requestID: requestID)
      return Found(status: 200, encoding: encoding, bytes: bytes)
    } catch let error as Problem {
      problem = error
    } catch let error as BlockStoreError {
      problem = Problem(error)
    } catch { problem = Problem(.internalError, "The block could not be read.") }
    return Found(status: problem.status, text: problem.kind.rawValue, bytes: Array(problem.detail.utf8.prefix(280)))
  }
}
