import BlockModel
import ClusterLogic
import Credentials
import ServiceAPI

/// Documents and a cluster to test with.
enum Samples {
  static let moment = WallTime(seconds: 1_767_225_600)
  static let token = "cu1.some.token"
  static let entryID = EntryID(high: 7, low: 9)
  static let uploadID = UploadID(high: 1, low: 2)
  static let deviceID = DeviceID(high: 3, low: 4)
  static let hash = String(repeating: "ab", count: 32)

  static func file(
    name: String = "a.txt", size: Int64 = 3, version: Int64 = 5, mimeType: String? = nil, kind: EntryType = .file
  ) -> FileEntry {
    FileEntry(
      id: entryID, path: "/docs/\(name)", name: name, kind: kind, size: size, contentHash: kind == .file ? hash : nil, version: version,
      mimeType: mimeType, modifiedAt: FileTime(moment), executable: false, target: kind == .symlink ? "b" : nil, owner: "ann", role: .owner)
  }

  static let versionInfo = VersionInfo(
    version: 4, size: 3, contentHash: hash, chunker: .fixed, modifiedAt: FileTime(moment), committedAt: moment, author: "ann",
    device: "desk")

  static func block(_ seed: UInt64) -> BlockID {
    var random = SeededRandom(seed: seed)
    return BlockID(words: (random.next(), random.next(), random.next(), random.next()))
  }

  static func upload(missing: Int = 0, file: FileEntry? = nil, chunker: Chunker = .fixed) -> UploadState {
    UploadState(
      uploadID: uploadID, status: file == nil ? .uploading : .uploaded, expiresAt: moment, blockCount: missing,
      missing: (0..<missing).map { MissingBlock(index: $0, id: block(UInt64($0)), size: 1000 + $0) }, next: missing > 2 ? "more" : nil,
      file: file, chunker: chunker)
  }

  // MARK: A cluster

  static let secret = ClusterSecret.generate()
  static let cluster = ClusterID(high: 1, low: 1)

  static func node(_ number: Int) -> NodeID { name("node-\(number)") }
  static func zone(ofNode number: Int) -> ZoneID { name(["a", "b", "c"][(number - 1) % 3]) }

  private static func name<Kind>(_ text: String) -> Name<Kind> {
    guard let name = Name<Kind>(text) else { preconditionFailure("the samples' names are names") }
    return name
  }

  /// Six nodes in three zones, each partition on three of them in a row.
  static func view(
    revision: UInt64 = 1, generation: UInt64 = 1, layoutVersion: UInt64 = 3, states: [Int: NodeState] = [:],
    addresses: [Int: String] = [:], filling: [FillingPartition] = []
  ) -> ClusterView {
    let bits = 4
    let nodes = (1...6).map { LayoutNode(id: node($0), zone: zone(ofNode: $0), weight: 1) }
    let table = (0..<(1 << bits)).flatMap { partition in (0..<3).map { UInt16((partition + $0) % 6) } }
    let members = (1...6).map { number in
      let state = states[number] ?? .alive
      return Member(
        node: node(number), zone: zone(ofNode: number), address: addresses[number] ?? "http://127.0.0.1:\(7000 + number)", state: state,
        writable: state == .alive)
    }
    return ClusterView(
      cluster: cluster, revision: revision, generation: generation,
      layout: Layout(version: layoutVersion, partitionBits: bits, replicationFactor: 3, writeQuorum: 2, nodes: nodes, table: table),
      members: members, gcEpoch: 11, filling: filling)
  }
}
