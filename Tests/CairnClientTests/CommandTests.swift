import BlockModel
import CairnClient
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  /// The program `cairn` itself, as a process of its own, against the cluster in memory.
  @Suite("The command line")
  struct CommandTests {
    private struct Measured: Decodable {
      var mode: String
      var operations: Int
      var rate: Double
      var longest: Double
      private enum CodingKeys: String, CodingKey {
        case mode, operations
        case rate = "bytes_per_second"
        case longest = "p99_ms"
      }
    }

    private func run(
      _ cluster: TestCluster, _ arguments: [String], input: String? = nil, environment extra: [String: String] = [:]
    ) async throws -> ProcessRunner.Outcome {
      try await cluster.cairn(arguments, input: input, environment: extra)
    }

    @Test("put, ls, stat, cat, get and rm do what they say")
    func firstSteps() async throws {
      try await withCluster { cluster in
        _ = try cluster.write("notes.txt", Array("Hello\n".utf8))
        #expect(try await run(cluster, ["put", "notes.txt", "/docs/notes.txt"]).succeeded)
        cluster.replicate()
        #expect(try await run(cluster, ["ls", "/docs"]).output == "notes.txt\n")
        #expect(try await run(cluster, ["ls"]).output == "docs/\n")
        #expect(try await run(cluster, ["cat", "/docs/notes.txt"]).output == "Hello\n")
        #expect(try await run(cluster, ["cat", "/docs/notes.txt", "--range", "1-3"]).output == "ell")
        #expect(try await run(cluster, ["cat", "/docs/notes.txt", "--range", "-2"]).output == "o\n")
        let stat = try await run(cluster, ["stat", "/docs/notes.txt", "--json"])
        let entry = try JSONCoding.decode(Entry.self, from: Array(stat.output.utf8))
        #expect(entry.size == 6)
        #expect(entry.contentHash != nil)
        let got = try await run(cluster, ["get", "/docs/notes.txt", "copy.txt"])
        #expect(got.succeeded)
        #expect(got.error.isEmpty, "no progress in a pipe")
        let copy = try cluster.read(cluster.folder.path("copy.txt"))
        #expect(copy == Array("Hello\n".utf8))
        #expect(try await run(cluster, ["get", "/docs/notes.txt", "part.txt", "--range", "0-1"]).succeeded)
        let part = try cluster.read(cluster.folder.path("part.txt"))
        #expect(part == Array("He".utf8))
        #expect(try await run(cluster, ["rm", "/docs/notes.txt"]).succeeded)
        #expect(try await run(cluster, ["cat", "/docs/notes.txt"]).ending == .exited(status: 4))
      }
    }

    @Test("bench measures each of its modes, and leaves nothing behind", arguments: ["put", "get", "mixed"])
    func bench(mode: String) async throws {
      try await withCluster { cluster in
        let outcome = try await run(cluster, ["bench", "--mode", mode, "--size", "100KiB", "--objects", "6", "--json"])
        let measured = try JSONCoding.decode(Measured.self, from: Array(outcome.output.utf8))
        #expect(measured.mode == mode && measured.operations == 6, "\(outcome)")
        #expect(measured.rate > 0 && measured.longest > 0)
        #expect(try await run(cluster, ["ls", "/"]).output == "")
      }
    }

    @Test("standard input is put and standard output got")
    func pipes() async throws {
      try await withCluster { cluster in
        let put = try await run(cluster, ["put", "-", "/in"], input: "from a pipe")
        #expect(put.succeeded)
        cluster.replicate()
        let got = try await run(cluster, ["get", "/in", "-"])
        #expect(got.output == "from a pipe")
      }
    }

    @Test("a file alone is answered by its entry, a tree by a summary")
    func json() async throws {
      try await withCluster { cluster in
        try Directory.create(cluster.folder.path("tree/sub"))
        _ = try cluster.write("tree/one", [1])
        _ = try cluster.write("tree/sub/two", [2, 2])
        let one = try await run(cluster, ["put", "tree/one", "/one", "--json"])
        let entry = try JSONCoding.decode(Entry.self, from: Array(one.output.utf8))
        #expect(entry.path == "/one")
        struct Summary: Decodable {
          var files: Int
          var folders: Int
          var bytes: Int64
        }
        let all = try await run(cluster, ["put", "-r", "tree", "/tree", "--json"])
        let summary = try JSONCoding.decode(Summary.self, from: Array(all.output.utf8))
        #expect(summary.files == 2 && summary.folders == 2 && summary.bytes == 3)
      }
    }

    @Test(
      "the exit status says what kind of failure it was",
      arguments: [
        (["stat", "/nothing"], 4), (["stat", "relative"], 2), (["put", "/no/such/file", "/x"], 4), (["put"], 2), (["fly"], 2),
        (["put", "a", "/x", "--on-conflict", "maybe"], 2), (["cat", "/x", "--range", "9-1"], 2), (["ls", "/nothing"], 4),
        (["mv", "/nothing", "/x"], 4), (["put", "--parallel", "0", "a", "/x"], 2),
      ] as [([String], Int32)])
    func statuses(arguments: [String], status: Int32) async throws {
      try await withCluster { cluster in
        let outcome = try await run(cluster, arguments)
        #expect(outcome.ending == .exited(status: status))
        #expect(outcome.output.isEmpty)
        #expect(outcome.error.hasPrefix("cairn"))
        #expect(outcome.error.split(separator: "\n").count == 1, "one sentence: \(outcome.error)")
      }
    }

    @Test(
      "problems of the cluster have the statuses of the interfaces",
      arguments: [
        (Problem.Kind.conflict, 3), (.forbidden, 5), (.unauthenticated, 5), (.quota, 6), (.full, 6), (.notFound, 4),
      ] as [(Problem.Kind, Int32)])
    func problems(kind: Problem.Kind, status: Int32) async throws {
      try await withCluster { cluster in
        cluster.gateway.fault.withLock { $0 = { _, _ in .refusal(Problem(kind, "Said by the cluster.")) } }
        let outcome = try await run(cluster, ["stat", "/a"])
        #expect(outcome.ending == .exited(status: status))
        #expect(outcome.error == "cairn: Said by the cluster.\n")
      }
    }

    @Test("without a cluster or a token the error says what to set")
    func nothingSet() async throws {
      try await withCluster { cluster in
        let nowhere = try await run(cluster, ["ls"], environment: ["CAIRN_GATEWAY": ""])
        #expect(nowhere.ending == .exited(status: 2))
        #expect(nowhere.error.contains("CAIRN_GATEWAY"))
        let nobody = try await run(cluster, ["ls"], environment: ["CAIRN_TOKEN": ""])
        #expect(nobody.ending == .exited(status: 5))
        #expect(nobody.error.contains("cairn login"))
      }
    }

    @Test("login keeps the token where only its owner can read it, and sends it to no other gateway")
    func profiles() async throws {
      try await withCluster { cluster in
        let environment = ["CAIRN_TOKEN": "", "XDG_CONFIG_HOME": cluster.folder.path("config")]
        let printed = try await run(
          cluster, ["login", "ada", "--password-stdin", "--print-token"], input: "correct horse\n", environment: environment)
        #expect(printed.output == "token-of-ada\n")
        #expect(try Directory.attributes(cluster.folder.path("config")) == nil)
        #expect(
          try await run(cluster, ["login", "ada", "--password-stdin"], input: "correct horse\n", environment: environment).succeeded)
        let profile = try #require(try Directory.attributes(cluster.folder.path("config/cairn/profile.json")))
        #expect(profile.mode == 0o600)
        #expect(try await run(cluster, ["whoami"], environment: environment).output == "ada\n")
        var elsewhere = environment
        elsewhere["CAIRN_GATEWAY"] = cluster.gateway.address.replacing("127.0.0.1", with: "localhost")
        #expect(try await run(cluster, ["whoami"], environment: elsewhere).ending == .exited(status: 5))
        elsewhere["CAIRN_GATEWAY"] = cluster.gateway.address + "/"
        #expect(try await run(cluster, ["whoami"], environment: elsewhere).output == "ada\n", "a slash makes no other gateway")
        let json = try await run(
          cluster, ["login", "ada", "--password-stdin", "--json"], input: "correct horse\n", environment: environment)
        #expect(json.output.contains("\"user\":\"ada\"") && json.output.contains("token-of-ada"), "\(json.output)")
        #expect(try await run(cluster, ["logout"], environment: environment).succeeded)
        let again = try await run(cluster, ["logout"], environment: environment)
        #expect(again.succeeded && again.error.contains("Nobody is logged in"), "\(again)")
        #expect(try await run(cluster, ["whoami"], environment: environment).ending == .exited(status: 5))
      }
    }

    @Test("a put that is killed goes on when it is given again, and sends no acknowledged block twice")
    func killed() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(10 * Limits.blockBytes + 3)
        _ = try cluster.write("large", bytes)
        let stored = Mutex(0)
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { isPut, _ in
              isPut
                && stored.withLock {
                  $0 += 1; return $0 > 4
                } ? .stall(.seconds(60)) : nil
            }
          }
        }
        let program = try #require(CairnProgram.path)
        var options = ChildProcess.Options()
        options.environment = ["CAIRN_GATEWAY": cluster.gateway.address, "CAIRN_TOKEN": "token", "HOME": cluster.folder.path("home")]
        let child = try ChildProcess.start(program, ["put", cluster.folder.path("large"), "/large"], options)
        try await eventually { stored.withLock { $0 } > 8 && cluster.puts.count >= 4 }
        try await eventually { try self.receipts(cluster) >= 4 }
        #expect(child.send(.kill))
        _ = await child.wait()
        for node in cluster.nodes {
          node.fault.withLock { $0 = { _, _ in nil } }
          node.state.withLock { $0.puts = [:] }
        }
        #expect(try await run(cluster, ["put", cluster.folder.path("large"), "/large"]).succeeded)
        #expect(cluster.puts.count <= 11 - 4)
        #expect(cluster.gateway.count("POST /v1/uploads") == 1)
        cluster.replicate()
        #expect(try await run(cluster, ["get", "/large", "copy"]).succeeded)
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    private func receipts(_ cluster: TestCluster) throws -> Int {
      let folder = cluster.folder.path("home/.local/state/cairn/uploads")
      guard try Directory.attributes(folder) != nil else { return 0 }
      return try Directory.list(folder).reduce(0) { sum, name in
        let text = String(decoding: try cluster.read(folder + "/" + name) ?? [], as: UTF8.self)
        return sum + text.split(separator: "\n").count { $0.hasPrefix("receipt ") }
      }
    }
  }
}
