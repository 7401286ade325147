import Platform
import TestSupport
import Testing

@Suite("Compression from end to end", .serialized)
struct CompressionTests {
  @Test("what shrinks is stored small, what does not as it is, whatever it is called; all of it comes back, however it is read")
  func endToEnd() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      // Names that say the opposite of what is in them; one file in the large way and some in batches of each.
      for (name, isText) in [("text", true), ("noise", false)] {
        try Directory.create("\(tree)/\(name)")
        for (index, size) in [9 << 20, 100_000, 60_000, 5000].enumerated() {
          let bytes = isText ? Self.text(size, index) : random.bytes(size)
          try AtomicFile.write("\(tree)/\(name)/\(index).\(isText ? "zip" : "txt")", bytes, mode: 0o644)
        }
      }
      let size = (9 << 20) + 165_000
      func stored(_ arguments: [String]) async throws -> Double {
        let before = try await cluster.storedBytes()
        let outcome = try await cluster.attempt("cairn", ["put", "-r"] + arguments, as: user)
        #expect(outcome.succeeded, "\(outcome.error)")
        // Three copies of each; the figure comes with the next heartbeats, and when the slowest replica is done.
        var now = before
        try await eventually("The nodes say what they store") {
          try await Task.sleep(for: .milliseconds(1500))
          let next = try await cluster.storedBytes()
          let isSettled = next == now && next > before
          now = next
          return isSettled
        }
        return Double(now - before) / 3 / Double(size)
      }
      #expect(try await stored([tree + "/text", "/text"]) < 0.5)
      #expect(try await stored([tree + "/noise", "/noise"]) > 0.99)
      // What is there already is not sent again, whatever form it would have: so another text.
      for index in 0..<4 {
        let path = "\(tree)/text/\(index).zip"
        let bytes = Array(try LocalCluster.text(path).utf8).reversed() as [UInt8]
        try AtomicFile.write(path, bytes, mode: 0o644)
      }
      #expect(try await stored(["--no-compress", tree + "/text", "/plain"]) > 0.99)
      try await user.cairn("get", "-r", "/noise", cluster.folder.path("noise"))
      #expect(try await FileTree.difference(tree + "/noise", cluster.folder.path("noise")) == "")
      try await user.cairn("get", "-r", "/plain", cluster.folder.path("plain"))
      #expect(try await FileTree.difference(tree + "/text", cluster.folder.path("plain")) == "")
      try await user.cairn("get", "/text/0.zip", cluster.folder.path("0"))
      #expect(try AtomicFile.read(cluster.folder.path("0"), limit: 16 << 20) == Self.text(9 << 20, 0))
      let range = try await user.cairn("cat", "--range", "5000000-5000099", "/text/0.zip")
      #expect(Array(range.utf8) == Array(Self.text(9 << 20, 0)[5_000_000...5_000_099]))
    }
  }

  /// Lines that no two are equal of.
  private static func text(_ size: Int, _ seed: Int) -> [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(size + 64)
    var line = seed * 1_000_000
    while text.count < size {
      text += Array("line \(line) of what somebody wrote down, and it is not very long\n".utf8)
      line += 1
    }
    return Array(text.prefix(size))
  }
}
