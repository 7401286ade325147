import BlockModel
import HTTPTransport
import ServiceAPI
import Testing

@Suite("Versions as entity tags")
struct ConditionTests {
  private let path = "/v1/files/\(Samples.entryID.hex)"

  @Test(
    "a known version is answered 304, another one whole",
    arguments: [("\"5\"", 304), ("W/\"5\"", 304), ("\"4\", \"5\"", 304), ("*", 304), ("\"4\"", 200), ("5", 200), ("garbage", 200)])
  func ifNoneMatch(_ header: String, _ status: Int) async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      let reply = try await gateway.send(.get, path, headers: ["If-None-Match": header])
      #expect(reply.status == status)
      #expect(reply.headers["ETag"] == "\"5\"")
    }
  }

  @Test(
    "a read of another version than If-Match names is refused", arguments: [("\"5\"", 200), ("*", 200), ("\"4\"", 412), ("W/\"5\"", 412)])
  func ifMatchOnRead(_ header: String, _ status: Int) async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      let reply = try await gateway.send(.get, path, headers: ["If-Match": header])
      #expect(reply.status == status)
    }
  }

  @Test("If-Match goes to the coordinator, which compares in the transaction that changes")
  func ifMatchOnChange() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      #expect(
        try await gateway.send(.patch, path, json: "{\"executable\":true}", headers: ["If-Match": "\"5\""]).headers["ETag"] == "\"6\"")
      #expect(gateway.control.last(UserOperations.UpdateEntry.self)?.ifVersion == 5)
      _ = try await gateway.send(.delete, path, headers: ["If-Match": "\"8\""])
      #expect(gateway.control.last(UserOperations.DeleteEntry.self)?.ifVersion == 8)
      _ = try await gateway.send(.delete, path, headers: ["If-Match": "*"])
      #expect(gateway.control.last(UserOperations.DeleteEntry.self)?.ifVersion == nil)
    }
  }

  @Test(
    "what nothing brings back is deleted only on a condition, which may be “whatever is there”",
    arguments: [(nil, 428), ("\"8\"", 204), ("*", 204)] as [(String?, Int)])
  func deletionForGood(_ header: String?, _ status: Int) async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      let reply = try await gateway.send(.delete, path + "?forever=1", headers: HTTPHeaders(header.map { _ in "If-Match" }, header ?? ""))
      #expect(reply.status == status, "\(reply.text)")
      let asked = gateway.control.last(UserOperations.DeleteEntry.self)
      #expect(asked?.forever == (status == 204 ? true : nil) && asked?.ifVersion == (header == "\"8\"" ? 8 : nil))
    }
  }

  @Test("an upload is completed on the condition that its headers name")
  func ifMatchOnComplete() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      func condition(_ name: String?, _ value: String = "") async throws -> Int64? {
        let path = "/v1/uploads/\(Samples.uploadID.hex)/complete"
        #expect(try await gateway.send(.post, path, json: "{}", headers: HTTPHeaders(name, value)).status == 201)
        return gateway.control.last(UserOperations.CompleteUpload.self)?.ifVersion
      }
      let seen = [try await condition(nil), try await condition("If-Match", "\"5\""), try await condition("If-None-Match", "*")]
      #expect(seen == [nil, 5, 0])
    }
  }

  @Test("an upload's base is its member, or If-Match, or nothing there by If-None-Match")
  func base() async throws {
    try await withGateway { gateway in
      gateway.control.answerAll()
      func base(_ json: String, _ name: String? = nil, _ value: String = "") async throws -> Int64? {
        let reply = try await gateway.send(.post, "/v1/uploads", json: json, headers: HTTPHeaders(name, value))
        #expect(reply.status == 201, "\(reply.text)")
        return gateway.control.last(UserOperations.OpenUpload.self)?.request.baseVersion
      }
      let bases = [
        try await base("{\"path\":\"/a\"}"), try await base("{\"path\":\"/a\",\"base_version\":3}"),
        try await base("{\"path\":\"/a\"}", "If-Match", "\"4\""), try await base("{\"path\":\"/a\"}", "If-None-Match", "*"),
      ]
      #expect(bases == [nil, 3, 4, 0])
      _ = try await base("{\"path\":\"/a\",\"on_conflict\":\"overwrite\"}", "If-Match", "\"4\"")
      #expect(gateway.control.last(UserOperations.OpenUpload.self)?.request.onConflict == .fail, "no policy overrules a condition")
    }
  }
}

extension HTTPHeaders {
  /// One field, or none.
  fileprivate init(_ name: String?, _ value: String) {
    self.init()
    if let name { append(name, value) }
  }
}
