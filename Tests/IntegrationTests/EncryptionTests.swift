import BlockModel
import Foundation
import Platform
import TestSupport
import Testing

@Suite("Encrypted folders, on real processes", .serialized)
struct EncryptionTests {
  /// Words that stand in names and contents and must be nowhere in the cluster.
  private static let secrets = ["treasure-map", "buried below the oak", "hideout", "the-ledger", "shortcut-to-it"]

  /// A machine of somebody's, with what it keeps.
  private struct Device {
    let user: User
    let state: String

    func run(_ arguments: [String], input: String? = nil) async throws -> ProcessRunner.Outcome {
      var environment = user.cluster.environment(of: user)
      environment["XDG_STATE_HOME"] = state
      return try await ProcessRunner.run("\(LocalCluster.bin)/cairn", arguments, environment: environment, input: input)
    }

    @discardableResult
    func cairn(_ arguments: String...) async throws -> String {
      let outcome = try await run(arguments)
      guard outcome.succeeded else { throw CommandFailed(command: "cairn \(arguments.joined(separator: " "))", outcome: outcome) }
      return outcome.output
    }

    func startSync(_ folder: String, _ remote: String, as name: String) throws -> ChildProcess {
      var options = ChildProcess.Options()
      var environment = user.cluster.environment(of: user)
      environment["XDG_STATE_HOME"] = state
      options.environment = environment
      options.output = .file(state + ".log")
      options.error = .file(state + ".error")
      return try ChildProcess.start("\(LocalCluster.bin)/cairn", ["sync", folder, remote, "--device", name], options)
    }
  }

  private func device(_ user: User, _ name: String) -> Device { Device(user: user, state: user.cluster.folder.path("device-" + name)) }

