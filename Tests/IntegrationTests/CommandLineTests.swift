import Foundation
import Platform
import TestSupport
import Testing

@Suite("The command line, on real processes", .serialized)
struct CommandLineTests {
  private func run(_ user: User, _ arguments: String...) async throws -> (status: Int32, output: String, error: String) {
    let outcome = try await user.cluster.attempt("cairn", arguments, as: user)
    guard case .exited(let status) = outcome.ending else { throw CommandFailed(command: "cairn \(arguments)", outcome: outcome) }
    return (status, outcome.output, outcome.error)
  }

  private func write(_ path: String, _ text: String) throws { try AtomicFile.write(path, Array(text.utf8), mode: 0o644) }

  @Test("verbs of several things do what can be done, conflicts have their status, and copies are named")
  func tree() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let ada = try await cluster.user("ada")
      let bob = try await cluster.user("bob")
      let file = cluster.folder.path("a.txt")
      try write(file, "zero\n")
      try await ada.cairn("put", file, "/c")
      try write(file, "one\n")
      try await ada.cairn("mkdir", "/d", "/e")
      for path in ["/a", "/b", "/c"] { try await ada.cairn("put", file, path) }

      for verb in ["cp", "mv"] {
        let several = try await run(ada, verb, "/a", "/nothing", "/b", verb == "cp" ? "/d" : "/e")
        #expect(several.status == 4 && several.error.contains("/nothing"), "\(several)")
      }
      #expect(try await ada.cairn("ls", "/d") == "a\nb\n")
      #expect(try await ada.cairn("ls", "/e") == "a\nb\n")
      try await ada.cairn("cp", "-a", "/d", "/copied")
      try await ada.cairn("rm", "/d/a", "/d/b")
      let restored = try await run(ada, "restore", "/d/a", "/nothing", "/d/b")
      #expect(restored.status == 4 && restored.output == "/d/a\n/d/b\n", "\(restored)")

      #expect(try await run(ada, "keys", "show").status == 4)
      try await ada.cairn("mkdir", "--encrypted", "/secret")
      let again = try await run(ada, "mkdir", "--encrypted", "/secret")
      #expect(again.status == 3 && again.error.contains("/secret is there already"), "\(again)")
      #expect(try await run(ada, "mkdir", "--encrypted", "/secret/inner").status == 1)
      #expect(try await run(bob, "mkdir", "/Shared with me/q").status == 5)

      for arguments in [["share", "/d", "bob"], ["revert", "/c", "--version", "1"], ["trash", "--empty"]] {
        let quiet = try await cluster.attempt("cairn", arguments + ["--quiet"], as: ada)
        #expect(quiet.succeeded && quiet.output.isEmpty && quiet.error.isEmpty, "\(quiet)")
      }

      try write(file, "two\n")
      let copy = try await run(ada, "put", file, "/c", "--base-version", "1", "--on-conflict", "copy")
      #expect(copy.status == 0 && copy.error.contains("(conflicted copy"), "\(copy)")
      #expect(try await ada.cairn("ls", "/").contains("c (conflicted copy"))
    }
  }

  @Test("a sync that cannot be as it was asked for says why, and leaves no pair behind")
  func sync() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let ada = try await cluster.user("ada")
      let local = cluster.folder.path("local")
      try Directory.create(local + "/sub")
      try write(local + "/a.txt", "one\n")
      try await ada.cairn("put", local + "/a.txt", "/file")

      #expect(try await run(ada, "sync", local, "relative", "--once").status == 2)
      let onto = try await run(ada, "sync", local, "/file", "--once")
      #expect(onto.status == 3 && onto.error.contains("/file is not a folder"), "\(onto)")
      let plain = try await run(ada, "sync", local + "/a.txt", "/docs", "--once")
      #expect(plain.status == 3 && plain.error.contains("a.txt is not a folder"), "\(plain)")
      // What was written a moment ago is left alone for that moment.
      try await eventually("The file is in the plan") {
        let planned = try await run(ada, "sync", local, "/docs", "--dry-run")
        #expect(planned.status == 0, "\(planned)")
        return planned.output.contains("upload a.txt")
      }
      #expect(try await ada.status("stat", "/docs") == 4)
      #expect(try await ada.cairn("sync", "status", "--json") == "[]\n")
      #expect(try await run(ada, "sync", "status", "/nope").error.contains(" /nope is not synced"))

      #expect(mkfifo(local + "/pipe", 0o600) == 0)
      let once = try await run(ada, "sync", local, "/docs", "--once")
      #expect(once.status == 0 && once.error.contains("1 folder made") && once.error.contains("pipe is a socket"), "\(once)")
      for (folder, remote) in [(local, "/other"), (local + "/sub", "/sub"), (cluster.folder.path, "/all")] {
        let nested = try await run(ada, "sync", folder, remote, "--once")
        #expect(nested.status == 3 && nested.error.contains("cairn sync remove"), "\(nested)")
        #expect(try await ada.status("stat", remote) == 4)
      }

      let paused = try await ada.cairn("sync", "pause", "--json")
      #expect(paused.contains("\"state\":\"paused\"") && paused.contains("\"remote\":\"/docs\""), "\(paused)")
      let resting = try await run(ada, "sync", local, "/docs", "--once")
      #expect(resting.status == 3 && resting.error.contains("cairn sync resume"), "\(resting)")
      let resumed = try await ada.cairn("sync", "resume", local, "--json")
      #expect(resumed.contains("\"state\":\"stopped\""), "\(resumed)")
      try await ada.cairn("sync", local, "/docs", "--once")

      let bob = try await cluster.user("bob")
      try await ada.cairn("share", "/docs", "bob", "--role", "read")
      let theirs = cluster.folder.path("theirs")
      let preview = try await bob.cairn("sync", theirs, "/Shared with me/docs", "--dry-run")
      #expect(preview.contains("download a.txt"), "\(preview)")
      #expect(try Directory.attributes(theirs) == nil)
      try await bob.cairn("sync", theirs, "/Shared with me/docs", "--once")
      try write(theirs + "/new.txt", "not theirs to write\n")
      let partly = try await run(bob, "sync", theirs, "/Shared with me/docs", "--once")
      #expect(partly.status == 1 && partly.error.contains("One thing in"), "\(partly)")
    }
  }
}
