import Foundation
import HTTPTransport
import Testing

@Suite("routes and what every response carries")
struct RoutingTests {
  private static let ok: HTTPHandler = { head, _ in
    let values = head.parameters.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    return HTTPResponse(status: 200, body: .bytes(Array("\(head.method.rawValue) \(values)".utf8)))
  }

  private static func addRoutes(_ router: inout HTTPRouter) {
    router.add(.get, "/v1/files/{id}", handler: ok)
    router.add(.delete, "/v1/files/{id}", handler: ok)
    router.add(.post, "/v1/files/batch", handler: ok)
    router.add(.get, "/v1/files/{id}/versions/{v}", handler: ok)
    router.add(.get, "/", handler: ok)
  }

  @Test(
    "a route is found by method and path, literals first",
    arguments: [
      ("GET", "/v1/files/abc", 200, "GET id=abc"), ("DELETE", "/v1/files/abc", 200, "DELETE id=abc"),
      ("POST", "/v1/files/batch", 200, "POST "), ("GET", "/v1/files/batch", 200, "GET id=batch"),
      ("GET", "/v1/files/a%2Fb%20c", 200, "GET id=a/b c"), ("GET", "/v1/files/x/versions/7?z=1", 200, "GET id=x,v=7"),
      ("GET", "/", 200, "GET "),
    ])
  func found(method: String, path: String, status: Int, text: String) async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let response = try await client.send(HTTPClientRequest(method: HTTPMethod(rawValue: method), url: server.base + path))
        #expect(response.status == status)
        #expect(String(decoding: response.bytes, as: UTF8.self) == text)
      }
    }
  }

  @Test(
    "an unknown path is 404 and an unknown method 405 with what is allowed, never 501",
    arguments: [
      ("GET", "/v2", 404, nil), ("GET", "/v1/files", 404, nil), ("GET", "/v1/files/", 404, nil), ("BREW", "/nowhere", 404, nil),
      ("GET", "/v1/files//versions/7", 404, nil), ("PUT", "/v1/files/abc", 405, "GET, DELETE, HEAD, OPTIONS"),
      ("BREW", "/v1/files/abc", 405, "GET, DELETE, HEAD, OPTIONS"), ("TRACE", "/", 405, "GET, HEAD, OPTIONS"),
      ("PUT", "/v1/files/batch", 405, "POST, GET, DELETE, HEAD, OPTIONS"),
    ] as [(String, String, Int, String?)])
  func refused(method: String, path: String, status: Int, allow: String?) async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let response = try await client.send(
          HTTPClientRequest(method: HTTPMethod(rawValue: method), url: server.base + path, headers: ["X-Request-Id": "check-1"]))
        #expect(response.status == status)
        #expect(response.headers["Allow"] == allow)
        #expect(response.headers["Content-Type"] == "application/problem+json")
        let problem = try #require(try JSONSerialization.jsonObject(with: Data(response.bytes)) as? [String: Any])
        #expect(problem["status"] as? Int == status)
        #expect(problem["instance"] as? String == "check-1")
        #expect((problem["type"] as? String)?.hasPrefix("urn:cairn:problem:") == true)
      }
    }
  }

  @Test("HEAD has the length of GET and no body, for every kind of body")
  func head() async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/bytes") { _, _ in HTTPResponse(status: 200, body: .bytes(pattern(1234))) }
      router.add(.get, "/buffer") { _, _ in HTTPResponse(status: 200, body: .buffer(filled(pattern(1234)), range: 0..<1234)) }
      router.add(.get, "/stream") { _, _ in
        HTTPResponse(
          status: 200,
          body: .stream(length: 1234) {
            Issue.record("HEAD asked for the body"); return nil
          })
      }
      router.add(.head, "/own") { _, _ in HTTPResponse(status: 200, headers: ["Content-Length": "1234"]) }
    } body: { server in
      try await withClient { client in
        for path in ["/bytes", "/buffer", "/stream", "/own"] {
          let response = try await client.send(HTTPClientRequest(method: .head, url: server.base + path))
          #expect(response.status == 200)
          #expect(response.headers["Content-Length"] == "1234", "\(path)")
          #expect(response.bytes.isEmpty)
        }
      }
    }
  }

  @Test("OPTIONS says what a path takes")
  func options() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        let response = try await client.send(HTTPClientRequest(method: .options, url: server.base + "/v1/files/abc"))
        #expect(response.status == 204)
        #expect(response.headers["Allow"] == "GET, DELETE, HEAD, OPTIONS")
      }
    }
  }

  @Test("a page of an allowed origin may call, one of another may not")
  func cors() async throws {
    try await withServer {
      $0.corsOrigins = ["https://app.example"]
    } routes: { router in
      Self.addRoutes(&router)
    } body: { server in
      try await withClient { client in
        let url = server.base + "/v1/files/abc"
        let preflight = try await client.send(
          HTTPClientRequest(
            method: .options, url: url,
            headers: [
              "Origin": "https://app.example", "Access-Control-Request-Method": "DELETE",
              "Access-Control-Request-Headers": "authorization, if-match",
            ]))
        #expect(preflight.status == 204)
        #expect(preflight.headers["Access-Control-Allow-Origin"] == "https://app.example")
        #expect(preflight.headers["Access-Control-Allow-Methods"]?.contains("DELETE") == true)
        #expect(preflight.headers["Access-Control-Allow-Headers"] == "authorization, if-match")
        let call = try await client.send(HTTPClientRequest(method: .get, url: url, headers: ["Origin": "https://app.example"]))
        #expect(call.headers["Access-Control-Allow-Origin"] == "https://app.example")
        #expect(call.headers["Vary"] == "Origin")
        let foreign = try await client.send(HTTPClientRequest(method: .get, url: url, headers: ["Origin": "https://evil.example"]))
        #expect(foreign.headers["Access-Control-Allow-Origin"] == nil)
        let plain = try await client.send(HTTPClientRequest(method: .get, url: url))
        #expect(plain.headers["Vary"] == nil)
      }
    }
  }

  @Test(
    "a well-formed id of the client's is kept, any other replaced",
    arguments: [
      (["X-Request-Id": "upload-7.a_b:c"], "upload-7.a_b:c"), (["X-Request-Id": "two words"], nil),
      (["X-Request-Id": String(repeating: "a", count: 129)], nil),
      (["traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"], "0af7651916cd43dd8448eb211c80319c"),
      (["traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01"], nil), (["traceparent": "00-zz-b7-01"], nil),
      ([:], nil),
    ] as [(HTTPHeaders, String?)])
  func requestID(headers: HTTPHeaders, expected: String?) async throws {
    let seen = Shared("")
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/") { head, _ in
        seen.change { $0 = head.requestID }
        return HTTPResponse(status: 200)
      }
    } body: { server in
      try await withClient { client in
        let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/", headers: headers))
        let id = try #require(response.headers["X-Request-Id"])
        #expect(id == seen.now)
        if let expected { #expect(id == expected) } else { #expect(id.count == 32 && id != headers["X-Request-Id"]) }
        let trace = headers["traceparent"]
        #expect(response.headers["traceparent"] == (expected == nil ? nil : trace))
      }
    }
  }

  @Test("the list of routes is what was added")
  func list() {
    var router = HTTPRouter()
    Self.addRoutes(&router)
    #expect(
      router.routes.map { "\($0.method.rawValue) \($0.pattern)" } == [
        "GET /v1/files/{id}", "DELETE /v1/files/{id}", "POST /v1/files/batch", "GET /v1/files/{id}/versions/{v}", "GET /",
      ])
  }

  @Test("a problem document escapes what JSON wants escaped")
  func problem() throws {
    let detail = "a \"quote\", a \\, a \u{01}, a\nline, ü and 🪨"
    let response = HTTPResponse.problem(
      status: 409, type: "conflict", title: "Conflict", detail: detail,
      extra: [("count", .number(-3)), ("again", .flag(true)), ("list", .json("[1,2]")), ("na\"me", .text(""))])
    guard case .bytes(let bytes) = response.body else { return #expect(Bool(false)) }
    let object = try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
    #expect(object["detail"] as? String == detail)
    #expect(object["type"] as? String == "urn:cairn:problem:conflict")
    #expect(object["count"] as? Int == -3)
    #expect(object["again"] as? Bool == true)
    #expect(object["list"] as? [Int] == [1, 2])
    #expect(object["na\"me"] as? String == "")
    #expect(response.status == 409)
  }
}
