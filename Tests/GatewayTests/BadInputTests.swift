import BlockModel
import HTTPTransport
import ServiceAPI
import Testing

/// A request that is wrong, and how it is refused.
struct BadCase: Sendable, CustomTestStringConvertible {
  var what: String
  var method: HTTPMethod
  var path: String
  var json: String?
  var headers: HTTPHeaders
  var status: Int
  var problem: String
  var testDescription: String { what }

  init(
    _ what: String, _ status: Int, _ problem: String, _ method: HTTPMethod, _ path: String, _ json: String? = nil,
    headers: HTTPHeaders = [:]
  ) {
    self.what = what
    self.method = method
    self.path = path
    self.json = json
    self.headers = headers
    self.status = status
    self.problem = problem
  }

  private static let id = Samples.entryID.hex
  private static let upload = "/v1/uploads/\(Samples.uploadID.hex)"

  static let names: [BadCase] = [
    ("relative", "docs/a"), ("dot-dot", "/docs/../a"), ("dot", "/./a"), ("empty component", "/docs//a"), ("trailing slash", "/docs/"),
    ("zero byte", "/a\\u0000b"), ("control character", "/a\\u0007b"), ("empty", ""),
    ("a name over 255 bytes", "/" + String(repeating: "x", count: 256)),
    ("a path over 4096 bytes", String(repeating: "/" + String(repeating: "y", count: 200), count: 21)),
    ("over 64 components", String(repeating: "/z", count: 65)),
  ].map { .init("a path that is \($0.0)", 400, "invalid-name", .post, "/v1/folders", "{\"path\":\"\($0.1)\"}") }

  static let documents: [BadCase] = [
    .init("no body", 400, "malformed", .post, "/v1/folders"),
    .init("broken JSON", 400, "malformed", .post, "/v1/folders", "{\"path\":"),
    .init("another type", 400, "malformed", .post, "/v1/folders", "{\"path\":7}"),
    .init("a missing member", 400, "malformed", .post, "/v1/folders", "{}"),
    .init("an array", 400, "malformed", .post, "/v1/folders", "[1,2]"),
    .init(
      "deep nesting", 400, "malformed", .post, "/v1/folders", String(repeating: "[", count: 5000) + String(repeating: "]", count: 5000)),
    .init("invalid UTF-8 as escapes", 400, "malformed", .post, "/v1/folders", "{\"path\":\"/\\ud800\"}"),
    .init("a huge document", 413, "too-large", .post, "/v1/folders", "{\"path\":\"" + String(repeating: "x", count: 70_000) + "\"}"),
    .init("a chunker that is none", 400, "malformed", .post, "/v1/folders", "{\"path\":\"/a\",\"chunker\":\"rabin\"}"),
    .init("a chunker of a folder that is none", 400, "malformed", .patch, "/v1/files/\(id)", "{\"chunker\":\"none\"}"),
    .init("an upload that would inherit", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"chunker\":\"inherit\"}"),
    .init("an upload of the root", 400, "invalid-name", .post, "/v1/uploads", "{\"path\":\"/\"}"),
    .init("an upload below zero", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"size\":-1}"),
    .init("a size that no number holds", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"size\":1e99}"),
    .init("an upload beyond all sizes", 413, "too-large", .post, "/v1/uploads", "{\"path\":\"/a\",\"size\":9007199254740992}"),
    .init("a hash that is none", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"content_hash\":\"ABCD\"}"),
    .init(
      "a block id in capitals", 400, "malformed", .post, "/v1/uploads",
      "{\"path\":\"/a\",\"blocks\":[{\"id\":\"\(Samples.hash.uppercased())\",\"size\":1}]}"),
    .init(
      "a block over 4 MiB", 400, "malformed", .post, "/v1/uploads",
      "{\"path\":\"/a\",\"blocks\":[{\"id\":\"\(Samples.hash)\",\"size\":4194305}]}"),
    .init(
      "an empty block", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"blocks\":[{\"id\":\"\(Samples.hash)\",\"size\":0}]}"),
    .init("an unknown policy", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"on_conflict\":\"pray\"}"),
    .init(
      "a media type with a line break", 400, "malformed", .post, "/v1/uploads", "{\"path\":\"/a\",\"mime_type\":\"text/plain\\r\\nX: y\"}"),
    .init("a negative start", 400, "malformed", .post, "\(upload)/blocks", "{\"start\":-1,\"blocks\":[]}"),
    .init(
      "a receipt that is too long", 422, "invalid-receipt", .post, "\(upload)/receipts",
      "{\"receipts\":[\"" + String(repeating: "r", count: 600) + "\"]}"),
    .init("an empty batch", 400, "malformed", .post, "/v1/uploads/batch", "{\"uploads\":[]}"),
    .init(
      "a batch of too many", 413, "too-large", .post, "/v1/downloads/batch",
      "{\"entries\":[" + Array(repeating: "{\"path\":\"/a\"}", count: 257).joined(separator: ",") + "]}"),
    .init(
      "a batch item by path and id", 400, "malformed", .post, "/v1/downloads/batch", "{\"entries\":[{\"path\":\"/a\",\"id\":\"\(id)\"}]}"),
    .init("a symlink to nothing", 400, "malformed", .post, "/v1/symlinks", "{\"path\":\"/a\",\"target\":\"\"}"),
    .init("a device without a name", 400, "malformed", .post, "/v1/sessions", "{\"name\":\"a\",\"password\":\"b\",\"device\":\"\"}"),
    .init(
      "too many blocks at once", 413, "too-large", .post, "\(upload)/blocks",
      "{\"start\":0,\"blocks\":[" + Array(repeating: "{\"id\":\"\(Samples.hash)\",\"size\":1}", count: 1001).joined(separator: ",") + "]}"),
  ]

