import Foundation
import TestSupport
import Testing

@Suite("Alerts")
struct AlertTests {
  private static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().path

  private static func text(_ path: String) throws -> String { try String(contentsOfFile: "\(root)/\(path)", encoding: .utf8) }

  @Test("every alert has a section in the runbook, a test, and only series that some daemon shows")
  func runbook() throws {
    let rules = try Self.text("packaging/prometheus/cairn.rules.yml")
    let tests = try Self.text("packaging/prometheus/cairn.rules.test.yml")
    let guide = try Self.text("docs/operations.md")
    let names = rules.split(separator: "\n").filter { $0.contains("- alert:") }.map { String($0.split(separator: " ").last ?? "") }
    #expect(names.count > 10 && Set(names).count == names.count)
    for name in names {
      #expect(guide.contains("### \(name)\n"), "\(name) has no section in docs/operations.md")
      #expect(rules.contains("docs/operations.md#\(name.lowercased())\""), "\(name) does not say where its section is")
      #expect(tests.contains("alertname: \(name)\n"), "\(name) has no test")
    }
    var shown = ""
    let sources = FileManager.default.enumerator(atPath: Self.root + "/Sources")
    while let path = sources?.nextObject() as? String {
      if path.hasSuffix(".swift") { shown += try Self.text("Sources/" + path) }
    }
    let series = Set(rules.matches(of: /cairn_[a-z_]+/).map { String($0.output) })
    #expect(!series.isEmpty)
    for name in series.sorted() { #expect(shown.contains("\"\(name)\""), "no daemon shows \(name)") }
  }

  @Test("promtool takes the rules, and each fires when it should")
  func promtool() async throws {
    guard FileManager.default.isExecutableFile(atPath: "/usr/bin/promtool") else { return }
    for arguments in [["check", "rules", "cairn.rules.yml"], ["test", "rules", "cairn.rules.test.yml"]] {
      let outcome = try await ProcessRunner.run(
        "/bin/sh", ["-c", "cd \(Self.root)/packaging/prometheus && promtool \(arguments.joined(separator: " "))"])
      #expect(outcome.succeeded, "\(outcome)")
    }
  }
}
