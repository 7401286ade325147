import BlockModel
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import Testing

enum SystemMoment {
  static var now: String { SystemTime().wall().rfc3339 }
}

@Suite("Who may do what", .serialized)
struct AccessTests {
  @Test("every route of the gateway has a row in the table of who may use it, and no row is of a route that is gone")
  func coverage() async throws {
    try await withWorld { world in
      let routes = Set(world.service.router().routes.map { "\($0.method.rawValue) \($0.pattern)" })
      let rows = Set(AccessTable.rows.map(\.route))
      #expect(routes.subtracting(rows).sorted() == [], "routes that nobody has said of who may use them")
      #expect(rows.subtracting(routes).sorted() == [])
    }
  }

  @Test("every route does its work for those whom the table names, and says 401, 403 or 404 to all others")
  func table() async throws {
    try await withWorld { world in
      for row in AccessTable.rows {
        for caller in Caller.allCases {
          let ask = try await row.ask(world, caller)
          let (status, text) = try await world.send(ask, as: caller)
          let expected = row.access.refusal(caller)
          #expect(
            expected.map { $0 == status } ?? (200..<400).contains(status),
            "\(row.route) (\(ask.path)) for \(caller): \(status), expected \(expected.map(String.init) ?? "success"); \(text)")
        }
      }
    }
  }

  @Test("a link opens what it is of until it is revoked, has expired, or its maker may link no more; a wrong password opens nothing")
  func links() async throws {
    try await withWorld { world in
      let file = try await world.file().id
      func statuses(_ token: String, password: String? = nil) async throws -> [Int] {
        var headers: HTTPHeaders = [:]
        if let password { headers["Authorization"] = "Basic \(BasicCredentials.text(password))" }
        let page = try await world.send(.init(.get, "/l/\(token)", headers: headers), as: .anonymous).status
        return [page, try await world.send(.init(.get, "/l/\(token)/raw", headers: headers), as: .anonymous).status]
      }
      let revoked = try await world.link(to: file)
      #expect(try await statuses(revoked.token) == [200, 200])
      _ = try await world.asOwner(UserOperations.RevokeLink(link: revoked.id))
      #expect(try await statuses(revoked.token) == [404, 404])

      let guarded = try await world.link(to: file, password: "open sesame")
      #expect(try await statuses(guarded.token) == [401, 401])
      #expect(try await statuses(guarded.token, password: "open says me") == [401, 401])
      #expect(try await statuses(guarded.token, password: "open sesame") == [200, 200])

      let brief = try await world.link(to: file, expiresAt: SystemTime().wall() + .milliseconds(1500))
      #expect(try await statuses(brief.token) == [200, 200])
      try await Task.sleep(for: .milliseconds(1600))
      #expect(try await statuses(brief.token) == [404, 404])

      let admins = try await world.link(to: file, by: .admin)
      #expect(try await statuses(admins.token) == [200, 200])
      let shared = try await world.asOwner(UserOperations.Stat(entry: .path("/shared"))).id
      _ = try await world.asOwner(UserOperations.Share(entry: .id(shared), user: world.name(of: .admin), role: .write))
      #expect(try await statuses(admins.token) == [404, 404], "the maker's role goes, and the link with it")
    }
  }

  @Test("what is taken back is gone with the answer that says so: a share, a role, a device, an account, and all other devices")
  func revocation() async throws {
    try await withWorld { world in
      let file = try await world.file().id.hex
      let shared = try await world.asOwner(UserOperations.Stat(entry: .path("/shared"))).id
      func status(_ caller: Caller, token: String? = nil, _ method: HTTPMethod = .get) async throws -> Int {
        try await world.send(.init(method, "/v1/files/\(file)", json: method == .patch ? "{}" : nil, token: token), as: caller).status
      }
      #expect(try await status(.reader) == 200)
      _ = try await world.asOwner(UserOperations.Unshare(entry: .id(shared), user: world.name(of: .reader)))
      #expect(try await status(.reader) == 404)

      #expect(try await status(.writer, .patch) == 200)
      _ = try await world.asOwner(UserOperations.Share(entry: .id(shared), user: world.name(of: .writer), role: .read))
      #expect(try await status(.writer, .patch) == 403)

      let second = try await world.logIn(as: .admin)
      let id = try await world.perform(UserOperations.ListDevices(), token: second).items.first { $0.current }?.id.hex ?? ""
      #expect(try await status(.admin, token: second) == 200)
      #expect(try await world.send(.init(.delete, "/v1/devices/\(id)"), as: .admin).status == 204)
      #expect(try await status(.admin, token: second) == 401)

      let third = try await world.logIn(as: .admin)
      let word = AccessWorld.password
      let change = #"{"password":"\#(word)","new_password":"another \#(word)"}"#
      #expect(try await world.send(.init(.put, "/v1/me/password", json: change), as: .admin).status == 204)
      #expect(try await status(.admin, token: third) == 401)
      #expect(try await status(.admin) == 200, "the device that changed it stays")

      _ = try await world.perform(OperatorOperations.SetUserDisabled(user: world.name(of: .admin), isDisabled: true))
      #expect(try await status(.admin) == 401)
    }
  }
}

enum BasicCredentials {
  static func text(_ password: String) -> String {
    let text = Base64URL.encode(Array(":\(password)".utf8)).map { $0 == "-" ? "+" : $0 == "_" ? "/" : String($0) }.joined()
    return text + String(repeating: "=", count: (4 - text.count % 4) % 4)
  }
}
