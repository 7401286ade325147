internal import BlockModel
internal import HTTPTransport
internal import Platform

/// The few requests of the gateway's API that a recorded history needs, written from its documentation alone: nothing of the SDK or of the
/// services decides what an answer means here. One user's.
struct MetadataAPI: Sendable {
  /// What came of one request.
  enum Reply: Sendable {
    case ok([UInt8])
    /// The request surely had no effect: 4xx.
    case refused(status: Int, type: String)
    /// No answer, or one that leaves open what happened.
    case unknown
  }

  /// A tiny file's only block: all of the content, and its hash as the API names it.
  struct Content: Sendable {
    var bytes: [UInt8]
    var block: String
    var hash: String

    init(_ text: String) {
      bytes = Array(text.utf8)
      let name = SHA256Hasher.hash(bytes)
      block = HexDigits.encode(name)
      // With one block the published content hash is the SHA-256 of the block's SHA-256.
      hash = HexDigits.encode(SHA256Hasher.hash(name))
    }
  }

  private struct FileDocument: Decodable {
    var id: String
    var name: String
    var path: String
    var kind: String
    var version: Int64
    var contentHash: String?
    func file(named name: String) -> RecordedCall.File {
      RecordedCall.File(name: name, id: id, version: version, content: contentHash ?? "")
    }
    private enum CodingKeys: String, CodingKey {
      case id, name, path, kind, version
      case contentHash = "content_hash"
    }
  }

  private struct PageDocument: Decodable {
    var items: [FileDocument]
    var next: String?
  }

  private struct UploadDocument: Decodable {
    struct Missing: Decodable {
      struct Target: Decodable { var url: String }
      var put: [Target]
    }
    var id: String
    var missing: [Missing]
    private enum CodingKeys: String, CodingKey {
      case missing
      case id = "upload_id"
    }
  }

  private struct FeedDocument: Decodable {
    struct Change: Decodable {
      var sequence: Int64
      var action: String
      var entry: FileDocument
      var oldPath: String?
      private enum CodingKeys: String, CodingKey {
        case sequence, action, entry
        case oldPath = "old_path"
      }
    }
    var changes: [Change]
    var cursor: String
  }

  private struct ProblemDocument: Decodable { var type: String? }

  let http: HTTPClient
  let gateway: String
  let token: String
  /// Told of answers that should not be.
  let surprised: @Sendable (String) -> Void

  func send(_ method: HTTPMethod, _ path: String, _ body: String? = nil, _ more: HTTPHeaders = [:]) async -> Reply {
    var headers = more
    headers["Authorization"] = "Bearer \(token)"
    if body != nil { headers["Content-Type"] = "application/json" }
    let request = HTTPClientRequest(
      method: method, url: gateway + path, headers: headers, body: body.map { .bytes(Array($0.utf8)) } ?? .none, deadline: .seconds(30))
    guard let response = try? await http.send(request) else { return .unknown }
    switch response.status {
    case 200..<300: return .ok(response.bytes)
    case 400..<500:
      let problem = try? JSONCoding.decode(ProblemDocument.self, from: response.bytes)
      return .refused(status: response.status, type: problem?.type ?? "")
    default: return .unknown
    }
  }

  // MARK: - Reading

  /// Nil when no answer came.
  func read(_ name: String, in folder: String) async -> RecordedCall.Answer? {
    switch await send(.get, "/v1/files?path=/\(folder)/\(name)") {
    case .ok(let bytes): return Self.decoded(bytes).map { .file($0.file(named: name)) }
    case .refused(404, _): return .absent
    default: return nil
    }
  }

  /// All in a folder, which fits one page.
  func list(_ folder: String) async -> RecordedCall.Answer? {
    guard case .ok(let bytes) = await send(.get, "/v1/files?path=/\(folder)&children=1"),
      let page = try? JSONCoding.decode(PageDocument.self, from: bytes), page.next == nil
    else { return nil }
    return .files(page.items.map { $0.file(named: $0.name) })
  }

  // MARK: - Changing

  /// Opens an upload of a content that is in the cluster already, which touches no file. Nil when that did not succeed.
  func open(_ content: Content, path: String, base: Int64?) async -> String? {
    guard case .ok(let bytes) = await send(.post, "/v1/uploads", Self.upload(content, path, base)),
      let upload = try? JSONCoding.decode(UploadDocument.self, from: bytes), upload.missing.isEmpty
    else { return nil }
    return upload.id
  }

  /// Commits an upload, asking again until an answer comes: what was committed once is not committed twice, whoever asks.
  /// - Returns: nil when it was refused in a way that a history has no word for.
  func complete(_ upload: String, name: String, patience: Duration) async -> RecordedCall.Answer? {
    let end = ContinuousClock.now + patience
    repeat {
      switch await send(.post, "/v1/uploads/\(upload)/complete", "{}") {
      case .ok(let bytes): return Self.decoded(bytes).map { .file($0.file(named: name)) }
      case .refused(409, _): return .conflict
      case .refused(let status, let type): return surprise("a commit", status, type)
      case .unknown: try? await Task.sleep(for: .milliseconds(200))
      }
    } while ContinuousClock.now < end
    return .unknown
  }

