import BlockModel
import CairnClient
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport

/// A cluster in memory, a client of it, and a folder for local files.
final class TestCluster: Sendable {
  let nodes: [FakeNode]
  let gateway: FakeGateway
  let folder: TemporaryFolder

  init(nodes count: Int = 3, pageSize: Int = 1000) throws {
    nodes = try (1...count).map { try FakeNode($0) }
    gateway = try FakeGateway(nodes: nodes, pageSize: pageSize)
    folder = try TemporaryFolder()
  }

  func client(parallel: Int = 4, compress: Bool = true, journals: Bool = true, patience: Duration = .seconds(20)) throws -> CairnClient {
    try CairnClient(
      Configuration(
        gateway: gateway.address, token: "token", parallel: parallel, compress: compress,
        stateDirectory: journals ? folder.path("state") : nil, patience: patience))
  }

  func stop() async {
    await gateway.stop()
    for node in nodes { await node.stop() }
  }

  // MARK: Local files

  func write(_ name: String, _ bytes: [UInt8], mode: UInt32 = 0o644) throws -> String {
    let path = folder.path(name)
    let file = try File(path, [.write, .create, .truncate], mode: mode)
    try bytes.withUnsafeBytes { try file.pwrite($0, at: 0) }
    return path
  }

  func read(_ path: String) throws -> [UInt8]? { try AtomicFile.read(path, limit: 256 << 20) }

  // MARK: What the nodes saw

  var puts: [BlockID: Int] {
    nodes.reduce(into: [:]) { sums, node in
      for (id, count) in node.state.withLock({ $0.puts }) { sums[id, default: 0] += count }
    }
  }

  /// The blocks whose receipts stand in a journal.
  func acknowledged() throws -> Set<BlockID> {
    let folder = folder.path("state/uploads")
    guard try Directory.attributes(folder) != nil else { return [] }
    let lines = try Directory.list(folder).flatMap { name in
      String(decoding: try read(folder + "/" + name) ?? [], as: UTF8.self).split(separator: "\n")
    }
    return Set(
      lines.compactMap { line in
        let words = line.split(separator: " ")
        return words.count == 3 && words[0] == "receipt" ? (try? Receipt.parse(String(words[1])))?.receipt.block : nil
      })
  }

  var storedBytes: Int { nodes.reduce(0) { $0 + $1.state.withLock { $0.blocks.values.reduce(0) { $0 + $1.count } } } }

  /// All nodes have all blocks, as after replication, so that a reader may ask any of them.
  func replicate() {
    let all = nodes.reduce(into: [BlockID: [UInt8]]()) { all, node in
      all.merge(node.state.withLock { $0.blocks }, uniquingKeysWith: { a, _ in a })
    }
    for node in nodes { node.state.withLock { $0.blocks = all } }
  }
}

/// Runs `body` with a cluster that is stopped afterwards, also when it throws.
func withCluster<Value>(nodes: Int = 3, pageSize: Int = 1000, _ body: (TestCluster) async throws -> Value) async throws -> Value {
  let cluster = try TestCluster(nodes: nodes, pageSize: pageSize)
  do {
    let value = try await body(cluster)
    await cluster.stop()
    return value
  } catch {
    await cluster.stop()
    throw error
  }
}
