import BlockModel
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport

/// What a fake node does with one request.
enum NodeFault: Sendable {
  case error(Int)
  /// Says nothing for a while.
  case stall(Duration)
  /// GET only: other bytes than the block's.
  case corrupt
}

/// A storage node in memory behind the real server.
final class FakeNode: Sendable {
  struct State {
    var blocks: [BlockID: [UInt8]] = [:]
    var puts: [BlockID: Int] = [:]
    var gets: [BlockID: Int] = [:]
    var batches = 0
    var compressed = 0
  }

  let name: NodeID
  let zone: ZoneID
  let state = Mutex(State())
  /// Asked before each request; `isPut` says of what kind.
  let fault = Mutex<@Sendable (_ isPut: Bool, _ block: BlockID) -> NodeFault?>({ _, _ in nil })
  private let server: HTTPServer

  init(_ number: Int) throws {
    name = NodeID("node-\(number)")!
    zone = ZoneID("zone-\(number)")!
    let holder = Holder()
    var router = HTTPRouter()
    router.add(.put, "/v1/blocks/{id}", maxBodyBytes: 5 << 20) { head, body in await holder.node!.put(head, body) }
    router.add(.get, "/v1/blocks/{id}") { head, _ in await holder.node!.get(head) }
    router.add(.post, "/v1/blocks/batch", maxBodyBytes: 5 << 20) { _, body in await holder.node!.putBatch(body) }
    router.add(.post, "/v1/blocks/batch/get", maxBodyBytes: 5 << 20) { _, body in await holder.node!.getBatch(body) }
    server = HTTPServer(configuration: HTTPServer.Configuration(), router: router)
    holder.set(self)
    try server.start()
  }

  private final class Holder: Sendable {
    private let value = Mutex<FakeNode?>(nil)
    var node: FakeNode? { value.withLock { $0 } }
    func set(_ node: FakeNode) { value.withLock { $0 = node } }
  }

  func stop() async { await server.shutdown(grace: .zero) }

  func url(_ operation: String, _ block: BlockID, _ size: Int, upload: UploadID? = nil, generation: Int = 0) -> SignedTarget {
    let path = "/v1/blocks/\(block.hex)?op=\(operation)&size=\(size)&up=\(upload?.hex ?? "")&gen=\(generation)"
    return SignedTarget(node: name, zone: zone, url: "http://127.0.0.1:\(server.port)\(path)")
  }

  /// Uploads' URLs of a lower generation than this are past.
  let generation = Atomic<Int>(0)

  private func decide(_ isPut: Bool, _ block: BlockID) -> NodeFault? { fault.withLock { $0 }(isPut, block) }

  // MARK: PUT

  private func put(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    guard let id = BlockID(hex: head.parameters["id"] ?? ""), let sent = try? await body.collect(limit: 5 << 20) else {
      return HTTPResponse(status: 400)
    }
    if (Int(value("gen", head) ?? "") ?? 0) < generation.load(ordering: .relaxed) { return HTTPResponse(status: 401) }
    switch decide(true, id) {
    case .error(let status): return HTTPResponse(status: status)
    case .stall(let time):
      try? await Task.sleep(for: time)
      return HTTPResponse(status: 503)
    default: break
    }
    let encoding: ContentEncoding = head.headers["Content-Encoding"] == "zstd" ? .zstd : .plain
    guard let receipts = store(id, sent, encoding, size: Int(value("size", head) ?? "") ?? 0, upload: value("up", head) ?? "") else {
      return HTTPResponse(status: 422)
    }
    return .json(["receipts": receipts], status: 201)
  }

  private func value(_ name: String, _ head: HTTPRequestHead) -> String? { head.query.first { $0.name == name }?.value }

  private func store(_ id: BlockID, _ sent: [UInt8], _ encoding: ContentEncoding, size: Int, upload: String) -> [String]? {
    var plain = sent
    if encoding == .zstd {
      plain = [UInt8](repeating: 0, count: size)
      let isRight = sent.withUnsafeBytes { sent in
        plain.withUnsafeMutableBytes { (try? Zstandard.decode(sent, into: $0)) != nil }
      }
      guard isRight else { return nil }
    }
    guard BlockID(bytes: SHA256Hasher.hash(plain)) == id, plain.count == size, let upload = UploadID(hex: upload) else { return nil }
    state.withLock { state in
      state.blocks[id] = plain
      state.puts[id, default: 0] += 1
      if encoding == .zstd { state.compressed += 1 }
    }
    let receipt = Receipt(
      cluster: ClusterID(high: 1, low: 1), upload: upload, block: id, plainBytes: size, storedBytes: sent.count, node: name,
      disk: DiskID(high: 2, low: 2), layoutVersion: 1, gcEpoch: 1, durability: .strict, verification: .hashed, keyEpoch: 1)
    return [Receipt.text(signedBytes: receipt.signedBytes, signature: [UInt8](repeating: 0, count: 32))]
  }

