import BlockModel
import Credentials
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// Storage nodes that serve blocks from memory: every node has every block, and a test can make one misbehave.
final class FakeNodes: Sendable {
  enum Manner: Sendable {
    case healthy
    /// One byte of each block is another.
    case corrupted
    /// Ends a byte early.
    case short
    case refusing(Int)
  }

  private struct State {
    var blocks: [BlockID: [UInt8]] = [:]
    var manners: [NodeID: Manner] = [:]
    var reads: [NodeID] = []
  }

  private let state = Mutex(State())
  private let servers: [HTTPServer]
  let addresses: [Int: String]

  init(count: Int = 6) throws {
    let shared = SharedNodes()
    var servers: [HTTPServer] = []
    var addresses: [Int: String] = [:]
    for number in 1...count {
      var router = HTTPRouter()
      router.add(.get, "/v1/blocks/{id}") { head, _ in shared.nodes?.answer(head, node: Samples.node(number)) ?? HTTPResponse(status: 500) }
      let server = HTTPServer(configuration: HTTPServer.Configuration(), router: router)
      try server.start()
      servers.append(server)
      addresses[number] = "http://127.0.0.1:\(server.port)"
    }
    self.servers = servers
    self.addresses = addresses
    shared.nodes = self
  }

  func stop() async { for server in servers { await server.shutdown(grace: .zero) } }

  func set(_ manner: Manner, at numbers: Int...) {
    state.withLock { state in for number in numbers { state.manners[Samples.node(number)] = manner } }
  }
  var reads: [NodeID] { state.withLock { $0.reads } }

  /// No node has this block any more.
  func lose(_ block: BlockID) { state.withLock { $0.blocks[block] = nil } }

  /// Stores the bytes as blocks and answers their plan.
  func plan(_ bytes: [UInt8], blockSize: Int, file: FileEntry) -> DownloadPlan {
    var blocks: [DownloadPlan.Block] = []
    for start in stride(from: 0, to: bytes.count, by: blockSize) {
      let piece = Array(bytes[start..<min(start + blockSize, bytes.count)])
      let id = BlockID(words: piece.withUnsafeBytes { SHA256Hasher.hash($0) })
      state.withLock { $0.blocks[id] = piece }
      blocks.append(.init(id: id, offset: Int64(start), size: piece.count))
    }
    return DownloadPlan(
      file: file, size: Int64(bytes.count), contentHash: Samples.hash, version: file.version, chunker: .fixed, blocks: blocks, next: nil)
  }

  private func answer(_ head: HTTPRequestHead, node: NodeID) -> HTTPResponse {
    let verifier = CapabilityVerifier(keys: Samples.secret.nodeKeys(node, cluster: Samples.cluster))
    guard
      let capability = try? verifier.verify(
        block: head.parameters["id"] ?? "", query: head.query, operations: [.get], now: SystemTime().wall())
    else { return HTTPResponse(status: 403) }
    let (bytes, manner) = state.withLock { state in
      state.reads.append(node)
      return (state.blocks[capability.block], state.manners[node] ?? .healthy)
    }
    guard var bytes, bytes.count == capability.size else { return HTTPResponse(status: 404) }
    switch manner {
    case .healthy: break
    case .corrupted: bytes[bytes.count / 2] ^= 1
    case .short: bytes.removeLast()
    case .refusing(let status): return HTTPResponse(status: status)
    }
    return HTTPResponse(status: 200, body: .bytes(bytes))
  }

  /// Lets the routes, which are there before the object is, find it.
  private final class SharedNodes: Sendable {
    private let held = Mutex<FakeNodes?>(nil)
    var nodes: FakeNodes? {
      get { held.withLock { $0 } }
      set { held.withLock { $0 = newValue } }
    }
  }
}

/// Bytes that a client received, piece by piece.
final class Received: Sendable {
  private let held = Mutex<[UInt8]>([])
  var bytes: [UInt8] { held.withLock { $0 } }
  func append(_ piece: UnsafeRawBufferPointer) -> Bool {
    let copy = Array(piece)
    held.withLock { $0 += copy }
    return true
  }
}
