import BlockModel
import Coordinator
import ServiceAPI
import Synchronization
import Testing

@Suite("What the audit log has of operators") struct OperatorAuditTests {
  private final class Lines: Sendable {
    let all = Mutex<[String]>([])
  }

  private static let context = ControlContext(requestID: "test", operatorName: "ada")

  private func dispatcher(_ lines: Lines, fails problem: Problem? = nil) -> ControlDispatcher {
    let dispatcher = ControlDispatcher { actor, action, _ in lines.all.withLock { $0.append("\(actor): \(action)") } }
    dispatcher.register(OperatorOperations.RevertLayout.self) { (_, _) async throws(Problem) in
      if let problem { throw problem }
      return StagedLayout(staged: [], nextVersion: 1)
    }
    return dispatcher
  }

  @Test("a command that is done has one line, one that is refused a second that says so")
  func refused() async throws {
    let lines = Lines()
    _ = try await dispatcher(lines).perform(OperatorOperations.RevertLayout(), context: Self.context)
    #expect(lines.all.withLock { $0 } == ["operator ada: revert-layout"])
    await #expect(throws: Problem.self) {
      _ = try await dispatcher(lines, fails: Problem(.conflict, "no")).perform(OperatorOperations.RevertLayout(), context: Self.context)
    }
    #expect(lines.all.withLock { $0 }.dropFirst() == ["operator ada: revert-layout", "operator ada: revert-layout-refused"])
  }

  @Test("of a command whose outcome is unknown nobody says that it was refused")
  func unknown() async throws {
    let lines = Lines()
    await #expect(throws: Problem.self) {
      _ = try await dispatcher(lines, fails: Problem(.unavailable, "no answer"))
        .perform(OperatorOperations.RevertLayout(), context: Self.context)
    }
    #expect(lines.all.withLock { $0 } == ["operator ada: revert-layout"])
  }
}