  private func field(_ name: String, of json: String) throws -> String {
    String(try #require(try json.firstMatch(of: Regex("\"\(name)\":\"([^\"]+)\"", as: (Substring, Substring).self))?.1))
  }

  private func write(_ path: String, _ text: String) throws {
    try Directory.create(Directory.parent(of: path), mode: 0o755)
    try AtomicFile.write(path, Array(text.utf8), mode: 0o644)
  }

  /// The files of the cluster, disks, databases and logs, that have any of the words in them.
  private func filesWith(_ words: [String], in cluster: LocalCluster) async throws -> [String] {
    let patterns = words.flatMap { ["-e", $0] }
    let found = try await ProcessRunner.run("/usr/bin/grep", ["-rlaF"] + patterns + [cluster.folder.path("cluster")])
    return found.output.split(separator: "\n").map(String.init)
  }

  /// What the nodes say that they store, once it no longer changes.
  private func stored(_ cluster: LocalCluster) async throws -> Int64 {
    var last: Int64 = -1
    var now = Int64(try await cluster.storedBytes())
    try await eventually("The nodes say what they store") {
      last = now
      try await Task.sleep(for: .milliseconds(2500))
      now = Int64(try await cluster.storedBytes())
      return now == last
    }
    return now
  }

  @Test("a tree is stored, changed, shared and recovered, and no name and no byte of it is anywhere in the cluster")
  func wholeStory() async throws {
    try await LocalCluster.with(["--nodes", "3", "--encryption", "off"]) { cluster in
      var random = Seeds.random()
      let (ada, bob) = (try await cluster.user("ada"), try await cluster.user("bob"))
      let (desk, lap, his) = (device(ada, "desk"), device(ada, "lap"), device(bob, "his"))
      let made = try await desk.cairn("mkdir", "--encrypted", "/secret", "--json")
      let phrase = try field("recovery_phrase", of: made)
      #expect(phrase.split(separator: "-").count == 9)

      // There and back.
      let tree = cluster.folder.path("tree")
      try FileTree.make(in: tree + "/hideout", count: 12, largest: 9 << 20, random: &random)
      try write(tree + "/treasure-map.txt", "it is buried below the oak\n")
      try Directory.create(tree + "/the-ledger-of-nothing", mode: 0o755)
      #expect(symlink("treasure-map.txt", tree + "/shortcut-to-it") == 0)
      try await desk.cairn("put", "-r", tree, "/secret")
      try await desk.cairn("get", "-r", "/secret/tree", cluster.folder.path("back"))
      #expect(try await FileTree.difference(tree, cluster.folder.path("back")) == "")
      #expect(try await desk.cairn("cat", "/secret/tree/treasure-map.txt") == "it is buried below the oak\n")
      #expect(try await desk.cairn("cat", "--range", "13-22", "/secret/tree/treasure-map.txt") == "below the ")
      #expect(try await desk.cairn("ls", "-l", "/secret/tree").contains("[encrypted]"))
      #expect(try await desk.cairn("find", "/secret", "--name", "treasure*") == "/secret/tree/treasure-map.txt\n")
      #expect(try await desk.cairn("du", "-s", "-b", "/secret/tree/treasure-map.txt").contains("27"))

      // What the folder has is not stored again, and of a change only the block that it is in.
      let before = try await stored(cluster)
      try await desk.cairn("cp", "/secret/tree", "/secret/copied")
      try await desk.cairn("put", "-r", tree, "/secret/again")
      #expect(try await stored(cluster) - before < 2 << 20, "a tree of some fifteen MiB, twice")
      let large = tree + "/hideout/sub 1/file-1"
      var bytes = try #require(try AtomicFile.read(large, limit: 16 << 20))
      bytes[5_000_000] ^= 1
      try AtomicFile.write(large, bytes, mode: 0o644)
      try await desk.cairn("put", large, "/secret/tree/hideout/sub 1/file-1")
      let grown = try await stored(cluster) - before
      #expect(grown >= 3 * Int64(Limits.blockBytes) && grown < 4 * Int64(Limits.blockBytes), "one block, three times: \(grown)")
      try await desk.cairn("get", "/secret/tree/hideout/sub 1/file-1", cluster.folder.path("file-1"))
      #expect(try AtomicFile.read(cluster.folder.path("file-1"), limit: 16 << 20) == bytes)
      #expect(try await desk.cairn("revs", "/secret/tree/hideout/sub 1/file-1", "--json").contains("\"size\":\(bytes.count)"))

      // Copied and moved onto files, which is a revision of the one and sends the other to the trash.
      let (one, two) = ("/secret/copied/treasure-map.txt", "/secret/again/treasure-map.txt")
      try write(tree + "/other", "something else\n")
      try await desk.cairn("put", tree + "/other", "/secret/other")
      try await desk.cairn("cp", "/secret/other", one)
      #expect(try await desk.cairn("cat", one) == "something else\n")
      #expect(try await desk.cairn("cat", "--version", "1", one) == "it is buried below the oak\n")
      #expect(try await desk.run(["mv", "-n", "/secret/other", two]).ending == .exited(status: 3))
      try await desk.cairn("mv", "/secret/other", two)
      #expect(try await desk.cairn("cat", two) == "something else\n")
      #expect(try await desk.run(["stat", "/secret/other"]).ending == .exited(status: 4))
      #expect(try await desk.cairn("trash").contains(two))
      try Directory.remove(tree + "/other")

      // Moved, removed, restored, reverted, followed.
      try await desk.cairn("mv", "/secret/tree/treasure-map.txt", "/secret/tree/hideout/map.txt")
      try await desk.cairn("rm", "/secret/tree/hideout/map.txt")
      #expect(try await desk.cairn("trash").contains("/secret/tree/hideout/map.txt"))
      try await desk.cairn("restore", "/secret/tree/hideout/map.txt")
      try await desk.cairn("revert", "/secret/tree/hideout/sub 1/file-1", "--version", "1")
      bytes[5_000_000] ^= 1
      try await desk.cairn("get", "/secret/tree/hideout/sub 1/file-1", cluster.folder.path("file-1"))
      #expect(try AtomicFile.read(cluster.folder.path("file-1"), limit: 16 << 20) == bytes)
      #expect(try await desk.cairn("changes", "--json").contains("/secret/tree/hideout/map.txt"))
      #expect(try await desk.run(["mv", "/secret/tree/hideout/map.txt", "/map.txt"]).ending == .exited(status: 1))
      #expect(try await desk.run(["link", "/secret"]).ending == .exited(status: 1))

      // A second user.
      let early = try await desk.run(["share", "/secret", "bob", "--role", "write"])
      #expect(early.ending == .exited(status: 1) && early.error.contains("cairn keys create"), "\(early)")
      let hisKeys = try await his.cairn("keys", "create", "--json")
      let shared = try await desk.cairn("share", "/secret", "bob", "--role", "write")
      #expect(shared.contains(try field("fingerprint", of: hisKeys)))
      #expect(try await his.cairn("cat", "/Shared with me/secret/tree/hideout/map.txt") == "it is buried below the oak\n")
      try write(cluster.folder.path("the-ledger"), "ten pieces in the hideout\n")
      try await his.cairn("put", cluster.folder.path("the-ledger"), "/Shared with me/secret/the-ledger.txt")
      #expect(try await desk.cairn("cat", "/secret/the-ledger.txt") == "ten pieces in the hideout\n")
      try write(cluster.folder.path("other"), "nothing at all\n")
      try await desk.cairn("put", cluster.folder.path("other"), "/secret/the-ledger.txt", "--on-conflict", "copy")
      #expect(try await desk.cairn("cat", "/secret/the-ledger.txt") == "ten pieces in the hideout\n")
      #expect(try await his.cairn("ls", "/Shared with me/secret").contains("the-ledger (conflicted copy test "))
      try await desk.cairn("unshare", "/secret", "bob")
      #expect(try await his.run(["cat", "/Shared with me/secret/the-ledger.txt"]).ending == .exited(status: 1), "he knows what was there")
      #expect(try await his.run(["ls", "/Shared with me"]).output.contains("secret") == false)

      // A second device.
      let locked = try await lap.run(["ls", "/secret"])
      #expect(locked.ending == .exited(status: 1) && locked.error.contains("cairn keys recover"), "\(locked)")
      let wrong = try field("recovery_phrase", of: hisKeys)
      #expect(try await lap.run(["keys", "recover", "--phrase-stdin"], input: wrong + "\n").ending == .exited(status: 2))
      #expect(try await lap.run(["keys", "recover", "--phrase-stdin"], input: "no such words\n").ending == .exited(status: 2))
      let recovered = try await lap.run(
        ["keys", "recover", "--phrase-stdin"], input: phrase.replacingOccurrences(of: "-", with: " ") + "\n")
      #expect(recovered.succeeded, "\(recovered)")
      #expect(try await lap.cairn("cat", "/secret/the-ledger.txt") == "ten pieces in the hideout\n")

      // The cluster repairs what it cannot read, and has read none of it.
      try await cluster.command("kill", "node-1")
      #expect(try await lap.cairn("cat", "/secret/the-ledger.txt") == "ten pieces in the hideout\n")
      try await cluster.command("start", "node-1")
      try await cluster.control("repair", "--wait")
      try await cluster.control("audit")
      try write(cluster.folder.path("plain"), "this-is-plain")
      try await desk.cairn("put", cluster.folder.path("plain"), "/plain-and-open")
      #expect(try await filesWith(["this-is-plain"], in: cluster).contains { $0.hasSuffix(".seg") }, "the search finds what is there")
      #expect(try await filesWith(["plain-and-open"], in: cluster).isEmpty == false)
      #expect(try await filesWith(Self.secrets + phrase.split(separator: "-").map { "\($0)-" }, in: cluster) == [])
    }
  }

  @Test("two agents keep two devices and an encrypted folder in step; a plain pair leaves it out, and no name leaks")
  func agents() async throws {
    try await LocalCluster.with(["--nodes", "3", "--encryption", "off"]) { cluster in
      var random = Seeds.random()
      let ada = try await cluster.user("ada")
      let devices = ["desk", "lap"].map { device(ada, $0) }
      let folders = ["desk", "lap"].map { cluster.folder.path("folder-" + $0) }
      let made = try await devices[0].cairn("mkdir", "--encrypted", "-p", "/docs/secret", "--json")
      let early = try await devices[1].run(["sync", folders[1], "/docs/secret", "--once"])
      #expect(!early.succeeded && early.error.contains("cairn keys recover"), "\(early)")
      let phrase = try field("recovery_phrase", of: made)
      #expect(try await devices[1].run(["keys", "recover", "--phrase-stdin"], input: phrase + "\n").succeeded)
      for folder in folders { try Directory.create(folder, mode: 0o755) }
      try FileTree.make(in: folders[0] + "/hideout", count: 8, largest: 5 << 20, random: &random)
      try write(folders[0] + "/treasure-map.txt", "it is buried below the oak\n")

      var agents = try zip(devices, folders).enumerated().map {
        try $1.0.startSync($1.1, "/docs/secret", as: ["desk", "lap"][$0])
      }
      func same(_ what: String) async throws {
        try await eventually(within: .seconds(120), every: .milliseconds(500), "The two folders are the same: \(what)") {
          try await FileTree.difference(folders[0], folders[1]).isEmpty
        }
      }
      do {
        try await eventually(within: .seconds(60), every: .milliseconds(200), "The other device has the map") {
          try AtomicFile.read(folders[1] + "/treasure-map.txt", limit: 100) != nil
        }
        try await same("at first")
        try write(folders[1] + "/hideout/the-ledger.txt", "ten pieces\n")
        try Directory.rename(folders[1] + "/treasure-map.txt", to: folders[1] + "/hideout/treasure-map-2.txt")
        try Directory.remove(folders[1] + "/hideout/file-3")
        #expect(symlink("the-ledger.txt", folders[1] + "/hideout/shortcut-to-it") == 0)
        try await eventually(within: .seconds(60), every: .milliseconds(200), "The first device has the ledger") {
          try AtomicFile.read(folders[0] + "/hideout/the-ledger.txt", limit: 100) != nil
        }
        try await same("after changes on the second")
        // Killed in the middle, and both sides change one file meanwhile.
        agents[1].send(.kill)
        _ = await agents[1].wait()
        try write(folders[0] + "/hideout/the-ledger.txt", "eleven pieces\n")
        try write(folders[1] + "/hideout/the-ledger.txt", "twelve pieces\n")
        agents[1] = try devices[1].startSync(folders[1], "/docs/secret", as: "lap")
        try await eventually(within: .seconds(60), every: .milliseconds(200), "Both are kept") {
          try Directory.list(folders[0] + "/hideout").filter { $0.hasPrefix("the-ledger") }.count == 2
        }
        try await same("after a conflict")
      } catch {
        for agent in agents { agent.send(.kill) }
        throw error
      }
      for agent in agents {
        agent.send(.terminate)
        _ = await agent.wait()
      }
      try await devices[0].cairn("get", "-r", "/docs/secret", cluster.folder.path("copy"))
      #expect(try await FileTree.difference(folders[0], cluster.folder.path("copy")) == "")

      // The folder above is synced without it, also where its key is.
      let above = cluster.folder.path("above")
      try write(above + "/open.txt", "anybody may read this\n")
      let once = try await devices[0].run(["sync", above, "/docs", "--once"])
      #expect(once.succeeded && once.error.contains("secret is an encrypted folder"), "\(once)")
      #expect(try Directory.list(above).sorted() == ["open.txt"])
      try write(above + "/secret/mine.txt", "a folder of the same name\n")
      #expect(try await devices[0].run(["sync", above, "/docs", "--once"]).succeeded)
      #expect(try await devices[0].cairn("ls", "/docs") == "open.txt\nsecret/\n")
      #expect(try await devices[0].run(["stat", "/docs/secret/mine.txt"]).ending == .exited(status: 4))

      #expect(try await filesWith(["anybody may read this"], in: cluster).isEmpty == false)
      #expect(try await filesWith(Self.secrets, in: cluster) == [])
      try await cluster.control("audit")
    }
  }
}
