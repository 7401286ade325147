import BlockModel
import Coordinator
import MetadataStore
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Sharing through the coordinator")
struct UserSharingTests {
  private func link(
    _ fixture: UserFixture, _ token: String, password: String? = nil, limit: Int64? = nil, key: String? = nil
  ) async throws -> LinkInfo {
    try await fixture.dispatcher.perform(
      UserOperations.CreateLink(entry: .path("/f"), expiresAt: nil, password: password, maxDownloads: limit),
      context: UserFixture.context(token, key: key))
  }

  private func open(_ fixture: UserFixture, _ token: String, password: String? = nil) async throws(Problem) -> LinkContent {
    try await fixture.dispatcher.perform(
      UserOperations.OpenLink(token: token, password: password, path: "/", limit: 10, cursor: nil), context: UserFixture.context())
  }

  private func user() async throws -> (UserFixture, String) {
    let fixture = try await UserFixture()
    _ = try await fixture.signUp()
    let token = try await fixture.logIn()
    _ = try await fixture.dispatcher.perform(
      UserOperations.CreateFolder(path: "/f", parents: false, modifiedAt: nil), context: UserFixture.context(token))
    return (fixture, token)
  }

  @Test("a link's token is told once and opens the link; asking again with the same key tells the same one")
  func tokens() async throws {
    let (fixture, token) = try await user()
    let first = try await link(fixture, token)
    let secret = try #require(first.token)
    #expect(try await open(fixture, secret).item.name == "f")
    let listed = try await fixture.dispatcher.perform(
      UserOperations.ListLinks(entry: nil, limit: 10, cursor: nil), context: UserFixture.context(token))
    #expect(listed.items.map(\.id) == [first.id] && listed.items.allSatisfy { $0.token == nil })
    let keyed = try await link(fixture, token, key: "k")
    let again = try await link(fixture, token, key: "k")
    #expect(keyed == again && keyed.token != first.token)
    #expect(try await open(fixture, try #require(again.token)).item.name == "f")
    #expect(await refusal { try await open(fixture, String(secret.reversed())) }?.kind == .notFound)
    #expect(await refusal { try await open(fixture, "short") }?.kind == .notFound)
  }

  @Test("a link with a password opens with it alone, and guesses are limited")
  func passwords() async throws {
    let (fixture, token) = try await user()
    let secret = try #require(try await link(fixture, token, password: "correct horse").token)
    #expect(await refusal { try await open(fixture, secret) }?.kind == .unauthenticated)
    #expect(try await open(fixture, secret, password: "correct horse").item.name == "f")
    var last: Problem.Kind?
    for _ in 0..<11 { last = await refusal { try await open(fixture, secret, password: "wrong horse") }?.kind }
    #expect(last == .tooManyRequests)
    #expect(await refusal { try await link(fixture, token, password: "short") }?.kind == .malformed)
    #expect(await refusal { try await link(fixture, token, limit: 0) }?.kind == .malformed)
  }

  @Test("a disabled user is out at once and in again when enabled; a reset password is the only one")
  func administration() async throws {
    let (fixture, token) = try await user()
    func whoAmI() async throws -> UserInfo {
      try await fixture.dispatcher.perform(UserOperations.WhoAmI(), context: UserFixture.context(token))
    }
    func perform<Op: ControlOperation>(_ operation: Op) async throws -> Op.Response {
      try await fixture.dispatcher.perform(operation, context: UserFixture.context())
    }
    _ = try await whoAmI()
    _ = try await perform(OperatorOperations.SetUserDisabled(user: "ada", isDisabled: true))
    #expect(await refusal { try await whoAmI() }?.kind == .unauthenticated)
    #expect(await refusal { try await fixture.logIn() }?.kind == .forbidden)
    _ = try await perform(OperatorOperations.SetUserDisabled(user: "ada", isDisabled: false))
    #expect(try await whoAmI().name == "ada")
    _ = try await perform(OperatorOperations.ResetUserPassword(user: "ada", password: "battery staple"))
    #expect(await refusal { try await whoAmI() }?.kind == .unauthenticated)
    #expect(await refusal { try await fixture.logIn() }?.kind == .unauthenticated)
    _ = try await fixture.logIn(password: "battery staple")
    _ = try await perform(OperatorOperations.SetUserQuota(user: "ada", quota: 5))
    #expect(try await perform(OperatorOperations.ListUsers(limit: 10, cursor: nil)).items.map(\.usage.quota) == [5])
  }

  @Test("hints tell a waiting gateway of a commit at once")
  func hints() async throws {
    let (fixture, token) = try await user()
    func ask(_ last: ChangeHints?, wait: Int) async throws -> ChangeHints {
      try await fixture.dispatcher.perform(
        UserOperations.AwaitChanges(instance: last?.instance, position: last?.position ?? 0, waitMilliseconds: wait),
        context: UserFixture.context())
    }
    let start = try await ask(nil, wait: 0)
    async let waiting = ask(start, wait: 30_000)
    _ = try await fixture.dispatcher.perform(
      UserOperations.CreateFolder(path: "/g", parents: false, modifiedAt: nil), context: UserFixture.context(token))
    let page = try await fixture.dispatcher.perform(
      UserOperations.GetChanges(cursor: nil, limit: 10), context: UserFixture.context(token))
    #expect(try await waiting.namespaces == page.topics)
  }
}
