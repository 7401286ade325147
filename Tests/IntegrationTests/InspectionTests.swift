import Foundation
import Platform
import TestSupport
import Testing

@Suite("Looking at files and at speed, on real processes", .serialized)
struct InspectionTests {
  private func object(_ text: String) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
  }

  @Test("explain shows revisions, blocks and copies, as they are after an overwrite; bench measures each mode and leaves nothing behind")
  func explainAndBench() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let file = cluster.folder.path("file")
      for size in [5_000_000, 10] {
        try FileTree.write(file, size: size, random: &random)
        try await user.cairn("put", file, "/file", "--on-conflict", "overwrite")
      }
      try await cluster.control("repair", "--wait")
      for (version, sizes) in [(1, [4 << 20, 5_000_000 - (4 << 20)]), (2, [10])] {
        let explanation = try object(try await user.cairn("explain", "/file", "--version", "\(version)", "--json"))
        let blocks = try #require(explanation["blocks"] as? [[String: Any]])
        #expect(blocks.compactMap { $0["size"] as? Int } == sizes && explanation["version"] as? Int == version, "\(explanation)")
        #expect((explanation["versions"] as? [[String: Any]])?.compactMap { $0["version"] as? Int } == [2, 1], "\(explanation)")
        for block in blocks {
          let zones = (block["copies"] as? [[String: String]])?.compactMap { $0["zone"] } ?? []
          #expect(Set(zones).count == 3, "a copy in each zone: \(block)")
        }
      }
      #expect(try await user.cairn("explain", "/file").contains("version 2: 1 block"))
      #expect(try await user.status("explain", "/nothing") == 4)
      for (mode, operations) in [("put", 6), ("get", 6), ("mixed", 6), ("meta", 24)] {
        let measured = try object(try await user.cairn("bench", "--mode", mode, "--size", "100KiB", "--objects", "6", "--json"))
        #expect(measured["operations"] as? Int == operations && measured["mode"] as? String == mode, "\(measured)")
        #expect(try #require(measured["operations_per_second"] as? Double) > 0)
      }
      #expect(try await user.cairn("ls", "/") == "file\n")
      #expect(try await user.cairn("trash", "--json").contains("cairn-bench") == false)
    }
  }
}
