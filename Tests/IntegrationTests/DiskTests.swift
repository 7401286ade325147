import Platform
import TestSupport
import Testing

@Suite("Disks of real processes", .serialized)
struct DiskTests {
  @Test("one of a node's two disks dies: all is readable meanwhile, the other disk gets what it had, and a new one takes its place")
  func oneOfTwo() async throws {
    try await LocalCluster.with(["--nodes", "3", "--disks", "2"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree, count: 60, largest: 24 << 20, random: &random)
      try await user.cairn("put", "-r", tree, "/tree")
      let states = try await cluster.diskStates()
      #expect(states == Array(repeating: "healthy", count: 6))

      let disk = cluster.folder.path("cluster/node-1/disk-2")
      try Directory.removeTree(disk)
      try await eventually("The lost disk is noticed") { try await cluster.diskStates().contains("missing") }
      try await cluster.get(user, tree, "/tree", "while-missing")
      try await eventually("What it had is elsewhere") { try await cluster.underReplicated() == 0 }
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")

      // The node starts without the disk, and does not take the empty place for a new one.
      try await cluster.command("kill", "node-1", "--signal", "SIGTERM")
      try Directory.create(disk)
      try await cluster.command("start", "node-1")
      #expect(try await cluster.diskStates().contains("missing"))
      // With the other nodes gone, all of it is on the disk that is left.
      try await cluster.command("kill", "node-2")
      try await cluster.command("kill", "node-3")
      try await cluster.get(user, tree, "/tree", "from-one-disk")
      try await cluster.command("start", "node-2")
      try await cluster.command("start", "node-3")

      try await cluster.command("kill", "node-1", "--signal", "SIGTERM")
      let configuration = cluster.folder.path("cluster/node-1/node-1.conf")
      let replaced = try await cluster.attempt("cairnd", ["disk", "replace", disk, "--config", configuration], as: nil)
      #expect(replaced.succeeded, "\(replaced.error)")
      try await cluster.command("start", "node-1")
      try await cluster.control("wait", "--healthy", "--timeout", "60")
      #expect(try await cluster.diskStates() == Array(repeating: "healthy", count: 6))
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
    }
  }

  @Test("bit rot: a plain curl gets good bytes, the scrub finds the rest, and every copy is good again")
  func rot() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let file = cluster.folder.path("file")
      try FileTree.write(file, size: 24 << 20, random: &random)
      try await user.cairn("put", file, "/file")
      try Self.spoil(cluster.folder.path("cluster/node-2/disk-1/segments"))

      let plan = try await cluster.plan(of: "/file", user)
      let url = try #require(plan.matches(of: try Regex("http[^\"]*node=node-2[^\"]*", as: Substring.self)).first?.0)
      let block = try #require(url.split(separator: "/").last?.prefix { $0 != "?" })
      let got = try await ProcessRunner.run("/bin/sh", ["-c", "curl --silent --fail --noproxy '*' '\(url)' | sha256sum"])
      #expect(got.output.hasPrefix(block), "\(got.error)")

