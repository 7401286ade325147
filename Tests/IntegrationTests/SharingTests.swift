import Foundation
import Platform
import TestSupport
import Testing

@Suite("Sharing and going back, on real processes", .serialized)
struct SharingTests {
  @Test("two users share, link, revert, rewind and restore with the command line, and the counts stay right")
  func twoUsers() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let ada = try await cluster.user("ada")
      let bob = try await cluster.user("bob")
      func write(_ text: String) throws -> String {
        let path = cluster.folder.path("local.txt")
        let file = try File(path, [.write, .create, .truncate])
        try Array(text.utf8).withUnsafeBytes { try file.pwrite($0, at: 0) }
        return path
      }
      try await ada.cairn("mkdir", "/plans")
      try await ada.cairn("put", write("one\n"), "/plans/a.txt")
      try await ada.cairn("put", write("two\n"), "/plans/a.txt")

      #expect(try await bob.status("stat", "/Shared with me/plans") == 4)
      try await ada.cairn("share", "/plans", "bob", "--role", "read")
      #expect(try await bob.cairn("cat", "/Shared with me/plans/a.txt") == "two\n")
      #expect(try await bob.status("put", write("three\n"), "/Shared with me/plans/b.txt") == 5)
      try await ada.cairn("share", "/plans", "bob", "--role", "write")
      try await bob.cairn("put", write("three\n"), "/Shared with me/plans/b.txt")
      #expect(try await ada.cairn("cat", "/plans/b.txt") == "three\n")
      #expect(try await ada.cairn("notifications").contains("bob"))
      #expect(try await bob.cairn("shared").contains("/Shared with me/plans/"))
      #expect(try await ada.cairn("shares", "/plans").contains("bob"))

      try await ada.cairn("revert", "/plans/a.txt", "--version", "1")
      #expect(try await bob.cairn("cat", "/Shared with me/plans/a.txt") == "one\n")
      let changes = try await ada.cairn("changes", "--json")
      let cursor = try #require(try changes.firstMatch(of: Regex("\"cursor\":\"([^\"]+)\"", as: (Substring, Substring).self))?.1)
      try await ada.cairn("rm", "/plans/a.txt")
      #expect(try await ada.cairn("trash").contains("/plans/a.txt"))
      try await ada.cairn("rewind", "/plans", "--to", String(cursor))
      #expect(try await ada.cairn("cat", "/plans/a.txt") == "one\n")
      try await ada.cairn("rm", "/plans/a.txt")
      try await ada.cairn("restore", "/plans/a.txt")

      // As their Unix namesakes: cp and mv replace files, links among them, and nothing that was there is lost.
      try await ada.cairn("put", write("four\n"), "/plans/c.txt")
      try await bob.cairn("cp", "/Shared with me/plans/c.txt", "/Shared with me/plans/a.txt")
      #expect(try await ada.cairn("cat", "/plans/a.txt") == "four\n")
      let revisions = try await ada.cairn("revs", "/plans/a.txt")
      #expect(revisions.contains("bob") && revisions.contains("ada"))
      #expect(try await bob.status("cp", "--no-clobber", "/Shared with me/plans/c.txt", "/Shared with me/plans/a.txt") == 3)
      #expect(try await ada.status("cp", "/plans/a.txt", "/plans/a.txt") == 3, "the same file")
      try await ada.cairn("mv", "/plans/c.txt", "/plans/b.txt")
      #expect(try await ada.cairn("cat", "/plans/b.txt") == "four\n")
      #expect(try await ada.status("stat", "/plans/c.txt") == 4)
      #expect(try await ada.cairn("trash").contains("/plans/b.txt"))
      try await ada.cairn("mkdir", "/plans/below", "/plans/below/a.txt")
      #expect(try await ada.status("mv", "/plans/b.txt", "/plans/below/a.txt", "/plans") == 3, "a folder does not replace a file")
      #expect(symlink("a.txt", cluster.folder.path("points")) == 0)
      try await ada.cairn("put", "-r", cluster.folder.path("points"), "/plans/points")
      try await ada.cairn("cp", "/plans/points", "/plans/b.txt")
      #expect(try await ada.cairn("stat", "/plans/b.txt").contains("symlink"))
      try await ada.cairn("cp", "/plans/a.txt", "/plans/points")
      #expect(try await ada.cairn("cat", "/plans/points") == "four\n")
      try await ada.cairn("rm", "-r", "/plans/below")

      let link = try await ada.cairn("link", "/plans/a.txt", "--max-downloads", "2").trimmingCharacters(in: .whitespacesAndNewlines)
      func download() async throws -> String {
        try await ProcessRunner.run("/usr/bin/curl", ["--silent", "--noproxy", "*", link + "/raw"], environment: [:]).output
      }
      let downloads = [try await download(), try await download()]
      #expect(downloads == ["four\n", "four\n"])
      #expect(try await download().contains("urn:cairn:problem:not-found"))

      try await bob.cairn("unshare", "/Shared with me/plans")
      #expect(try await bob.status("stat", "/Shared with me/plans") == 4)
      try await cluster.control("users", "quota", "bob", "1KiB")
      #expect(try await bob.status("put", write(String(repeating: "x", count: 4096)), "/big") == 6)
      #expect(try await bob.cairn("find", "/").isEmpty)
      try await cluster.control("audit")
    }
  }
}
