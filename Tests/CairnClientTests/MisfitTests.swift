import BlockModel
import CairnClient
import Glibc
import Platform
import TestSupport
import Testing

extension ClientTests {
  /// `cairn` where something else is in the way, where a file is not what it seems, and where a range has nothing.
  @Suite("Things in the way")
  struct MisfitTests {
    @Test("what is in the way is a conflict, on either side, and stays as it was")
    func inTheWay() async throws {
      try await withCluster { cluster in
        _ = try cluster.write("a", [1])
        _ = try cluster.write("b", [2])
        for path in ["/file", "/folder/a"] { #expect(try await cluster.cairn("put", "a", path).succeeded) }
        cluster.replicate()
        let several = try await cluster.cairn("put", "a", "b", "/file")
        #expect(several.status == 3 && !several.error.contains("mkdir"), "\(several)")
        #expect(try await cluster.cairn("put", "a", "b", "/nowhere").status == 4)
        #expect(try await cluster.cairn("get", "/file", "/folder/a", "a").status == 3)
        let onto = try await cluster.cairn("get", "-r", "/folder", "a")
        #expect(onto.status == 3 && onto.error.contains("a is in the way of a folder"), "\(onto)")
        try Directory.create(cluster.folder.path("got/file"))
        let under = try await cluster.cairn("get", "/file", "got")
        #expect(under.status == 3 && under.error.contains("got/file is a folder"), "\(under)")
        #expect(try cluster.read(cluster.folder.path("a")) == [1])
        #expect(try Directory.list(cluster.folder.path("got/file")).isEmpty)
      }
    }

    @Test("a place where no file can be is named, and not the file on its way to it")
    func noPlace() async throws {
      try await withCluster { cluster in
        _ = try cluster.write("a", [1])
        #expect(try await cluster.cairn("put", "a", "/a").succeeded)
        cluster.replicate()
        for arguments in [["get", "/a", "/proc/x"], ["get", "/a", "/proc/x", "--range", "0-0"]] {
          let outcome = try await cluster.cairn(arguments)
          #expect(outcome.status == 1 && outcome.error.contains("/proc/x "), "\(outcome)")
          #expect(!outcome.error.contains("cairn-part"), "\(outcome.error)")
        }
        let empty = try await cluster.cairn("get", "/a", "")
        #expect(empty.status == 2 && empty.error.contains("empty"), "\(empty)")
        #expect(try await cluster.cairn("put", "", "/x").status == 4)
      }
    }

    @Test("no download takes the place of a device, a pipe or a link to one")
    func devices() async throws {
      try await withCluster { cluster in
        _ = try cluster.write("small", [1])
        _ = try cluster.write("large", [UInt8](repeating: 7, count: Limits.blockBytes + 1))
        #expect(try await cluster.cairn("put", "small", "large", "/").succeeded)
        cluster.replicate()
        let pipe = cluster.folder.path("pipe")
        #expect(mkfifo(pipe, 0o600) == 0 && symlink(pipe, cluster.folder.path("link")) == 0)
        for arguments in [["/small", "pipe"], ["/large", "pipe"], ["/small", "link"], ["/small", "pipe", "--range", "0-0"]] {
          let outcome = try await cluster.cairn(["get"] + arguments)
          #expect(outcome.status == 1 && outcome.error.contains("it is a device, a pipe or a socket"), "\(outcome)")
        }
        for name in ["small", "large"] { #expect(rename(pipe, cluster.folder.path(name)) == 0 && mkfifo(pipe, 0o600) == 0) }
        let both = try await cluster.cairn("get", "/small", "/large", ".")
        #expect(both.status == 1, "\(both)")
        for name in ["pipe", "small", "large"] {
          var status = stat()
          #expect(lstat(cluster.folder.path(name), &status) == 0 && status.st_mode & S_IFMT == S_IFIFO, "\(name) is what it was")
        }
      }
    }

    @Test("a range that begins beyond the end is refused, and nothing is written", arguments: ["3-", "3-9", "99999999-"])
    func beyondTheEnd(range: String) async throws {
      try await withCluster { cluster in
        _ = try cluster.write("a", [1, 2, 3])
        _ = try cluster.write("empty", [])
        #expect(try await cluster.cairn("put", "a", "empty", "/").succeeded)
        cluster.replicate()
        for arguments in [["cat", "/a"], ["get", "/a", "-"], ["get", "/a", "part"]] {
          let outcome = try await cluster.cairn(arguments + ["--range", range])
          #expect(outcome.status == 1 && outcome.output.isEmpty && outcome.error.contains("/a has 3"), "\(outcome)")
        }
        #expect(try Directory.attributes(cluster.folder.path("part")) == nil)
        #expect(try await cluster.cairn("cat", "/a", "--range", "2-99").output == "\u{3}")
        #expect(try await cluster.cairn("cat", "/empty", "--range", "0-").succeeded)
      }
    }

    @Test("files that the kernel makes up as they are read are stored with what they say, alone and among others")
    func madeUp() async throws {
      try await withCluster { cluster in
        _ = try cluster.write("empty", [])
        let expected = try await cluster.shell("cat /proc/version").output
        #expect(!expected.isEmpty)
        #expect(try await cluster.cairn("put", "/proc/version", "/alone").succeeded)
        #expect(try await cluster.cairn("mkdir", "/among").succeeded)
        #expect(try await cluster.cairn("put", "/proc/version", "/proc/filesystems", "empty", "/among").succeeded)
        cluster.replicate()
        #expect(try await cluster.cairn("cat", "/alone").output == expected)
        #expect(try await cluster.cairn("cat", "/among/version").output == expected)
        #expect(try await cluster.cairn("cat", "/among/empty").output == "")
      }
    }

    private static let numbered = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size"

    @Test("and so are those whose size says more than they have", .enabled(if: access(numbered, R_OK) == 0, "there is no such file"))
    func shorter() async throws {
      try await withCluster { cluster in
        #expect(try await cluster.cairn("put", Self.numbered, "/number").succeeded)
        cluster.replicate()
        let expected = try await cluster.shell("cat \(Self.numbered)").output
        #expect(try await cluster.cairn("cat", "/number").output == expected)
      }
    }

    @Test("what an interrupted download left is no file of the user's")
    func leftOver() async throws {
      try await withCluster { cluster in
        try Directory.create(cluster.folder.path("tree/sub"))
        for name in ["tree/a", "tree/.a.cairn-part-01234567", "tree/sub/.b.cairn-part-89abcdef"] { _ = try cluster.write(name, [1]) }
        let result = try await cluster.client().put([cluster.folder.path("tree")], to: "/tree", recursive: true)
        #expect(result.files == 1 && result.failures.isEmpty)
        #expect(result.skipped.count == 2)
        #expect(try await cluster.cairn("find", "--type", "f").output == "/tree/a\n")
        let again = try await cluster.cairn("put", "-r", "tree", "/again")
        #expect(again.succeeded && again.error.contains("interrupted download"), "\(again)")
      }
    }

    @Test("with --quiet nothing but results and errors is printed")
    func quiet() async throws {
      try await withCluster { cluster in
        let made = try await cluster.cairn(["signup", "bob", "--password-stdin", "-q"], input: "correct horse\n")
        #expect(made.succeeded && made.output.isEmpty && made.error.isEmpty, "\(made)")
        let told = try await cluster.cairn(["signup", "bob", "--password-stdin"], input: "correct horse\n")
        #expect(told.output.contains("signed up"))
      }
    }
  }
}
