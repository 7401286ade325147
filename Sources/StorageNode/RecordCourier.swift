internal import BlockModel
internal import BlockStore
internal import ClusterLogic
internal import HTTPTransport
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// Carries small finished records to other nodes, as many in one request as wait for the same node.
///
/// The first leaves at once; those that come while it is under way go together in the next. So a lone record is not held up, and
/// hundreds of small files cost a handful of requests. What is known to belong together does not leave before all of it is in line.
///
/// What must hold: each parcel gets exactly one outcome. The line is as long as there are buffers behind it, and so is bounded.
final class RecordCourier: Sendable {
  /// Wire bytes of the largest record that goes by courier.
  static let parcelBytes = RecordLayout.wireRange(storedBytes: 64 << 10).count
  /// Bytes that one request carries at most.
  private static let loadBytes = 1 << 20
  private static let loadParcels = 256
  /// Bytes of an answer with one receipt or one problem, at most.
  private static let receiptsBytes = 16 << 10
  /// Requests to one node at once.
  private static let tours = 2

  private struct Parcel: Sendable {
    let record: OutgoingRecord
    let target: String
    let requestID: String
    let done: CheckedContinuation<Result<[String], ForwardFailure>, Never>

    var bytes: Int { BlockBatch.itemBytes(text: target.utf8.count, data: record.length) }
  }

  private struct Lines {
    var byNode: [NodeID: Line] = [:]
    /// Senders who have more to put in line.
    var gathering = 0
  }

  private struct Line {
    /// Where the node listens, as the last sender knew it.
    var address = ""
    var waiting: [Parcel] = []
    var underWay = 0

    /// Takes a free tour for a record that nobody waits before; false when it has to wait in line.
    mutating func begin() -> Bool {
      guard underWay < RecordCourier.tours, waiting.isEmpty else { return false }
      underWay += 1
      return true
    }

    /// The next load, nil when nothing waits or enough is under way.
    mutating func load() -> [Parcel]? {
      guard underWay < RecordCourier.tours, !waiting.isEmpty else { return nil }
      var bytes = 0
      var count = 0
      while count < min(waiting.count, RecordCourier.loadParcels), count == 0 || bytes + waiting[count].bytes <= RecordCourier.loadBytes {
        bytes += waiting[count].bytes
        count += 1
      }
      let load = Array(waiting.prefix(count))
      waiting.removeFirst(count)
      underWay += 1
      return load
    }
  }

  private let client: any HTTPRequesting
  private let limits: NodeLimits
  private let lines = Mutex(Lines())

  init(client: any HTTPRequesting, limits: NodeLimits) {
    self.client = client
    self.limits = limits
  }

  /// Sends a finished record.
  /// - Parameter target: path and query of its URL at the node.
  func send(
    _ record: OutgoingRecord, target: String, to address: String, node: NodeID, requestID: String
  ) async -> Result<[String], ForwardFailure> {
    if lines.withLock({ $0.gathering == 0 && $0.byNode[node, default: Line()].begin() }) {
      let answer = await single(record, target, requestID, address)
      if let load = endTour(to: node) { Task { await carry(load, to: address, node: node) } }
      return answer
    }
    return await withCheckedContinuation { done in
      let parcel = Parcel(record: record, target: target, requestID: requestID, done: done)
      let load = lines.withLock { lines in
        lines.byNode[node, default: Line()].address = address
        lines.byNode[node, default: Line()].waiting.append(parcel)
        return lines.gathering == 0 ? lines.byNode[node, default: Line()].load() : nil
      }
      if let load { Task { await carry(load, to: address, node: node) } }
    }
  }

  /// What `body` begins to send leaves when it returns, as much of it as fits in one request to each node.
  func together(_ body: () -> Void) {
    lines.withLock { $0.gathering += 1 }
    body()
    let loads = lines.withLock { lines -> [(node: NodeID, address: String, load: [Parcel])] in
      lines.gathering -= 1
      var loads: [(node: NodeID, address: String, load: [Parcel])] = []
      // Also what others put in line: so nothing waits for longer than the first of those who gather.
      for node in lines.byNode.keys.sorted() {
        while let load = lines.byNode[node]?.load() { loads.append((node, lines.byNode[node]?.address ?? "", load)) }
      }
      return loads
    }
    for (node, address, load) in loads { Task { await carry(load, to: address, node: node) } }
  }

