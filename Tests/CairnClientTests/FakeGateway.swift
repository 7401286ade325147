import BlockModel
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// A gateway in memory behind the real server: enough of sessions, versions and the tree for the client to meet what it will meet.
final class FakeGateway: Sendable {
  struct Version: Sendable {
    var number: Int64
    var blocks: [BlockRef]
    var entry: FileEntry
    var chunker = Chunker.fixed
  }

  struct Upload: Sendable {
    var request: UploadRequest
    var blocks: [BlockRef] = []
    var stored: Set<BlockID> = []
    var status = UploadStatus.uploading
  }

  struct State {
    var entries: [String: FileEntry] = [:]
    var versions: [EntryID: [Version]] = [:]
    var uploads: [UploadID: Upload] = [:]
    var known: Set<BlockID> = []
    var requests: [String] = []
    var lastID: UInt64 = 0
    var nextVersion: Int64 = 0
    /// Of folders, by path.
    var chunkers: [RemotePath: Chunker] = [:]

    func effectiveChunker(of folder: RemotePath) -> Chunker {
      var path: RemotePath? = folder
      while let folder = path {
        if let chunker = chunkers[folder] { return chunker }
        path = folder.parent
      }
      return .fixed
    }

    func shown(_ entry: FileEntry) throws -> FileEntry {
      guard entry.kind == .folder else { return entry }
      var entry = entry
      let path = try RemotePath(entry.path)
      (entry.chunker, entry.effectiveChunker) = (chunkers[path], effectiveChunker(of: path))
      return entry
    }
    var keys = Keys()
  }

  let state = Mutex(State())
  let nodes: [FakeNode]
  /// Asked before each request with its method and path; an answer stands in for the real one.
  let fault = Mutex<@Sendable (_ method: String, _ path: String) -> HTTPResponse?>({ _, _ in nil })
  /// Names that `children` gives besides the real ones, to see that a lying gateway does no harm.
  let lies = Mutex<[FileEntry]>([])
  let pageSize: Int
  private let server: HTTPServer

  init(nodes: [FakeNode], pageSize: Int = 1000) throws {
    self.nodes = nodes
    self.pageSize = pageSize
    var router = HTTPRouter()
    let holder = Holder()
    func route(
      _ method: HTTPMethod, _ pattern: String, _ body: @escaping @Sendable (FakeGateway, HTTPRequestHead, [UInt8]) throws -> HTTPResponse
    ) {
      router.add(method, pattern, maxBodyBytes: 16 << 20) { head, sent in
        guard let gateway = holder.gateway, let bytes = try? await sent.collect(limit: 16 << 20) else { return HTTPResponse(status: 400) }
        if let answer = gateway.fault.withLock({ $0 })(method.rawValue, head.rawPath) { return answer }
        gateway.state.withLock { $0.requests.append("\(method.rawValue) \(pattern)") }
        do { return try body(gateway, head, bytes) } catch let problem as Problem { return .refusal(problem) } catch {
          return .refusal(Problem(.malformed, "\(error)"))
        }
      }
    }
    FakeGateway.addAccounts(route)
    FakeGateway.addTree(route)
    FakeGateway.addUploads(route)
    FakeGateway.addKeys(route)
    server = HTTPServer(configuration: HTTPServer.Configuration(), router: router)
    holder.set(self)
    try server.start()
  }

  typealias AddRoute = (HTTPMethod, String, @escaping @Sendable (FakeGateway, HTTPRequestHead, [UInt8]) throws -> HTTPResponse) -> Void

  private final class Holder: Sendable {
    private let value = Mutex<FakeGateway?>(nil)
    var gateway: FakeGateway? { value.withLock { $0 } }
    func set(_ gateway: FakeGateway) { value.withLock { $0 = gateway } }
  }

  var address: String { "http://127.0.0.1:\(server.port)" }
  func stop() async { await server.shutdown(grace: .zero) }
  func count(_ route: String) -> Int { state.withLock { $0.requests.count { $0 == route } } }

