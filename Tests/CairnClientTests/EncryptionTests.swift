import BlockModel
import CairnClient
import Glibc
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Encrypted folders")
  struct EncryptionTests {
    private static let secretText = "the treasure is below the old oak"

    /// A client of a user on a device, which is a folder for what it keeps.
    private func client(_ cluster: TestCluster, _ user: String = "ada", device: String = "desk") throws -> CairnClient {
      try CairnClient(
        Configuration(
          gateway: cluster.gateway.address, token: "token-of-\(user)", parallel: 4, stateDirectory: cluster.folder.path(device),
          patience: .seconds(5)))
    }

    /// Ada with a key pair, and `/vault` encrypted.
    private func vault(_ cluster: TestCluster) async throws -> (ada: CairnClient, phrase: String) {
      let ada = try client(cluster)
      let made = try await ada.createKeys()
      let folder = try await ada.makeEncryptedFolder("/vault")
      #expect(folder.encrypted == true && folder.path == "/vault")
      return (ada, made.recoveryPhrase)
    }

    private func kind(_ location: SourceLocation = #_sourceLocation, _ body: () async throws -> Void) async -> CairnError.Kind? {
      do {
        try await body()
        Issue.record("not refused", sourceLocation: location)
        return nil
      } catch { return (error as? CairnError)?.kind }
    }

    /// All that the cluster has ever been told or given.
    private func seen(_ cluster: TestCluster) -> String {
      let gateway = cluster.gateway.state.withLock { state in
        state.entries.values.map { "\($0.path) \($0.name) \($0.target ?? "")" }.joined(separator: "\n")
          + state.uploads.values.map { "\($0.request)" }.joined(separator: "\n")
      }
      let nodes = cluster.nodes.flatMap { node in
        node.state.withLock { state in state.blocks.values.map { String(decoding: $0, as: UTF8.self) } }
      }
      return gateway + nodes.joined(separator: "\n")
    }

    static let sizes = [0, 1, 100_000, SealedForm.pieceBytes, SealedForm.pieceBytes + 1, 3 * Limits.blockBytes]

    @Test("a file of any size, cut either way, comes back byte for byte, also in ranges", arguments: sizes, Chunking.allCases)
    func roundTrip(size: Int, chunking: Chunking) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(size)
        let (ada, _) = try await vault(cluster)
        let source = try cluster.write("source", bytes)
        let entry = try await ada.upload(source, to: "/vault/deep/file.bin", options: UploadOptions(chunking: chunking))
        #expect(entry.path == "/vault/deep/file.bin" && entry.name == "file.bin" && entry.size == Int64(size) && entry.encrypted == true)
        let plain = try await ada.upload(source, to: "/plain")
        #expect(entry.contentHash == plain.contentHash, "its content hash is that of the plain bytes")
        cluster.replicate()
        for _ in 0..<2 {
          try await client(cluster).download("/vault/deep/file.bin", to: cluster.folder.path("copy"))
          #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        }
        guard size > 1 else { return }
        let end = Int64(size)
        for range in [0..<1, end - 1..<end, end / 2 - 1..<end / 2 + 1] as [Range<Int64>] {
          let got = Mutex<[UInt8]>([])
          try await ada.read("/vault/deep/file.bin", range: range) { bytes in got.withLock { $0 += Array(bytes) } }
          #expect(got.withLock { $0 } == Array(bytes[Int(range.lowerBound)..<Int(range.upperBound)]))
        }
      }
    }

    @Test("a tree with links and empty folders goes there and back, and the cluster sees neither a name nor a byte of it")
    func tree() async throws {
      try await withCluster { cluster in
        let (ada, _) = try await vault(cluster)
        let tree = cluster.folder.path("tree")
        try Directory.create(tree + "/plans/empty-folder", mode: 0o755)
        for number in 0..<5 { _ = try cluster.write("tree/plans/treasure-\(number).txt", Array("\(Self.secretText) \(number)".utf8)) }
        _ = try cluster.write("tree/nothing.txt", [])
        #expect(symlink("plans/treasure-0.txt", tree + "/shortcut") == 0)
        let put = try await ada.put([tree], to: "/vault", recursive: true)
        #expect(put.failures.isEmpty && put.files == 6 && put.links == 1)
        let listed = try await ada.entries(in: "/vault", recursive: true).entries
        #expect(
          Set(listed.map(\.path)).isSuperset(of: [
            "/vault/tree/plans/empty-folder", "/vault/tree/shortcut", "/vault/tree/plans/treasure-3.txt",
          ]))
        #expect(listed.first { $0.name == "shortcut" }?.target == "plans/treasure-0.txt")
        cluster.replicate()
        let got = try await ada.get(["/vault/tree"], to: cluster.folder.path("back"), recursive: true)
        #expect(got.failures.isEmpty && got.files == 6)
        let back = try cluster.read(cluster.folder.path("back/plans/treasure-4.txt"))
        #expect(back == Array("\(Self.secretText) 4".utf8))
        let seen = seen(cluster)
        for word in ["treasure", "below the old", "plans", "empty-folder", "shortcut", "nothing.txt"] {
          #expect(!seen.contains(word), "\(word)")
        }
        #expect(seen.contains("/vault"))
      }
    }

    @Test("a block that the folder has already is not sent again, a changed one alone is, and nothing is shared with what is plain")
    func deduplication() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let (ada, _) = try await vault(cluster)
        var bytes = random.bytes(3 * SealedForm.pieceBytes + 1000)
        try await ada.upload(try cluster.write("a", bytes), to: "/vault/a")
        #expect(cluster.puts.count == 4)
        try await ada.upload(try cluster.write("b", bytes), to: "/vault/elsewhere/b")
        #expect(cluster.puts.count == 4, "equal bytes are equal blocks in the folder")
        bytes[SealedForm.pieceBytes + 5] ^= 1
        try await ada.upload(try cluster.write("a", bytes), to: "/vault/a")
        #expect(cluster.puts.count == 5, "only the changed block travels")
        try await ada.upload(try cluster.write("a", bytes), to: "/plain")
        #expect(cluster.puts.count == 9)
        try await ada.makeEncryptedFolder("/second")
        try await ada.upload(try cluster.write("a", bytes), to: "/second/a")
        #expect(cluster.puts.count == 13, "another folder has another key")
        #expect(cluster.puts.values.allSatisfy { $0 == 1 })
        cluster.replicate()
        let before = cluster.gets
        _ = try cluster.write("copy", bytes)
        bytes[0] ^= 1
        try await ada.upload(try cluster.write("a", bytes), to: "/vault/a")
        cluster.replicate()
        try await ada.download("/vault/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        #expect(cluster.gets - before < 4, "what the local file has already is not fetched")
      }
    }

    @Test("an interrupted upload goes on where it stopped", arguments: Chunking.allCases)
    func resumption(chunking: Chunking) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(5 * Limits.blockBytes)
        let (_, phrase) = try await vault(cluster)
        let source = try cluster.write("source", bytes)
        let first = try client(cluster, device: "state")
        _ = try await first.recoverKeys(phrase: phrase)
        let puts = Atomic<Int>(0)
        for node in cluster.nodes {
          node.fault.withLock {
            $0 = { isPut, _ in isPut && puts.wrappingAdd(1, ordering: .relaxed).newValue > 3 ? .error(507) : nil }
          }
        }
        let options = UploadOptions(chunking: chunking)
        #expect(await kind { try await first.upload(source, to: "/vault/a", options: options) } == .quota)
        for node in cluster.nodes { node.fault.withLock { $0 = { _, _ in nil } } }
        let (before, acknowledged) = (cluster.puts, try cluster.acknowledged())
        #expect(!acknowledged.isEmpty)
        try await client(cluster, device: "state").upload(source, to: "/vault/a", options: options)
        #expect(acknowledged.allSatisfy { cluster.puts[$0] == before[$0] }, "nothing acknowledged is sent again")
        cluster.replicate()
        try await first.download("/vault/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
      }
    }

    @Test("a new device opens everything with the phrase, and nothing without it")
    func recovery() async throws {
      try await withCluster { cluster in
        let (ada, phrase) = try await vault(cluster)
        try await ada.upload(try cluster.write("a", Array(Self.secretText.utf8)), to: "/vault/a")
        cluster.replicate()
        let lap = try client(cluster, device: "lap")
        #expect(await kind { _ = try await lap.entries(in: "/vault") } == .noKey)
        #expect(await kind { try await lap.upload(try cluster.write("b", [1]), to: "/vault/b") } == .noKey)
        #expect(await kind { try await lap.download("/vault/a", to: cluster.folder.path("copy")) } == .noKey)
        let locked = try await lap.entries(in: "/", recursive: true).entries
        #expect(locked.map(\.locked) == [nil, true] && locked[0].path == "/vault")
        #expect(await kind { _ = try await lap.recoverKeys(phrase: RecoveryPhrase().text) } == .invalidArgument)
        #expect(try await lap.keys()?.isOnThisDevice == false)
        #expect(try await lap.recoverKeys(phrase: phrase).isOnThisDevice == true)
        try await lap.download("/vault/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == Array(Self.secretText.utf8))
        let kept = try Directory.list(cluster.folder.path("lap/keys"))
        for name in kept {
          #expect(
            try #require(try Directory.attributes(cluster.folder.path("lap/keys/") + name)).mode & 0o077 == 0 || name.hasSuffix(".lock"))
        }
        try await lap.forgetKeys()
        #expect(await kind { _ = try await lap.entries(in: "/vault") } == .noKey)
      }
    }

    @Test("a member opens what the key was wrapped for; a public key that changed is refused until it is accepted")
    func sharing() async throws {
      try await withCluster { cluster in
        let (ada, _) = try await vault(cluster)
        try await ada.upload(try cluster.write("a", Array(Self.secretText.utf8)), to: "/vault/a")
        cluster.replicate()
        #expect(await kind { try await ada.share("/vault", with: "bob", role: "write") } == .noKey)
        let bob = try client(cluster, "bob", device: "his")
        let first = try await bob.createKeys()
        #expect(await kind { _ = try await bob.entries(in: "/vault") } == .noKey, "nobody gave him the key yet")
        let grant = try await ada.share("/vault", with: "bob", role: "write")
        #expect(grant.fingerprint == first.status.fingerprint)
        #expect(await kind { try await ada.share("/vault/a", with: "bob", role: "read") } == .encryption)
        let fresh = try client(cluster, "bob", device: "his")
        #expect(try await fresh.entries(in: "/vault").entries.map(\.path) == ["/vault/a"])
        try await fresh.download("/vault/a", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == Array(Self.secretText.utf8))
        let second = try await bob.createKeys(replacing: true)
        #expect(await kind { try await ada.share("/vault", with: "bob", role: "write") } == .keyChanged)
        let accepted = try await ada.share("/vault", with: "bob", role: "write", acceptNewKey: true)
        #expect(accepted.fingerprint == second.status.fingerprint && accepted.fingerprint != grant.fingerprint)
      }
    }

    // MARK: A cluster that lies

    @Test("a cluster that no longer says that a folder is encrypted gets an error and no plain byte or name", arguments: [true, false])
    func forgotten(isRemembered: Bool) async throws {
      try await withCluster { cluster in
        let (ada, _) = try await vault(cluster)
        try await ada.upload(try cluster.write("a", [1]), to: "/vault/a")
        let before = seen(cluster)
        cluster.gateway.state.withLock { $0.keys.lie = .everything }
        // Another run of the program, on this device and on one that has never seen the folder.
        let next = try client(cluster, device: isRemembered ? "desk" : "new")
        let source = try cluster.write("treasure.txt", Array(Self.secretText.utf8))
        if isRemembered {
          #expect(await kind { try await next.upload(source, to: "/vault/treasure.txt") } == .encryption)
          #expect(await kind { _ = try await next.put([source], to: "/vault", recursive: true) } == .encryption)
          #expect(await kind { try await next.makeFolder("/vault/treasure") } == .encryption)
          #expect(await kind { try await next.makeSymlink("/vault/l", target: "treasure") } == .encryption)
          #expect(await kind { try await next.copy("/vault/a", to: "/vault/treasure") } == .encryption)
          #expect(seen(cluster) == before)
          try await next.forgetEncryptedFolder("/vault")
        }
        // Who never knew, or was told to forget, cannot know: this is what remembering is for.
        try await next.upload(source, to: "/vault/treasure.txt")
        #expect(seen(cluster).contains("treasure"))
      }
    }

    @Test("a cluster that names another user for a token that the device knows does not make it forget")
    func otherUser() async throws {
      try await withCluster { cluster in
        _ = try await vault(cluster)
        cluster.gateway.state.withLock { $0.keys.lie = .everything }
        cluster.gateway.fault.withLock {
          $0 = { method, path in
            path == "/v1/me" ? .json(UserInfo(id: UserID(high: 9, low: 9), name: "somebody-else", device: nil)) : nil
          }
        }
        let source = try cluster.write("treasure.txt", Array(Self.secretText.utf8))
        #expect(await kind { try await client(cluster).upload(source, to: "/vault/treasure.txt") } == .encryption)
        #expect(!seen(cluster).contains("treasure"))
      }
    }

    @Test("plain things in an encrypted folder are refused, read or written; a withheld key harms no device that has it")
    func unmarked() async throws {
      try await withCluster { cluster in
        let (ada, _) = try await vault(cluster)
        try await ada.upload(try cluster.write("a", [1]), to: "/vault/a")
        cluster.replicate()
        cluster.gateway.state.withLock { $0.keys.lie = .marks }
        #expect(await kind { _ = try await ada.entries(in: "/vault") } == .encryption)
        #expect(await kind { try await ada.download("/vault/a", to: cluster.folder.path("copy")) } == .encryption)
        #expect(await kind { _ = try await ada.entry(at: "/vault/a") } == .encryption)
        cluster.gateway.state.withLock { $0.keys.lie = .keys }
        let next = try client(cluster)
        #expect(try await next.entries(in: "/vault").entries.map(\.name) == ["a"])
        try await next.download("/vault/a", to: cluster.folder.path("copy"))
      }
    }

    @Test("a version that was put together of the folder's own blocks is refused before a byte of it is handed out")
    func assembled() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let (ada, _) = try await vault(cluster)
        let bytes = random.bytes(3 * SealedForm.pieceBytes)
        try await ada.upload(try cluster.write("a", bytes), to: "/vault/a")
        cluster.replicate()
        // Two blocks change places, or the last one goes: with size and content hash that fit.
        for change in [{ ($0 as [BlockRef]).reversed() }, { Array(($0 as [BlockRef]).dropLast()) }] as [([BlockRef]) -> [BlockRef]] {
          let honest = cluster.gateway.state.withLock { state in
            let honest = state.versions
            for (id, versions) in honest {
              state.versions[id] = versions.map { version in
                var version = version
                version.blocks = change(version.blocks)
                var hasher = SHA256Hasher()
                for block in version.blocks { hasher.update(block.id.bytes) }
                version.entry.contentHash = BlockID(words: hasher.finalize()).hex
                version.entry.size = version.blocks.reduce(0) { $0 + Int64($1.size) }
                return version
              }
            }
            return honest
          }
          let got = Mutex(0)
          #expect(await kind { try await ada.read("/vault/a") { bytes in got.withLock { $0 += bytes.count } } } == .corrupted)
          #expect(got.withLock { $0 } == 0)
          #expect(await kind { try await ada.download("/vault/a", to: cluster.folder.path("copy")) } == .corrupted)
          cluster.gateway.state.withLock { $0.versions = honest }
        }
        try await ada.download("/vault/a", to: cluster.folder.path("copy"))
      }
    }

    @Test("nothing plain is told of what would pass the border")
    func border() async throws {
      try await withCluster { cluster in
        let (ada, _) = try await vault(cluster)
        try await ada.upload(try cluster.write("a", [1]), to: "/vault/treasure.txt")
        try await ada.upload(try cluster.write("a", [1]), to: "/docs/b")
        let before = seen(cluster)
        for (source, target) in [("/vault/treasure.txt", "/docs"), ("/docs/b", "/vault/b"), ("/vault", "/vault/inner")] {
          #expect(await kind { try await ada.copy(source, to: target) } == .encryption, "\(source) to \(target)")
          #expect(await kind { try await ada.move(source, to: target) } == .encryption, "\(source) to \(target)")
        }
        #expect(await kind { _ = try await ada.makeEncryptedFolder("/vault/inner") } == .encryption)
        #expect(seen(cluster) == before)
      }
    }
  }
}
