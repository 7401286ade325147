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
        end a
        rot 7
        lose disk as c
        control scrub start
        must repair --wait
        weigh node 0.5..2
        wait 3
        """)
    #expect(
      scenario.title == "First a node, then a zone." && scenario.cluster == ["--nodes", "6", "--zones", "3"] && scenario.clients == 2)
    #expect(
      scenario.steps == [
        .wait(1...2.5), .strike(.kill, .node, name: "a"), .strike(.pause, .zone, name: "b"), .end("a"), .rot(places: 7),
        .disk(.lose, name: "c"), .control(["scrub", "start"]), .must(["repair", "--wait"]), .weigh(0.5...2), .wait(3...3),
      ])
  }

  @Test("links, disks, clocks and moments are read too, and say what they need")
  func readsMore() throws {
    let scenario = try Scenario(
      name: "story",
      text: """
        links
        disks 512
        clocks
        cut zone from nodes as a
        cut node to coordinator as b
        slow gateway 5..20.5 loss 2 as c
        fill disk as d
        fail disk as e
        slow disk 50 as f
        power off node as g
        turn node clock -30..30 as h
        kill coordinator at fdatasync 1..30 as i
        kill database as j
        wait 1
        """)
    #expect(scenario.hasLinks && scenario.hasClocks && scenario.diskBytes == 512 << 20)
    #expect(
      scenario.steps == [
        .cut(.zone, .nodes, bothWays: true, name: "a"), .cut(.node, .coordinator, bothWays: false, name: "b"),
        .slowLinks(.gateway, 5...20.5, loss: 0.02, name: "c"), .disk(.fill, name: "d"), .disk(.fail, name: "e"),
        .disk(.slow(milliseconds: 50), name: "f"), .disk(.power, name: "g"), .turnClock(.node, -30...30, name: "h"),
        .killAt(call: "fdatasync", 1...30, .coordinator, name: "i"), .strike(.kill, .database, name: "j"), .wait(1...1),
      ])
  }

  @Test(
    "what is no story is refused with its line",
    arguments: [
      ("wait 1\nend a", 2), ("kill node", 1), ("kill tree as a\nwait 1", 1), ("wait 5..2", 1), ("wait x", 1), ("clients 0", 1),
      ("dance", 1),
      ("rot 0\nwait 1", 1), ("kill node as a", 1), ("wait 1\ncut node from nodes as a", 2), ("wait 1\nfill disk as a", 2),
      ("wait 1\nturn node clock 1..2 as a", 2), ("links\ncut node towards nodes as a", 2), ("kill node at reboot 1..2 as a", 1),
      ("disks 1", 1), ("wait 1\nmust", 2),
      ("slow disk 0 as a", 1), ("links\nslow node 1..2 loss 99 as a", 2),
    ])
  func refuses(text: String, line: Int) {
    let error = #expect(throws: Scenario.Malformed.self) { try Scenario(name: "x", text: text) }
    #expect(error?.line == line)
  }

  @Test("every scenario of the repository can be told")
  func repository() throws {
    let folder = Self.root.appendingPathComponent("chaos/scenarios")
    let files = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasSuffix(".scenario") }
    #expect(files.count >= 16)
    for file in files { _ = try Scenario(name: file, text: String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)) }
  }
}