  func targets(_ operation: String, _ block: BlockRef, upload: UploadID? = nil) -> [SignedTarget] {
    // Spread by name, as a layout does, and in an order that is the same each time.
    let first = Int(block.id.words.0 % UInt64(nodes.count))
    return (0..<nodes.count).map { offset in
      let node = nodes[(first + offset) % nodes.count]
      return node.url(operation, block.id, block.size, upload: upload, generation: node.generation.load(ordering: .relaxed))
    }
  }

  static func newEntry(_ state: inout State, path: RemotePath, kind: EntryType) -> FileEntry {
    state.lastID += 1
    return FileEntry(
      id: EntryID(high: 7, low: state.lastID), path: path.text, name: path.name?.text ?? "", kind: kind, size: 0, contentHash: nil,
      version: 1,
      mimeType: nil, modifiedAt: FileTime(nanoseconds: 0), executable: false, target: nil, owner: "ada", role: .owner,
      keyFolder: keyFolder(state, of: path))
  }

  static func makeParents(_ state: inout State, of path: RemotePath) throws {
    guard let parent = path.parent, parent != .root else { return }
    if let there = state.entries[parent.text] {
      guard there.kind == .folder else { throw Problem(.wrongKindOfEntry, "\(parent) is no folder.") }
      return
    }
    try makeParents(&state, of: parent)
    state.entries[parent.text] = newEntry(&state, path: parent, kind: .folder)
  }

  // MARK: The tree

  private struct NewEntry: Decodable {
    var path: String
    var target: String?
    var parents: Bool?
    var modifiedAt: FileTime?
    var chunker: FolderChunker?
    var encrypted: WrappedKey?
    private enum CodingKeys: String, CodingKey {
      case path, target, parents, chunker, encrypted
      case modifiedAt = "modified_at"
    }
  }

  private struct Update: Decodable { var chunker: FolderChunker }

  private struct PlanRequest: Decodable {
    struct Item: Decodable { var id: EntryID }
    var entries: [Item]
  }

  private struct LogIn: Decodable { var name: String }

  private static func addAccounts(_ route: AddRoute) {
    route(.post, "/v1/users") { _, _, body in
      .json(UserInfo(id: UserID(high: 1, low: 1), name: try JSONCoding.decode(LogIn.self, from: body).name, device: nil), status: 201)
    }
    route(.post, "/v1/sessions") { _, _, body in
      let name = try JSONCoding.decode(LogIn.self, from: body).name
      return .json(SessionToken(token: "token-of-\(name)", expiresAt: WallTime(seconds: 1_900_000_000)), status: 201)
    }
    route(.delete, "/v1/sessions/current") { _, _, _ in HTTPResponse(status: 204) }
    route(.get, "/v1/me") { _, head, _ in
      guard let token = head.headers["Authorization"], token.hasPrefix("Bearer token-of-") else { throw Problem(.unauthenticated, "Who?") }
      return .json(UserInfo(id: UserID(high: 1, low: 1), name: String(token.dropFirst(16)), device: nil))
    }
  }

  private static func addTree(_ route: AddRoute) {
    route(.get, "/v1/files") { gateway, head, _ in try gateway.files(head) }
    route(.post, "/v1/folders") { gateway, head, body in try gateway.create(body, kind: .folder, head) }
    route(.post, "/v1/symlinks") { gateway, head, body in try gateway.create(body, kind: .symlink, head) }
    route(.patch, "/v1/files/{id}") { gateway, head, body in
      let request = try JSONCoding.decode(Update.self, from: body)
      return .json(
        try gateway.state.withLock { state in
          let root = Self.newEntry(&state, path: .root, kind: .folder)
          let found = state.entries.values.first { $0.id.hex == head.parameters["id"] } ?? root
          state.chunkers[try RemotePath(found.path)] = request.chunker.chunker
          return try state.shown(found)
        })
    }
    route(.delete, "/v1/files/{id}") { gateway, head, _ in
      gateway.state.withLock { state in
        state.entries = state.entries.filter { $0.value.id.hex != head.parameters["id"] }
      }
      return HTTPResponse(status: 204)
    }
    route(.get, "/v1/files/{id}/download") { gateway, head, _ in
      let query = Dictionary(head.query.map { ($0.name, $0.value) }, uniquingKeysWith: { a, _ in a })
      return .json(try gateway.plan(head.parameters["id"] ?? "", version: query["version"].flatMap { Int64($0) }, cursor: query["cursor"]))
    }
    route(.post, "/v1/downloads/batch") { gateway, _, body in
      let request = try JSONCoding.decode(PlanRequest.self, from: body)
      let items = request.entries.map { item -> ItemResult<DownloadPlan> in
        do { return ItemResult(value: try gateway.plan(item.id.hex, version: nil, cursor: nil)) } catch {
          return ItemResult(problem: error as? Problem ?? Problem(.internalError, "\(error)"))
        }
      }
      return .json(Page(items: items, next: nil))
    }
  }

