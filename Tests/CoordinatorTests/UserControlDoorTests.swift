import BlockModel
import ControlClient
import Coordinator
import Credentials
import HTTPTransport
import Platform
import ServiceAPI
import Testing

@Suite("The control door")
struct UserControlDoorTests {
  private func withDoor(_ body: (UserFixture, String, HTTPClient) async throws -> Void) async throws {
    let fixture = try await UserFixture()
    fixture.dispatcher.register(ClusterOperations.GetDataKeyTicket.self) { _, context async throws(Problem) in
      DataKeyTicket(holder: context.node ?? UserFixture.node, url: "", check: context.requestID)
    }
    var router = HTTPRouter()
    ControlRoutes(
      dispatcher: fixture.dispatcher, verifier: ServiceTokenVerifier(root: fixture.secret.controlRoot), logger: .none
    ).add(to: &router)
    let server = HTTPServer(configuration: HTTPServer.Configuration(), router: router)
    try server.start()
    let client = HTTPClient()
    do {
      try await body(fixture, "http://127.0.0.1:\(server.port)", client)
    } catch { Issue.record("\(error)") }
    client.shutdown()
    await server.shutdown(grace: .seconds(2))
  }

  @Test("operations and their problems travel over HTTP as they are")
  func roundTrip() async throws {
    try await withDoor { fixture, url, client in
      let gateway = fixture.secret.controlRoot.token(.gateway("g"))
      let remote = RemoteControlPlane(http: client, url: url, token: gateway)
      let user = try await remote.perform(UserOperations.SignUp(name: "ada", password: "correct horse"), context: UserFixture.context())
      let session = try await remote.perform(
        UserOperations.LogIn(name: "ada", password: "correct horse", device: "d"), context: UserFixture.context())
      let me = try await remote.perform(UserOperations.WhoAmI(), context: UserFixture.context(session.token))
      #expect(me.id == user.id)
      let problem = await refusal {
        try await remote.perform(UserOperations.Stat(entry: .path("/no")), context: UserFixture.context(session.token))
      }
      #expect(problem == Problem(.notFound, "There is nothing at /no."))
    }
  }

  @Test("each audience's door opens to its own token only")
  func audiences() async throws {
    try await withDoor { fixture, url, client in
      let root = fixture.secret.controlRoot
      let tokens = [root.token(.gateway("g")), root.token(.node(UserFixture.node)), root.token(.op("o")), "nonsense"]
      var stat: [Problem.Kind?] = []
      var ticket: [Problem.Kind?] = []
      for token in tokens {
        let remote = RemoteControlPlane(http: client, url: url, token: token)
        do throws(Problem) {
          _ = try await remote.perform(UserOperations.Stat(entry: .path("/")), context: UserFixture.context("ct_none"))
        } catch { stat.append(error.kind) }
        do throws(Problem) {
          let answer = try await remote.perform(
            ClusterOperations.GetDataKeyTicket(epoch: 1, body: BlockID(words: (0, 0, 0, 0)), bodyBytes: 1), context: UserFixture.context())
          #expect(answer.holder == UserFixture.node && answer.check == "test", "the node is the token's, the request id goes along")
          ticket.append(nil)
        } catch { ticket.append(error.kind) }
      }
      #expect(stat == [.unauthenticated, .forbidden, .forbidden, .unauthenticated])
      #expect(ticket == [.forbidden, nil, .forbidden, .unauthenticated])
    }
  }

  @Test("a body that is not the operation, and a name that is none, get a problem document")
  func malformed() async throws {
    try await withDoor { fixture, url, client in
      let token = fixture.secret.controlRoot.token(.gateway("g"))
      for (name, body, status) in [("stat", "{", 400), ("stat", "{}", 400), ("no-such", "{}", 404), ("sign-up", "[]", 400)] {
        let response = try await client.send(
          HTTPClientRequest(
            method: .post, url: "\(url)/v1/control/\(name)", headers: ["Authorization": "Bearer \(token)"], body: .bytes(Array(body.utf8))))
        #expect(response.status == status)
        let document = try JSONCoding.decode(ProblemDocument.self, from: response.bytes)
        #expect(document.status == status && document.problem != nil && document.instance != nil)
      }
    }
  }

  @Test("a coordinator that is not there is unavailable, and reads are tried at the next one")
  func unreachable() async throws {
    try await withDoor { fixture, url, client in
      let token = fixture.secret.controlRoot.token(.gateway("g"))
      let nowhere = "http://127.0.0.1:1"
      let lost = RemoteControlPlane(http: client, url: nowhere, token: token)
      #expect(await refusal { try await lost.perform(UserOperations.WhoAmI(), context: UserFixture.context()) }?.kind == .unavailable)
      let found = RemoteControlPlane(http: client, urls: [nowhere, url], token: token)
      let answer = await refusal { try await found.perform(UserOperations.WhoAmI(), context: UserFixture.context()) }
      #expect(answer?.kind == .unauthenticated)
    }
  }
}
