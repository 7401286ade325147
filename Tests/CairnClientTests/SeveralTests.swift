import BlockModel
import CairnClient
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  /// `cairn` with several things to do, with nobody to read what it says, and with names that are hard to print.
  @Suite("Command lines of several things")
  struct SeveralTests {
    /// A cluster with `/docs/a` and `/docs/b`, and local files of these names.
    private func withFiles(_ body: (TestCluster) async throws -> Void) async throws {
      try await withCluster { cluster in
        for name in ["a", "b"] {
          _ = try cluster.write(name, Array(name.utf8))
          #expect(try await cluster.cairn("put", name, "/docs/\(name)").succeeded)
        }
        cluster.replicate()
        try await body(cluster)
      }
    }

    @Test(
      "what is not there keeps none of the others back; it is told, and its status is that of the command",
      arguments: [
        (["ls"], ["a", "b"]), (["stat"], ["path          /docs/a", "path          /docs/b"]), (["find"], ["/docs/a", "/docs/b"]),
        (["du"], ["/docs/a", "/docs/b"]), (["cat"], ["ab"]), (["stat", "--json"], ["\"path\":\"/docs/a\"", "\"path\":\"/docs/b\""]),
        (["ls", "--json"], ["\"path\":\"/docs/a\"", "\"path\":\"/docs/b\""]),
        (["du", "--json"], ["\"path\":\"/docs/a\"", "\"path\":\"/docs/b\""]),
      ] as [([String], [String])])
    func goesOn(verb: [String], output: [String]) async throws {
      try await withFiles { cluster in
        let outcome = try await cluster.cairn(verb + ["/docs/a", "/nothing", "/docs/b", "relative"])
        #expect(outcome.status == 4, "that of the first failure")
        for part in output { #expect(outcome.output.contains(part), "\(outcome)") }
        let errors = outcome.error.split(separator: "\n")
        #expect(errors.count == 2, "\(outcome.error)")
        #expect(errors.first?.hasPrefix("cairn: /nothing ") == true && errors.last?.hasPrefix("cairn: relative: ") == true)
      }
    }

    @Test("mkdir and rm do what can be done")
    func changes() async throws {
      try await withFiles { cluster in
        let made = try await cluster.cairn("mkdir", "/docs", "/new")
        #expect(made.status == 3 && made.error.split(separator: "\n").count == 1, "\(made)")
        #expect(try await cluster.cairn("ls").output == "docs/\nnew/\n")
        #expect(try await cluster.cairn("rm", "/nothing", "/docs/a", "/docs/b").status == 4)
        #expect(try await cluster.cairn("ls", "/docs").output == "")
      }
    }

    @Test("get and put do what can be done, and one thing alone is told of in one sentence")
    func transfers() async throws {
      try await withFiles { cluster in
        try Directory.create(cluster.folder.path("got"))
        let got = try await cluster.cairn("get", "/docs/a", "/nothing", "/docs/b", "got")
        #expect(got.status == 4 && got.error.contains("1 item could not be transferred; the others are done."), "\(got)")
        #expect(try Directory.list(cluster.folder.path("got")).sorted() == ["a", "b"])
        let put = try await cluster.cairn("put", "a", "nothing", "b", "/")
        #expect(put.status == 4 && put.error.contains("cairn: nothing does not exist"), "\(put)")
        #expect(try await cluster.cairn("ls").output == "a\nb\ndocs/\n")
        let one = try await cluster.cairn("get", "/docs/a", "copy", "--version", "99")
        #expect(one.status == 4)
        #expect(one.error.split(separator: "\n").count == 1 && !one.error.contains("item"), "\(one.error)")
      }
    }

    @Test("what all of them would meet ends it at once")
    func concernsAll() async throws {
      try await withFiles { cluster in
        cluster.gateway.fault.withLock { $0 = { _, _ in .refusal(Problem(.unauthenticated, "Log in again.")) } }
        let outcome = try await cluster.cairn("stat", "/docs/a", "/docs/b", "/docs/c")
        #expect(outcome.status == 5 && outcome.error == "cairn: Log in again.\n", "\(outcome)")
      }
    }

    @Test(
      "results that are lost are no success",
      arguments: [
        "ls", "ls -l", "ls --json", "stat /docs", "find", "du", "cat /docs/a", "cat /docs/a /docs/b", "get /docs/a -", "--help",
        "ls --help", "--version", "man", "completions bash",
      ])
    func lost(line: String) async throws {
      try await withFiles { cluster in
        let full = try await cluster.shell("$cairn \(line) >/dev/full")
        #expect(full.status == 6, "\(full)")
        #expect(full.error == "cairn: standard output could not be written: No space left on device.\n")
        let closed = try await cluster.shell("$cairn \(line) >&-")
        #expect(closed.status == 1, "\(closed)")
        #expect(closed.error == "cairn: standard output could not be written: Bad file descriptor.\n")
        #expect(try await cluster.shell("$cairn \(line) | head -c 0").succeeded)
      }
    }

    @Test("names are exact in a pipe, and letters that the fingers know do no harm")
    func names() async throws {
      try await withCluster { cluster in
        let name = "a\u{202E}txt.exe"
        _ = try cluster.write(name, [1])
        #expect(try await cluster.cairn("put", name, "/").succeeded)
        #expect(try await cluster.cairn("find").output == "/\(name)\n")
        for flags in ["-1", "-a", "-h", "-1ah"] { #expect(try await cluster.cairn("ls", flags).output == "\(name)\n") }
        for flags in ["-l", "-lh"] { #expect(try await cluster.cairn("ls", flags).output.contains(name)) }
        for flags in ["-sh", "-h", "-s"] { #expect(try await cluster.cairn("du", flags, "/").output.hasSuffix("  /\n")) }
        #expect(try await cluster.cairn("ls", "--help").output.hasPrefix("Usage: cairn ls"))
      }
    }
  }
}
