import Chaos
import Foundation
import Testing

@Suite("Scenarios") struct ScenarioTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  @Test("a story is read as it is told")
  func reads() throws {
    let scenario = try Scenario(
      name: "story",
      text: """
        # First a node, then a zone.
        cluster --nodes 6 --zones 3
        clients 2
        wait 1..2.5
        kill node as a
        # in between
        pause zone as b
        start a
        rot 7
        lose disk as c
        control scrub start
        wait 3
        """)
    #expect(
      scenario.title == "First a node, then a zone." && scenario.cluster == ["--nodes", "6", "--zones", "3"] && scenario.clients == 2)
    #expect(
      scenario.steps == [
        .wait(1...2.5), .strike(.kill, .node, name: "a"), .strike(.pause, .zone, name: "b"), .start("a"), .rot(places: 7),
        .loseDisk(name: "c"), .control(["scrub", "start"]), .wait(3...3),
      ])
  }

  @Test(
    "what is no story is refused with its line",
    arguments: [
      ("wait 1\nstart a", 2), ("kill node", 1), ("kill tree as a\nwait 1", 1), ("wait 5..2", 1), ("wait x", 1), ("clients 0", 1),
      ("dance", 1),
      ("rot 0\nwait 1", 1), ("kill node as a", 1),
    ])
  func refuses(text: String, line: Int) {
    let error = #expect(throws: Scenario.Malformed.self) { try Scenario(name: "x", text: text) }
    #expect(error?.line == line)
  }

  @Test("every scenario of the repository can be told")
  func repository() throws {
    let folder = Self.root.appendingPathComponent("chaos/scenarios")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".scenario") }
    #expect(files.count >= 7)
    for file in files { _ = try Scenario(name: file, text: String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)) }
  }
}