  static let requests: [BadCase] = [
    .init("a file id that is none", 404, "not-found", .get, "/v1/files/abc"),
    .init("a file id in capitals", 404, "not-found", .delete, "/v1/files/\(id.uppercased())A"),
    .init("an upload id that is none", 404, "upload-not-found", .get, "/v1/uploads/abc"),
    .init("a device id that is none", 404, "not-found", .delete, "/v1/devices/abc"),
    .init("no path", 400, "malformed", .get, "/v1/files"),
    .init("two paths", 400, "malformed", .get, "/v1/files?path=/a&path=/b"),
    .init("an empty path", 400, "invalid-name", .get, "/v1/files?path="),
    .init("a limit of nothing", 400, "malformed", .get, "/v1/files?path=/&children=1&limit=0"),
    .init("a limit beyond the page", 400, "malformed", .get, "/v1/files?path=/&children=1&limit=1001"),
    .init("a limit that is no number", 400, "malformed", .get, "/v1/files?path=/&children=1&limit=ten"),
    .init("a flag that is none", 400, "malformed", .get, "/v1/files?path=/&children=maybe"),
    .init("a huge cursor", 400, "invalid-cursor", .get, "/v1/changes?cursor=" + String(repeating: "c", count: 13_000)),
    .init("a version of nothing", 400, "malformed", .get, "/v1/files/\(id)/raw?version=0"),
    .init("a wait beyond a minute", 400, "malformed", .get, "/v1/changes?wait=61"),
    .init(
      "an idempotency key too long", 400, "malformed", .post, "/v1/folders", "{\"path\":\"/f\"}",
      headers: ["Idempotency-Key": String(repeating: "k", count: 257)]),
    .init("If-None-Match on a change", 400, "malformed", .delete, "/v1/files/\(id)", headers: ["If-None-Match": "*"]),
    .init("two versions in If-Match", 400, "malformed", .delete, "/v1/files/\(id)", headers: ["If-Match": "\"1\", \"2\""]),
    .init("If-Match that names no version", 412, "precondition-failed", .delete, "/v1/files/\(id)", headers: ["If-Match": "\"abc\""]),
    .init("two versions when completing", 400, "malformed", .post, "\(upload)/complete", "{}", headers: ["If-Match": "\"5\", \"6\""]),
  ]
}