  /// Carries loads until nothing waits for the node any more.
  private func carry(_ first: [Parcel], to address: String, node: NodeID) async {
    var load: [Parcel]? = first
    while let parcels = load {
      if parcels.count == 1 {
        let parcel = parcels[0]
        parcel.done.resume(returning: await single(parcel.record, parcel.target, parcel.requestID, address))
      } else {
        await together(parcels, address)
      }
      load = endTour(to: node)
    }
  }

  /// Gives a tour back, or keeps it for the load that waits.
  private func endTour(to node: NodeID) -> [Parcel]? {
    lines.withLock { lines in
      var line = lines.byNode[node, default: Line()]
      line.underWay -= 1
      let next = lines.gathering == 0 ? line.load() : nil
      lines.byNode[node] = line.underWay == 0 && line.waiting.isEmpty ? nil : line
      return next
    }
  }

  private func single(
    _ record: OutgoingRecord, _ target: String, _ requestID: String, _ address: String
  ) async -> Result<[String], ForwardFailure> {
    let request = HTTPClientRequest(
      method: .put, url: address + target, headers: ["X-Request-Id": requestID, "Content-Type": "application/vnd.cairn.record"],
      body: .buffer(record.open()), deadline: limits.forwardDeadline, connectTimeout: limits.forwardConnectTimeout, stallTimeout: nil,
      responseLimit: RecordCourier.receiptsBytes)
    do throws(HTTPClientError) {
      let response = try await client.send(request)
      return Forwarding.receipts(status: response.status, response.bytes)
    } catch { return .failure(ForwardFailure(.unreachable, error.message)) }
  }

  private func together(_ parcels: [Parcel], _ address: String) async {
    let outcomes = await batch(parcels, address)
    for (index, parcel) in parcels.enumerated() {
      parcel.done.resume(returning: outcomes.flatMap { RecordCourier.outcome($0, index, of: parcels.count) })
    }
  }

  private func batch(_ parcels: [Parcel], _ address: String) async -> Result<BatchPutReply, ForwardFailure> {
    var body = BlockBatch.begin(reserving: parcels.reduce(0) { $0 + $1.bytes })
    for parcel in parcels {
      let wire = parcel.record.buffer.bytes(RecordLayout.localBytes..<(RecordLayout.localBytes + parcel.record.length))
      BlockBatch.append(to: &body, text: parcel.target, data: wire)
    }
    let request = HTTPClientRequest(
      method: .post, url: address + BatchRoutes.replicatePath,
      headers: ["X-Request-Id": parcels[0].requestID, "Content-Type": BlockBatch.contentType], body: .bytes(body),
      deadline: limits.forwardDeadline, connectTimeout: limits.forwardConnectTimeout, stallTimeout: nil, responseLimit: 4 << 20)
    do throws(HTTPClientError) {
      let response = try await client.send(request)
      guard response.status == 200 else {
        return .failure(ForwardFailure(status: response.status, String(decoding: response.bytes.prefix(300), as: UTF8.self)))
      }
      guard let reply = try? JSONCoding.decode(BatchPutReply.self, from: response.bytes) else {
        return .failure(ForwardFailure(.refused, "its answer is not readable"))
      }
      return .success(reply)
    } catch { return .failure(ForwardFailure(.unreachable, error.message)) }
  }

  private static func outcome(_ reply: BatchPutReply, _ index: Int, of count: Int) -> Result<[String], ForwardFailure> {
    guard reply.items.count == count else { return .failure(ForwardFailure(.refused, "it answered for another number of records")) }
    let item = reply.items[index]
    guard item.status == 201, let receipts = item.receipts else {
      return .failure(ForwardFailure(status: item.status, item.problem?.detail ?? ""))
    }
    return .success(receipts)
  }
}
