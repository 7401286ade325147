package import BlockModel
package import ClusterLogic
package import Platform
package import ServiceAPI
internal import Synchronization

/// What the node knows of its cluster, kept over restarts: the last view, the highest coordinator generation that it saw, and the epoch
/// of the data key that the coordinator said to use.
///
/// What must hold: the generation only grows, and is on disk before anything acts on it; a view of a lower generation is refused, whoever
/// brings it. With the coordinator down, the view that lies on disk goes on serving.
package final class ClusterKnowledge: Sendable {
  /// Why a view or a reply was not taken.
  package struct Refused: Error, Sendable, Equatable, CustomStringConvertible {
    package var description: String
  }

  private struct Document: Codable, Equatable {
    var generation: UInt64
    /// 0 with encryption off; nil before the coordinator has said.
    var dataKeyEpoch: UInt32?
    var view: ClusterView?
  }

  private struct State {
    var generation: UInt64 = 0
    var dataKeyEpoch: UInt32?
    var view: ClusterView?
    var members: [NodeID: Member] = [:]
    var sources: [Int: [NodeID]] = [:]
    /// The newest layout and collection epoch that signed requests spoke of.
    var rumouredLayout: UInt64 = 0
    var rumouredEpoch: UInt64 = 0

    mutating func take(_ document: Document) {
      generation = document.generation
      dataKeyEpoch = document.dataKeyEpoch
      view = document.view
      members = Dictionary(uniqueKeysWithValues: (document.view?.members ?? []).map { ($0.node, $0) })
      sources = Dictionary((document.view?.filling ?? []).map { ($0.partition, $0.sources) }) { $0 + $1 }
    }
  }

  private static let magic = "cairn cluster view 1 "
  private static let sizeLimit = 64 << 20

  private let path: String
  private let cluster: ClusterID
  private let pool: BlockingPool
  private let state: Mutex<State>

  /// Reads what was kept in `folder`; a file that is missing or damaged means knowing nothing yet. Blocks.
  /// - Throws: `Refused` when the file is of another cluster, `FileError` when it cannot be read.
  package init(folder: String, cluster: ClusterID, pool: BlockingPool) throws {
    path = folder + "/cluster-view"
    self.cluster = cluster
    self.pool = pool
    var state = State()
    if let bytes = try AtomicFile.read(path, limit: ClusterKnowledge.sizeLimit), let document = ClusterKnowledge.decode(bytes) {
      if let view = document.view, view.cluster != cluster {
        throw Refused(description: "\(path) is of cluster \(view.cluster), and this node's keys are of \(cluster).")
      }
      state.take(document)
    }
    self.state = Mutex(state)
  }

  package var view: ClusterView? { state.withLock { $0.view } }
  package var generation: UInt64 { state.withLock { $0.generation } }
  package var dataKeyEpoch: UInt32? { state.withLock { $0.dataKeyEpoch } }
  /// 0 before the first view.
  package var layoutVersion: UInt64 { state.withLock { $0.view?.layout.version ?? 0 } }
  /// Nil before the first view.
  package var partitionBits: Int? { state.withLock { $0.view?.layout.partitionBits } }

  /// A request was signed under this layout; what it says is taken from the coordinator only, but soon.
  package func heard(layoutVersion: UInt64) {
    state.withLock { $0.rumouredLayout = max($0.rumouredLayout, layoutVersion) }
  }

  /// A command was signed in this collection epoch.
  package func heard(gcEpoch: UInt64) {
    state.withLock { $0.rumouredEpoch = max($0.rumouredEpoch, gcEpoch) }
  }

  /// Somebody signs under a newer layout or epoch than this node has.
  package var isBehind: Bool {
    state.withLock { $0.rumouredLayout > $0.view?.layout.version ?? .max || $0.rumouredEpoch > $0.view?.gcEpoch ?? .max }
  }

  package func member(_ node: NodeID) -> Member? { state.withLock { $0.members[node] } }

  /// Nil before the first view.
  package func standing(of node: NodeID, towards block: BlockID) -> LayoutFence.Standing? {
    state.withLock { state in
      guard let layout = state.view?.layout else { return nil }
      let partition = block.partition(bits: layout.partitionBits)
      if layout.replicas(ofPartition: partition).contains(node) || state.sources[partition]?.contains(node) == true { return .holder }
      return .stranger(layoutVersion: layout.version)
    }
  }

  /// Takes what a coordinator answered, durably before anything else sees it. One caller at a time.
  /// - Throws: `Refused` for a lower generation or a foreign cluster, `FileError` or `JSONError` when it could not be kept.
  package func apply(generation: UInt64, view: ClusterView?, dataKeyEpoch: UInt32? = nil) async throws {
    let current = state.withLock { Document(generation: $0.generation, dataKeyEpoch: $0.dataKeyEpoch, view: $0.view) }
    guard generation >= current.generation, view.map({ $0.generation >= current.generation }) ?? true else {
      throw Refused(description: "A coordinator of generation \(generation) spoke, and this node has seen \(current.generation).")
    }
    if let view, view.cluster != cluster { throw Refused(description: "A coordinator of another cluster, \(view.cluster), spoke.") }
    let next = Document(
      generation: max(generation, view?.generation ?? 0), dataKeyEpoch: dataKeyEpoch ?? current.dataKeyEpoch, view: view ?? current.view)
    guard next != current else { return }
    let bytes = try ClusterKnowledge.encode(next)
    let path = path
    try await pool.run { try AtomicFile.write(path, bytes) }
    state.withLock { $0.take(next) }
  }

  /// A line with the SHA-256 of the rest, then the document.
  private static func encode(_ document: Document) throws -> [UInt8] {
    let json = try JSONCoding.encode(document)
    return Array((magic + HexDigits.encode(SHA256Hasher.hash(json)) + "\n").utf8) + json
  }

  private static func decode(_ bytes: [UInt8]) -> Document? {
    guard let newline = bytes.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let json = Array(bytes[(newline + 1)...])
    let head = magic + HexDigits.encode(SHA256Hasher.hash(json))
    guard bytes[..<newline].elementsEqual(head.utf8) else { return nil }
    return try? JSONCoding.decode(Document.self, from: json, limit: sizeLimit)
  }
}