@Suite("Bad input to the gateway")
struct BadInputTests {
  @Test(
    "bad names, documents and requests are refused without asking the coordinator",
    arguments: [BadCase.names, BadCase.documents, BadCase.requests])
  func refused(_ cases: [BadCase]) async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      for bad in cases {
        let reply = try await gateway.send(bad.method, bad.path, json: bad.json, headers: bad.headers)
        #expect(reply.status == bad.status, "\(bad.what): \(reply.text)")
        #expect(reply.problem == bad.problem, "\(bad.what): \(reply.text)")
        let object = try reply.object
        #expect((object["detail"] as? String)?.isEmpty == false && object["title"] != nil, "\(bad.what)")
      }
      #expect(gateway.control.names == [])
    }
  }

  @Test("without a token every route of a user answers 401 and asks nobody", arguments: [nil, "", "two words"] as [String?])
  func unauthenticated(_ token: String?) async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      for route in RouteCase.all
      where !["/healthz", "/readyz", "/metrics", "/v1/openapi.json", "/v1/users", "/v1/sessions"].contains(route.path)
        && !route.path.hasPrefix("/l/")
      {
        let reply = try await gateway.send(route.method, route.path, json: route.json, token: token)
        #expect(reply.status == 401, "\(route.testDescription): \(reply.text)")
        #expect(reply.headers["WWW-Authenticate"] == "Bearer", "\(route.testDescription)")
        #expect(reply.problem == "unauthenticated")
      }
      #expect(gateway.control.names == [])
    }
  }

  @Test("an unknown method on a known path answers 405 with what is allowed, an unknown path 404")
  func methods() async throws {
    try await withGateway { gateway in
      let wrong = try await gateway.send(.put, "/v1/files/\(Samples.entryID.hex)")
      #expect(wrong.status == 405)
      let allowed = try #require(wrong.headers["Allow"])
      for method in ["GET", "PATCH", "DELETE"] { #expect(allowed.contains(method)) }
      let strange = try await gateway.send(HTTPMethod(rawValue: "BREW"), "/v1/me")
      #expect(strange.status == 405)
      #expect(try await gateway.send(.get, "/v1/nothing").status == 404)
    }
  }

  @Test("a problem of the coordinator reaches the client with what it needs to go on")
  func problems() async throws {
    try await withGateway { gateway in
      let complete = "/v1/uploads/\(Samples.uploadID.hex)/complete"
      gateway.control.on(
        UserOperations.CompleteUpload.self,
        fails: Problem(.conflict, "Somebody was first.", current: Samples.file(version: 9), base: Samples.versionInfo))
      let conflict = try await gateway.send(.post, complete, json: "{}")
      #expect(conflict.status == 409)
      #expect(conflict.problem == "conflict")
      let members = try conflict.object
      #expect((members["current"] as? [String: Any])?["version"] as? Int == 9)
      #expect((members["base"] as? [String: Any])?["version"] as? Int == 4)
      #expect(conflict.headers["ETag"] == "\"9\"")

      let missing = [Samples.block(1), Samples.block(2)]
      gateway.control.on(UserOperations.CompleteUpload.self, fails: Problem(.missingBlocks, "Two are missing.", missing: missing))
      let incomplete = try await gateway.send(.post, complete, json: "{}")
      #expect(incomplete.status == 422)
      #expect(try incomplete.object["missing"] as? [String] == missing.map(\.hex))

      gateway.control.on(UserOperations.CompleteUpload.self, fails: Problem(.tooManyRequests, "Slower.", retryAfter: 7))
      let slow = try await gateway.send(.post, complete, json: "{}")
      #expect(slow.status == 429)
      #expect(slow.headers["Retry-After"] == "7")
      gateway.control.on(UserOperations.CompleteUpload.self, fails: Problem(.unavailable, "Away."))
      #expect(try await gateway.send(.post, complete, json: "{}").headers["Retry-After"] != nil)
    }
  }
}
