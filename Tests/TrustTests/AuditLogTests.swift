import BlockModel
import Coordinator
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("The audit log", .serialized)
struct AuditLogTests {
  private func lines(_ world: AccessWorld, of actor: String? = nil) async throws -> [AuditEntry] {
    try await world.perform(OperatorOperations.GetAuditLog(actor: actor, limit: 1000, cursor: nil)).items
  }

  @Test("it names who signed up, logged in or failed to, shared, linked, revoked, deleted, and what operators did; no secret stands in it")
  func contents() async throws {
    try await withWorld { world in
      let file = try await world.file()
      let link = try await world.link(to: file.id, password: "open sesame")
      _ = try await world.asOwner(UserOperations.RevokeLink(link: link.id))
      let token = try await world.logIn(as: .writer)
      _ = try? await world.perform(UserOperations.LogIn(name: "writer", password: "a wrong password", device: "d"))
      _ = try? await world.perform(UserOperations.LogIn(name: "my-secret-typed-as-name", password: "a wrong password", device: "d"))
      _ = try await world.send(.init(.delete, "/v1/files/\(file.id.hex)"), as: .writer)
      let gone = try await world.file()
      _ = try await world.send(
        .init(.delete, "/v1/files/\(gone.id.hex)?forever=1", headers: ["If-Match": "\"\(gone.version)\""]), as: .owner)
      _ = try await world.asOwner(UserOperations.EmptyTrash(entry: nil))
      let context = ControlContext(requestID: "test", operatorName: "ada")
      _ = try await world.dispatcher.perform(OperatorOperations.SetUserQuota(user: "reader", quota: 5), context: context)
      _ = try await world.dispatcher.perform(
        OperatorOperations.ResetUserPassword(user: "reader", password: "reset secret"), context: context)

      let all = try await lines(world)
      #expect(all.map(\.number) == all.map(\.number).sorted(by: >))
      func has(_ actor: String, _ action: String, _ subject: String? = nil) -> Bool {
        all.contains { $0.actor == actor && $0.action == action && (subject ?? $0.subject) == $0.subject }
      }
      #expect(has("writer", "sign-up") && has("writer", "log-in"))
      #expect(has("writer", "log-in-refused", "127.0.0.9"))
      #expect(has("owner", "share") && has("owner", "unshare") && has("owner", "create-link") && has("owner", "revoke-link"))
      #expect(has("writer", "delete", "\(file.id.hex) of owner") && has("owner", "delete-forever", "\(gone.id.hex) of owner"))
      #expect(has("owner", "empty-trash") && has("loggedout", "revoke-device"))
      #expect(has("operator", "set-user-disabled", "disabled disabled"))
      #expect(has("operator ada", "set-user-quota", "reader 5") && has("operator ada", "reset-user-password", "reader"))
      for secret in [AccessWorld.password, "open sesame", token, link.token, "a wrong password", "my-secret-typed-as-name", "reset secret"]
      {
        #expect(!all.contains { "\($0.actor) \($0.action) \($0.subject)".contains(secret) }, "\(secret) is in the log")
      }
      #expect(try await lines(world, of: "operator ada").allSatisfy { $0.actor == "operator ada" })

      var (paged, cursor) = ([AuditEntry](), String?.none)
      repeat {
        let page = try await world.perform(OperatorOperations.GetAuditLog(actor: nil, limit: 3, cursor: cursor))
        #expect(page.items.count <= 3)
        paged += page.items
        cursor = page.next
      } while cursor != nil
      #expect(paged == all)
    }
  }

  @Test("old lines go, a bounded number at a time")
  func retention() async throws {
    let time = ManualTime(wall: SystemTime().wall())
    try await withWorld(storeTime: time) { world in
      let before = try await lines(world).count
      #expect(before > 10)
      time.advance(by: .seconds(399 * 24 * 3600))
      while try await world.tidy() > 0 {}
      #expect(try await lines(world).count == before)
      time.advance(by: .seconds(2 * 24 * 3600))
      while try await world.tidy() > 0 {}
      #expect(try await lines(world).isEmpty)
    }
  }
}