  func delete(_ id: String, version: Int64?) async -> RecordedCall.Answer? {
    switch await send(.delete, "/v1/files/\(id)", nil, version.map { ["If-Match": "\"\($0)\""] } ?? [:]) {
    case .ok: return .done
    case .refused(404, _): return .absent
    case .refused(412, _): return .conflict
    case .refused(let status, let type): return surprise("a deletion", status, type)
    case .unknown: return .unknown
    }
  }

  func move(_ id: String, to name: String, in folder: String) async -> RecordedCall.Answer? {
    switch await send(.patch, "/v1/files/\(id)", "{\"path\":\"/\(folder)/\(name)\"}") {
    case .ok(let bytes): return Self.decoded(bytes).map { .file($0.file(named: name)) }
    case .refused(404, _): return .absent
    case .refused(409, _): return .taken
    case .refused(let status, let type): return surprise("a move", status, type)
    case .unknown: return .unknown
    }
  }

  /// An answer that no call of a history should get: it changed nothing, and is a fault by itself.
  private func surprise(_ request: String, _ status: Int, _ type: String) -> RecordedCall.Answer? {
    surprised("\(request) was answered \(status) \(type)")
    return nil
  }

  // MARK: - Before and after

  func makeFolder(_ path: String) async -> Bool {
    if case .ok = await send(.post, "/v1/folders", "{\"path\":\"\(path)\",\"parents\":true}") { return true }
    return false
  }

  /// Stores a file with its block, as any client does.
  func store(_ content: Content, path: String) async -> RecordedCall.File? {
    guard case .ok(let bytes) = await send(.post, "/v1/uploads", Self.upload(content, path, nil)),
      let upload = try? JSONCoding.decode(UploadDocument.self, from: bytes)
    else { return nil }
    var receipts: [String] = []
    for missing in upload.missing {
      struct Receipts: Decodable { var receipts: [String] }
      guard let url = missing.put.first?.url,
        let response = try? await http.send(HTTPClientRequest(method: .put, url: url, body: .bytes(content.bytes))),
        response.status == 201, let answer = try? JSONCoding.decode(Receipts.self, from: response.bytes)
      else { return nil }
      receipts += answer.receipts
    }
    let list = receipts.map { "\"\($0)\"" }.joined(separator: ",")
    guard case .ok(let answer) = await send(.post, "/v1/uploads/\(upload.id)/complete", "{\"receipts\":[\(list)]}") else { return nil }
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    return Self.decoded(answer)?.file(named: name)
  }

  /// Every file of the tree, by path.
  func everything() async -> [RecordedCall.File]? {
    var files: [RecordedCall.File] = []
    var cursor = ""
    while true {
      guard case .ok(let bytes) = await send(.get, "/v1/files?path=/&recursive=1&limit=1000\(cursor)"),
        let page = try? JSONCoding.decode(PageDocument.self, from: bytes)
      else { return nil }
      files += page.items.filter { $0.kind == "file" }.map { $0.file(named: $0.path) }
      guard let next = page.next else { return files }
      cursor = "&cursor=\(next)"
    }
  }

  /// The feed from here on; nil for where it is now.
  func changes(since start: String?) async -> (changes: [RecordedChange], cursor: String)? {
    var all: [RecordedChange] = []
    var cursor = start
    while true {
      guard case .ok(let bytes) = await send(.get, "/v1/changes?limit=1000" + (cursor.map { "&cursor=\($0)" } ?? "")),
        let page = try? JSONCoding.decode(FeedDocument.self, from: bytes)
      else { return nil }
      for change in page.changes {
        guard let action = RecordedChange.Action(rawValue: change.action) else { return nil }
        all.append(
          RecordedChange(
            sequence: change.sequence, action: action, id: change.entry.id, path: change.entry.path, oldPath: change.oldPath,
            version: change.entry.version, content: change.entry.kind == "file" ? change.entry.contentHash : nil))
      }
      if page.changes.isEmpty { return (all, page.cursor) }
      cursor = page.cursor
    }
  }

  private static func upload(_ content: Content, _ path: String, _ base: Int64?) -> String {
    let base = base.map { ",\"base_version\":\($0)" } ?? ""
    return """
      {"path":"\(path)","size":\(content.bytes.count),"blocks":[{"id":"\(content.block)","size":\(content.bytes.count)}],\
      "on_conflict":"fail"\(base)}
      """
  }

  private static func decoded(_ bytes: [UInt8]) -> FileDocument? { try? JSONCoding.decode(FileDocument.self, from: bytes) }
}