  private func files(_ head: HTTPRequestHead) throws -> HTTPResponse {
    let query = Dictionary(head.query.map { ($0.name, $0.value) }, uniquingKeysWith: { a, _ in a })
    let path = try RemotePath(query["path"] ?? "/")
    return try state.withLock { state in
      let entry = path == .root ? Self.newEntry(&state, path: .root, kind: .folder) : state.entries[path.text]
      guard let entry else { throw Problem(.notFound, "\(path) is not there.") }
      guard query["children"] == "1" else { return .json(try state.shown(Self.shown(entry, state))) }
      let below = state.entries.values.filter { entry in
        guard let other = try? RemotePath(entry.path), other != path, other.isInside(path) else { return false }
        return query["recursive"] == "1" || other.components.count == path.components.count + 1
      }
      let sorted = below.sorted { $0.path < $1.path }.map { Self.shown($0, state) } + lies.withLock { $0 }
      let start = Int(query["cursor"] ?? "0") ?? 0
      let page = Array(sorted.dropFirst(start).prefix(pageSize))
      return .json(Page(items: page, next: start + page.count < sorted.count ? String(start + page.count) : nil))
    }
  }

  private func create(_ body: [UInt8], kind: EntryType, _ head: HTTPRequestHead) throws -> HTTPResponse {
    let request = try JSONCoding.decode(NewEntry.self, from: body)
    let path = try RemotePath(request.path)
    return try state.withLock { state in
      if let there = state.entries[path.text] {
        guard kind == .folder, there.kind == .folder, request.parents == true else { throw Problem(.alreadyExists, "\(path) is there.") }
        return .json(there, status: 201)
      }
      if request.parents == true { try Self.makeParents(&state, of: path) }
      var entry = Self.newEntry(&state, path: path, kind: kind)
      entry.target = request.target
      entry.modifiedAt = request.modifiedAt ?? entry.modifiedAt
      if let key = request.encrypted { Self.encrypt(&state, &entry, by: head, key) }
      state.entries[path.text] = entry
      state.chunkers[path] = request.chunker?.chunker
      return .json(try state.shown(entry), status: 201)
    }
  }

  private func plan(_ id: String, version: Int64?, cursor: String?) throws -> DownloadPlan {
    guard let id = EntryID(hex: id), let versions = state.withLock({ $0.versions[id] }),
      let found = version.map({ wanted in versions.first { $0.number == wanted } }) ?? versions.last
    else { throw Problem(.notFound, "No such file or version.") }
    let start = Int(cursor ?? "0") ?? 0
    let end = min(start + pageSize, found.blocks.count)
    var offset = found.blocks[..<start].reduce(Int64(0)) { $0 + Int64($1.size) }
    let blocks = found.blocks[start..<end].map { block in
      defer { offset += Int64(block.size) }
      return DownloadPlan.Block(id: block.id, offset: offset, size: block.size, get: targets("get", block))
    }
    let file = state.withLock { Self.shown(found.entry, $0) }
    return DownloadPlan(
      file: file, size: found.entry.size, contentHash: found.entry.contentHash ?? "", version: found.number, chunker: found.chunker,
      blocks: blocks, next: end < found.blocks.count ? String(end) : nil, envelope: file.envelope)
  }
}