  // MARK: GET

  private func get(_ head: HTTPRequestHead) async -> HTTPResponse {
    guard let id = BlockID(hex: head.parameters["id"] ?? "") else { return HTTPResponse(status: 400) }
    state.withLock { $0.gets[id, default: 0] += 1 }
    if (Int(value("gen", head) ?? "") ?? 0) < generation.load(ordering: .relaxed) { return HTTPResponse(status: 401) }
    let fault = decide(false, id)
    switch fault {
    case .error(let status): return HTTPResponse(status: status)
    case .stall(let time):
      try? await Task.sleep(for: time)
      return HTTPResponse(status: 503)
    default: break
    }
    guard var bytes = state.withLock({ $0.blocks[id] }) else { return HTTPResponse(status: 404) }
    if case .corrupt = fault, !bytes.isEmpty { bytes[bytes.count / 2] ^= 1 }
    if head.headers["Accept-Encoding"]?.contains("zstd") == true, let frame = bytes.withUnsafeBytes({ Zstandard.compress($0) }) {
      return HTTPResponse(status: 200, headers: ["Content-Encoding": "zstd"], body: .bytes(frame))
    }
    return HTTPResponse(status: 200, body: .bytes(bytes))
  }

  // MARK: Batches

  private func putBatch(_ body: any HTTPRequestBody) async -> HTTPResponse {
    guard let bytes = try? await body.collect(limit: 5 << 20), let items = try? BlockBatch.parse(bytes) else {
      return HTTPResponse(status: 400)
    }
    state.withLock { $0.batches += 1 }
    let outcomes = items.map { item -> BatchPutReply.Item in
      let (id, query) = Self.parse(item.text)
      if let fault = decide(true, id), case .error(let status) = fault { return .init(status: status, problem: Problem(.busy, "no")) }
      let receipts = store(id, Array(bytes[item.data]), item.encoding, size: Int(query["size"] ?? "") ?? 0, upload: query["up"] ?? "")
      return receipts.map { .init(status: 201, receipts: $0) } ?? .init(status: 422, problem: Problem(.hashMismatch, "no"))
    }
    return .json(BatchPutReply(items: outcomes))
  }

  private func getBatch(_ body: any HTTPRequestBody) async -> HTTPResponse {
    guard let bytes = try? await body.collect(limit: 5 << 20), let items = try? BlockBatch.parse(bytes) else {
      return HTTPResponse(status: 400)
    }
    state.withLock { $0.batches += 1 }
    var answer = BlockBatch.begin()
    for item in items {
      let (id, _) = Self.parse(item.text)
      state.withLock { $0.gets[id, default: 0] += 1 }
      let fault = decide(false, id)
      if case .error(let status) = fault {
        BlockBatch.append(to: &answer, status: status, text: "busy")
      } else if var block = state.withLock({ $0.blocks[id] }) {
        if case .corrupt = fault, !block.isEmpty { block[0] ^= 1 }
        BlockBatch.append(to: &answer, status: 200, text: "", data: block)
      } else {
        BlockBatch.append(to: &answer, status: 404, text: "not-found")
      }
    }
    return HTTPResponse(status: 200, body: .bytes(answer))
  }

  private static func parse(_ text: String) -> (BlockID, [String: String]) {
    let parts = text.dropFirst("/v1/blocks/".count).split(separator: "?")
    let pairs = parts[1].split(separator: "&").map { $0.split(separator: "=", omittingEmptySubsequences: false).map(String.init) }
    return (BlockID(hex: String(parts[0]))!, Dictionary(pairs.map { ($0[0], $0[1]) }, uniquingKeysWith: { a, _ in a }))
  }
}

extension HTTPResponse {
  static func json(_ value: some Encodable, status: Int = 200) -> HTTPResponse {
    guard let bytes = try? JSONCoding.encode(value) else { return HTTPResponse(status: 500) }
    return HTTPResponse(status: status, headers: ["Content-Type": "application/json"], body: .bytes(bytes))
  }

  static func refusal(_ problem: Problem) -> HTTPResponse {
    let current = problem.current.flatMap { try? JSONCoding.encode($0) }.map { String(decoding: $0, as: UTF8.self) }
    var response = HTTPResponse.problem(
      status: problem.status, type: problem.type, title: problem.title, detail: problem.detail,
      extra: current.map { [("current", .json($0))] } ?? [])
    if let seconds = problem.retryAfter { response.headers["Retry-After"] = String(seconds) }
    return response
  }
}
