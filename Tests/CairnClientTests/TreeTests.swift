import BlockModel
import CairnClient
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Trees")
  struct TreeTests {
    /// A tree with what people have: small and large files, empty ones, folders without anything, links.
    private func makeTree(_ cluster: TestCluster, files: Int = 40) async throws -> String {
      var random = Seeds.random()
      let root = cluster.folder.path("tree")
      try Directory.create(root + "/a/b/c")
      try Directory.create(root + "/empty")
      for index in 0..<files {
        let folder = ["", "/a", "/a/b", "/a/b/c"][index % 4]
        _ = try cluster.write("tree\(folder)/file \(index).txt", random.bytes(Int.random(in: 0..<20_000, using: &random)))
      }
      _ = try cluster.write("tree/ünïcode", [1, 2, 3])
      _ = try cluster.write("tree/large", random.bytes(Limits.blockBytes + 3))
      _ = try cluster.write("tree/run", Array("#!/bin/sh\n".utf8), mode: 0o755)
      _ = try await ProcessRunner.run("/bin/ln", ["-s", "../outside", root + "/a/link"])
      return root
    }

    private func same(_ a: String, _ b: String) async throws -> Bool {
      try await ProcessRunner.run("/usr/bin/diff", ["-r", "--no-dereference", a, b]).succeeded
    }

    @Test("a tree comes back the same: files, empty folders, links, times, executable bits")
    func roundTrip() async throws {
      try await withCluster(pageSize: 7) { cluster in
        let root = try await makeTree(cluster)
        let client = try cluster.client()
        let put = try await client.put([root], to: "/backup", recursive: true)
        #expect(put.failures.isEmpty)
        #expect(put.files == 43)
        #expect(put.links == 1)
        cluster.replicate()
        let copy = cluster.folder.path("copy")
        let got = try await client.get(["/backup"], to: copy, recursive: true)
        #expect(got.failures.isEmpty)
        #expect(got.files == 43)
        #expect(try await same(root, copy))
        for name in ["a/b/c", "empty", "run", "large", "a/link"] {
          let (old, new) = (try Directory.attributes(root + "/" + name), try Directory.attributes(copy + "/" + name))
          #expect(old?.kind == new?.kind)
          #expect(old?.modifiedNanoseconds == new?.modifiedNanoseconds, "time of \(name)")
          #expect(old.map { $0.mode & 0o100 } == new.map { $0.mode & 0o100 }, "mode of \(name)")
        }
      }
    }

    @Test("small files travel together: requests by the batch, not by the file")
    func batches() async throws {
      try await withCluster { cluster in
        let root = try await makeTree(cluster, files: 200)
        let client = try cluster.client()
        _ = try await client.put([root], to: "/backup", recursive: true)
        cluster.replicate()
        _ = try await client.get(["/backup"], to: cluster.folder.path("copy"), recursive: true)
        #expect(try await same(root, cluster.folder.path("copy")))
        #expect(cluster.gateway.state.withLock { $0.requests.count } < 40)
        #expect(cluster.nodes.reduce(0) { $0 + $1.state.withLock { $0.batches } } > 0)
      }
    }

    @Test("a tree survives random faults of the nodes", arguments: 0..<3)
    func faults(round: Int) async throws {
      let random = Mutex(SeededRandom(seed: Seeds.next() &+ UInt64(round)))
      try await withCluster { cluster in
        let root = try await makeTree(cluster)
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { isPut, _ in
              switch random.withLock({ Int.random(in: 0..<5, using: &$0) }) {
              case 0: .error(503)
              case 1: isPut ? .error(500) : .corrupt
              default: nil
              }
            }
          }
        }
        let client = try cluster.client()
        #expect(try await client.put([root], to: "/backup", recursive: true).failures.isEmpty)
        cluster.replicate()
        #expect(try await client.get(["/backup"], to: cluster.folder.path("copy"), recursive: true).failures.isEmpty)
        #expect(try await same(root, cluster.folder.path("copy")))
      }
    }

    @Test(
      "put goes into an existing folder under its own name, else takes the name given",
      arguments: [
        ("/there", "/there/one"), ("/there/", "/there/one"), ("/new", "/new"), ("/new/", "/new/one"), ("/", "/one"),
      ])
    func putRules(target: String, result: String) async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        try await client.makeFolder("/there")
        let result1 = try await client.put([try cluster.write("one", [1])], to: target)
        #expect(result1.entries.map(\.path) == [result])
      }
    }

    @Test("several things need a folder that is there, on either side")
    func manyToOne() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        let (one, two) = (try cluster.write("one", [1]), try cluster.write("two", [2]))
        await #expect(throws: CairnError.self) { try await client.put([one, two], to: "/new") }
        try await client.makeFolder("/there")
        _ = try await client.put([one, two], to: "/there")
        cluster.replicate()
        await #expect(throws: CairnError.self) { try await client.get(["/there/one", "/there/two"], to: cluster.folder.path("new")) }
        try Directory.create(cluster.folder.path("new"))
        _ = try await client.get(["/there/one", "/there/two"], to: cluster.folder.path("new"))
        #expect(try cluster.read(cluster.folder.path("new/two")) == [2])
      }
    }

    @Test("a folder needs -r")
    func needsRecursive() async throws {
      try await withCluster { cluster in
        let client = try cluster.client()
        try await client.makeFolder("/folder")
        try Directory.create(cluster.folder.path("local"))
        let put = await #expect(throws: CairnError.self) { try await client.put([cluster.folder.path("local")], to: "/x") }
        let get = await #expect(throws: CairnError.self) { try await client.get(["/folder"], to: cluster.folder.path("x")) }
        #expect(put?.kind == .invalidArgument)
        #expect(get?.kind == .invalidArgument)
      }
    }

    @Test("one item that cannot be stored fails alone")
    func oneFailure() async throws {
      try await withCluster { cluster in
        let root = try await makeTree(cluster)
        _ = try cluster.write("tree/bad\u{1}name", [1])
        _ = try await ProcessRunner.run("/usr/bin/mkfifo", [root + "/pipe"])
        let client = try cluster.client()
        let result = try await client.put([root], to: "/backup", recursive: true)
        #expect(result.files == 43)
        #expect(result.failures.map(\.path) == [root + "/bad\u{1}name"])
        #expect(result.failures.first?.error.kind == .invalidArgument)
        #expect(result.skipped == [root + "/pipe"])
      }
    }

    @Test(
      "a gateway that lies about paths gets nothing written outside of the target",
      arguments: [
        "/backup/../../escape", "/elsewhere/escape", "/backup/..", "/backup/a/./b", "/backup/x\u{0}y", "backup/escape",
      ])
    func traversal(path: String) async throws {
      try await withCluster { cluster in
        let root = try await makeTree(cluster)
        let client = try cluster.client()
        _ = try await client.put([root], to: "/backup", recursive: true)
        cluster.replicate()
        let real = try #require(cluster.gateway.state.withLock { $0.entries["/backup/run"] })
        var lie = real
        lie.path = path
        cluster.gateway.lies.withLock { $0 = [lie] }
        try Directory.create(cluster.folder.path("inner"))
        let result = try await client.get(["/backup"], to: cluster.folder.path("inner/copy"), recursive: true)
        #expect(result.failures.count == 1)
        #expect(try Directory.list(cluster.folder.path("inner")) == ["copy"])
        #expect(try await same(root, cluster.folder.path("inner/copy")))
      }
    }

    @Test("a local link in the way is not followed")
    func linkInTheWay() async throws {
      try await withCluster { cluster in
        let root = try await makeTree(cluster)
        let client = try cluster.client()
        _ = try await client.put([root], to: "/backup", recursive: true)
        cluster.replicate()
        let (target, outside) = (cluster.folder.path("target"), cluster.folder.path("outside"))
        try Directory.create(target + "/backup")
        try Directory.create(outside)
        _ = try await ProcessRunner.run("/bin/ln", ["-s", outside, target + "/backup/a"])
        let result = try await client.get(["/backup"], to: target, recursive: true)
        #expect(!result.failures.isEmpty)
        #expect(result.failures.allSatisfy { $0.error.kind == .localFile })
        #expect(result.files > 0)
        #expect(try Directory.list(outside).isEmpty)
      }
    }

    @Test("what is there already is not downloaded again")
    func nothingToDo() async throws {
      try await withCluster { cluster in
        let root = try await makeTree(cluster)
        let client = try cluster.client()
        _ = try await client.put([root], to: "/backup", recursive: true)
        cluster.replicate()
        let copy = cluster.folder.path("copy")
        _ = try await client.get(["/backup"], to: copy, recursive: true)
        for node in cluster.nodes { node.state.withLock { $0.gets = [:] } }
        try Directory.rename(copy, to: cluster.folder.path("backup"))
        let result = try await client.get(["/backup"], to: cluster.folder.path, recursive: true)
        #expect(result.files == 43)
        #expect(cluster.nodes.allSatisfy { $0.state.withLock { $0.gets.isEmpty } })
      }
    }
  }
}