      try await cluster.control("scrub", "start")
      try await eventually(within: .seconds(120), "The scrub finds the bad copies") {
        let status = try await cluster.control("scrub", "status", "--json")
        let found = status.matches(of: try Regex("\"rotten_copies\" ?: ?([0-9]+)", as: (Substring, Substring).self))
        return found.compactMap { Int($0.1) }.reduce(0, +) >= 3
      }
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      try await cluster.command("kill", "node-1")
      try await cluster.command("kill", "node-3")
      try await user.cairn("get", "/file", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(file, cluster.folder.path("copy")) == "")
      #expect(try await cluster.control("scrub", "pause", "--node", "node-2").contains("paused on 1 node"))
    }
  }

  /// Changes a byte in every MiB that holds something.
  static func spoil(_ folder: String) throws {
    for name in try Directory.list(folder) {
      let file = try File(folder + "/" + name, [.read, .write])
      for offset in stride(from: 300_000, to: try file.size(), by: 1 << 20) {
        var bytes: [UInt8] = [0, 0, 0, 0]
        _ = try bytes.withUnsafeMutableBytes { try file.pread(into: $0, at: offset) }
        guard bytes != [0, 0, 0, 0] else { continue }
        bytes[1] ^= 0x10
        try bytes.withUnsafeBytes { try file.pwrite($0, at: offset) }
      }
      try file.fdatasync()
    }
  }

  @Test("a disk of another node, another cluster or a newer format, and wrong keys, keep a node from starting and say why")
  func refusals() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      var random = Seeds.random()
      let user = try await cluster.user()
      let file = cluster.folder.path("file")
      try FileTree.write(file, size: 5 << 20, random: &random)
      try await user.cairn("put", file, "/file")
      for name in ["node-1", "node-2"] { try await cluster.command("kill", name, "--signal", "SIGTERM") }
      let path = cluster.folder.path("cluster/node-1/node-1.conf")
      let good = try LocalCluster.text(path)
      func start(_ what: String, _ text: String) async throws -> (Int32, String) {
        try AtomicFile.write(path, Array(text.utf8))
        defer { try? AtomicFile.write(path, Array(good.utf8)) }
        let outcome = try await cluster.attempt("cairnd", ["node", "--config", path], as: nil)
        guard case .exited(let status) = outcome.ending else { return (-1, "\(what): \(outcome.ending)") }
        return (status, outcome.error)
      }
      let (one, two) = (cluster.folder.path("cluster/node-1/disk-1"), cluster.folder.path("cluster/node-2/disk-1"))
      let foreign = try await start("another node's disk", good.replacing(one, with: two))
      #expect(foreign.0 == 3 && foreign.1.contains("node-2") && foreign.1.contains("adopt"), "\(foreign)")

      let key = cluster.folder.path("cluster/keys/node-1.master")
      try File(key, [.read]).setMode(0o640)
      let open = try await start("a key that others may read", good)
      #expect(open.0 == 5 && open.1.contains("chmod"), "\(open)")
      try File(key, [.read]).setMode(0o600)
      let missing = try await start("no key", good.replacing(key, with: key + ".none"))
      #expect(missing.0 == 5, "\(missing)")
      let wrong = try await start("another node's key", good.replacing(key, with: cluster.folder.path("cluster/keys/node-2.master")))
      #expect(wrong.0 == 5 && wrong.1.contains("does not open"), "\(wrong)")

      let identity = try LocalCluster.text(one + "/identity")
      try AtomicFile.write(one + "/identity", Array(identity.replacing("cairn disk 1", with: "cairn disk 2").utf8))
      let newer = try await start("a newer format", good)
      #expect(newer.0 == 3 && newer.1.contains("format"), "\(newer)")
      try AtomicFile.write(one + "/identity", Array(identity.utf8))

      // A new master key: wrapped anew while the node is down, and given by a command from then on.
      let next = cluster.folder.path("cluster/keys/next.master")
      try AtomicFile.write(next, Array((String(repeating: "5c", count: 32) + "\n").utf8), mode: 0o600)
      let rewrapped = try await cluster.attempt("cairnd", ["keys", "rewrap", "--config", path, "--to-file", next], as: nil)
      #expect(rewrapped.succeeded, "\(rewrapped.error)")
      let old = try await start("the key before", good)
      #expect(old.0 == 5, "\(old)")
      try AtomicFile.write(path, Array(good.replacing("master-key-file = \(key)", with: "master-key-command = cat \(next)").utf8))
      for name in ["node-1", "node-2"] { try await cluster.command("start", name) }

      // And new data keys, while everything runs.
      try await cluster.control("keys", "rotate", "--wait")
      try FileTree.write(file + "-2", size: 5 << 20, random: &random)
      try await user.cairn("put", file + "-2", "/file-2")
      let status = try await cluster.control("keys", "status", "--json")
      #expect(status.contains("\"current\":2") || status.contains("\"current\" : 2"), "\(status)")
      for name in ["node-2", "node-3"] { try await cluster.command("kill", name) }
      for name in ["file", "file-2"] {
        try await user.cairn("get", "/" + name, cluster.folder.path("copy"))
        #expect(try await FileTree.difference(cluster.folder.path(name), cluster.folder.path("copy")) == "")
        try Directory.remove(cluster.folder.path("copy"))
      }
    }
  }
}

extension LocalCluster {
  /// The states of all disks, in the order of `cairnctl disks`.
  fileprivate func diskStates() async throws -> [String] {
    let disks = try await control("disks", "--json")
    let state = try Regex("\"state\" ?: ?\"(healthy|read-only|fenced|missing)\"", as: (Substring, Substring).self)
    return disks.matches(of: state).map { String($0.1) }
  }

  /// Gets a tree into a fresh folder and compares it.
  fileprivate func get(_ user: User, _ tree: String, _ remote: String, _ name: String) async throws {
    try await user.cairn("get", "-r", remote, folder.path(name))
    #expect(try await FileTree.difference(tree, folder.path(name)) == "", "\(name)")
  }

  /// The download plan of a file, as JSON.
  fileprivate func plan(of path: String, _ user: User) async throws -> String {
    func ask(_ url: String) async throws -> String {
      let answer = try await ProcessRunner.run(
        "/usr/bin/curl", ["--silent", "--fail", "--noproxy", "*", "--header", "Authorization: Bearer \(user.token)", gateway + url])
      guard answer.succeeded else { throw CommandFailed(command: "curl \(url)", outcome: answer) }
      return answer.output
    }
    let file = try await ask("/v1/files?path=\(path)")
    let id = try #require(file.firstMatch(of: try Regex("\"id\" ?: ?\"([^\"]+)\"", as: (Substring, Substring).self)))
    return try await ask("/v1/files/\(id.1)/download").replacing("\\/", with: "/")
  }
}
