import BlockModel
import CairnClient
import Glibc
import Platform
import ServiceAPI
import Synchronization
import TestSupport
import Testing

extension ClientTests {
  @Suite("Blocks that are known without reading them")
  struct KnownBlocksTests {
    private static func pieces(_ bytes: [UInt8]) -> [BlockID] {
      stride(from: 0, to: bytes.count, by: Limits.blockBytes).compactMap { start in
        BlockID(bytes: SHA256Hasher.hash(Array(bytes[start..<min(start + Limits.blockBytes, bytes.count)])))
      }
    }

    private static func contentHash(_ pieces: [BlockID]) -> String { HexDigits.encode(SHA256Hasher.hash(pieces.flatMap(\.bytes))) }

    /// - Parameter bytes: what the file at `path` is said to hold.
    private func known(_ path: String, holding bytes: [UInt8]) -> KnownContent {
      var status = stat()
      #expect(stat(path, &status) == 0)
      func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec) }
      let pieces = Self.pieces(bytes)
      return KnownContent(
        inode: UInt64(status.st_ino), size: Int64(status.st_size), modified: nanoseconds(status.st_mtim),
        changed: nanoseconds(status.st_ctim), contentHash: Self.contentHash(pieces), pieces: pieces)
    }

    private func options(_ chunking: Chunking, _ known: KnownContent?, former: [UInt8]? = nil) -> UploadOptions {
      var options = UploadOptions(chunking: chunking)
      options.known = known
      options.formerContent = former.map { Self.contentHash(Self.pieces($0)) }
      return options
    }

    private func blocks(_ cluster: TestCluster, _ entry: Entry) throws -> [BlockRef] {
      let id = try #require(EntryID(hex: entry.id))
      return try #require(cluster.gateway.state.withLock { $0.versions[id]?.last }).blocks
    }

    enum Edit: CaseIterable {
      case none, first, middle, last, several, appended, appendedPastPiece, shortened, shortenedToBlock, inserted, replaced

      func apply(to bytes: inout [UInt8], blocks: [BlockRef], _ random: inout SeededRandom) {
        switch self {
        case .none: break
        case .first: bytes[0] ^= 1
        case .middle: bytes[bytes.count / 2] ^= 1
        case .last: bytes[bytes.count - 1] ^= 1
        case .several: for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1 }
        case .appended: bytes += random.bytes(100)
        case .appendedPastPiece: bytes += random.bytes(Limits.blockBytes + 3)
        case .shortened: bytes.removeLast(Limits.blockBytes / 2)
        case .shortenedToBlock: bytes.removeLast(blocks.suffix(2).reduce(0) { $0 + $1.size })
        case .inserted: bytes.insert(7, at: 3 * Limits.blockBytes / 2)
        case .replaced: bytes = random.bytes(bytes.count)
        }
      }
    }

    @Test(
      "a new version has the blocks that it would have if all of it was read, whatever changed", arguments: Edit.allCases,
      [Chunking.fixed, .contentDefined])
    func alike(edit: Edit, chunking: Chunking) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        // With a whole last piece and without.
        for size in [5 * Limits.blockBytes, 5 * Limits.blockBytes + 1234] {
          var bytes = random.bytes(size)
          // Where all is alike blocks end for their length.
          for place in Limits.blockBytes..<(5 * Limits.blockBytes / 2) { bytes[place] = 0 }
          let former = bytes
          let client = try cluster.client(compress: false)
          let path = try cluster.write("source", bytes)
          let first = try await client.upload(path, to: "/f\(size)", options: options(chunking, known(path, holding: bytes)))
          edit.apply(to: &bytes, blocks: try blocks(cluster, first), &random)
          _ = try cluster.write("source", bytes)
          let told = options(chunking, known(path, holding: bytes), former: former)
          let entry = try await client.upload(path, to: "/f\(size)", options: told)
          let read = try await client.upload(path, to: "/read\(size)", options: options(chunking, nil))
          #expect(try blocks(cluster, entry) == blocks(cluster, read))
          #expect(entry.contentHash == read.contentHash && entry.size == Int64(bytes.count))
          cluster.replicate()
          try await client.download("/f\(size)", to: cluster.folder.path("copy"))
          #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        }
      }
    }

    @Test(
      "what is in the cluster is not read again where its pieces are said to be unchanged",
      arguments: [Chunking.fixed, .contentDefined])
    func unread(chunking: Chunking) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(6 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        let path = try cluster.write("source", bytes)
        let first = try blocks(cluster, try await client.upload(path, to: "/f", options: options(chunking, known(path, holding: bytes))))
        // A wrong word shows whether anybody looked; nobody gives one of a file that he read.
        var changed = bytes
        changed[Limits.blockBytes / 2] ^= 1
        _ = try cluster.write("source", changed)
        let entry = try await client.upload(path, to: "/f", options: options(chunking, known(path, holding: bytes), former: bytes))
        #expect(try blocks(cluster, entry) == first)
        // The word is of the file in one state alone.
        var stale = known(path, holding: bytes)
        stale.changed += 1
        let looked = try await client.upload(path, to: "/f", options: options(chunking, stale, former: bytes))
        #expect(try blocks(cluster, looked) != first)
        #expect(looked.contentHash == Self.contentHash(Self.pieces(changed)))
      }
    }

    @Test("pieces that turn out to be wrong cost another reading and nothing else")
    func wrong() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        let bytes = random.bytes(3 * Limits.blockBytes)
        let path = try cluster.write("source", bytes)
        let client = try cluster.client(compress: false)
        let others = known(path, holding: random.bytes(bytes.count))
        let entry = try await client.upload(path, to: "/f", options: options(.fixed, others))
        #expect(entry.contentHash == Self.contentHash(Self.pieces(bytes)))
        // Some that the content hash is not made of are not believed at all.
        var mixed = known(path, holding: bytes)
        mixed.pieces?.swapAt(0, 1)
        let second = try await client.upload(path, to: "/g", options: options(.fixed, mixed))
        #expect(try blocks(cluster, second) == blocks(cluster, entry))
        try await eventually { client.buffersLent == 0 }
      }
    }

    @Test("what is remembered of cuts is bounded, goes with the version it is of, and is not believed when it is damaged")
    func records() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        var bytes = random.bytes(5 * Limits.blockBytes)
        let client = try cluster.client(compress: false)
        let path = try cluster.write("source", bytes)
        let folder = cluster.folder.path("state/cuts")
        try Directory.create(folder)
        for number in 0..<300 { try AtomicFile.write(folder + "/\(number)", []) }
        let first = try await client.upload(path, to: "/f", options: options(.contentDefined, known(path, holding: bytes)))
        let record = folder + "/" + (first.contentHash ?? "")
        #expect(try Directory.list(folder).count == 256)
        var kept = try #require(try AtomicFile.read(record, limit: 1 << 20))
        kept[kept.count / 2] ^= 1
        try AtomicFile.write(record, kept)
        let former = bytes
        bytes[7] ^= 1
        _ = try cluster.write("source", bytes)
        let told = options(.contentDefined, known(path, holding: bytes), former: former)
        let entry = try await client.upload(path, to: "/f", options: told)
        cluster.replicate()
        try await client.download("/f", to: cluster.folder.path("copy"))
        #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
        let names = try Directory.list(folder)
        #expect(names.contains(entry.contentHash ?? "") && !names.contains(first.contentHash ?? ""))
      }
    }

    /// Uploads a version that is read from its start to its end, so that all nodes have it.
    private func store(_ bytes: [UInt8], as path: String, _ client: CairnClient, _ cluster: TestCluster) async throws -> Entry {
      let source = try cluster.write("source", bytes)
      let entry = try await client.upload(source, to: path, options: options(.contentDefined, nil))
      cluster.replicate()
      return entry
    }

    /// What an agent does with a version of /f: into a new file, with what it has already beside it.
    private func download(
      _ client: CairnClient, _ entry: Entry, to path: String, basis: String? = nil, holding bytes: [UInt8]? = nil
    ) async throws {
      let file = CairnClient.SyncDownload(
        entry: try #require(EntryID(hex: entry.id)), size: entry.size, localPath: path, basis: basis,
        basisContent: bytes.map { Self.contentHash(Self.pieces($0)) })
      _ = try #require(await client.syncDownload([file]).first).get()
    }

    private func record(_ cluster: TestCluster, _ entry: Entry) throws -> [UInt8] {
      try #require(try AtomicFile.read(cluster.folder.path("state/cuts/\(entry.contentHash ?? "")"), limit: 1 << 20))
    }

    @Test(
      "a download over a version whose cuts are remembered learns of the new one what it would if it read all of it",
      arguments: Edit.allCases)
    func downloads(edit: Edit) async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        for size in [5 * Limits.blockBytes, 5 * Limits.blockBytes + 1234] {
          var bytes = random.bytes(size)
          let former = bytes
          let client = try cluster.client(compress: false)
          let first = try await store(bytes, as: "/f\(size)", client, cluster)
          func local(_ name: String) -> String { cluster.folder.path("\(name)\(size)") }
          let (old, new, plain) = (local("old"), local("new"), local("plain"))
          try await download(client, first, to: old)
          _ = try record(cluster, first)
          edit.apply(to: &bytes, blocks: try blocks(cluster, first), &random)
          let second = try await store(bytes, as: "/f\(size)", client, cluster)
          try await download(client, second, to: new, basis: old, holding: former)
          #expect(try cluster.read(new) == bytes)
          let learned = try record(cluster, second)
          try await download(client, second, to: plain)
          #expect(try record(cluster, second) == learned)
        }
      }
    }

    @Test("a large file, which is written past the page cache, comes whole over its former version, wherever its blocks begin")
    func large() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        var bytes = random.bytes(17 * Limits.blockBytes + 4099)
        let former = bytes
        let client = try cluster.client(compress: false)
        let first = try await store(bytes, as: "/f", client, cluster)
        let old = cluster.folder.path("old")
        try await download(client, first, to: old)
        for place in [0, 5 * Limits.blockBytes, bytes.count - 1] { bytes[place] ^= 1 }
        let second = try await store(bytes, as: "/f", client, cluster)
        for node in cluster.nodes { node.state.withLock { $0.gets = [:] } }
        try await download(client, second, to: cluster.folder.path("new"), basis: old, holding: former)
        #expect(try cluster.read(cluster.folder.path("new")) == bytes)
        #expect(cluster.gets <= 6)
      }
    }

    @Test("a content hash that the bytes do not have is found out also where most pieces are known; a wrong record costs time alone")
    func claims() async throws {
      try await withCluster { cluster in
        var random = Seeds.random()
        var bytes = random.bytes(5 * Limits.blockBytes)
        let former = bytes
        let client = try cluster.client(compress: false)
        let first = try await store(bytes, as: "/f", client, cluster)
        let old = cluster.folder.path("old")
        try await download(client, first, to: old)
        let firstRecord = try record(cluster, first)
        bytes[2 * Limits.blockBytes] ^= 1
        let second = try await store(bytes, as: "/f", client, cluster)
        // The pieces of the one with the blocks of the other, so that all seems to be the same.
        var wrong = Array(firstRecord.prefix(4 + 5 * BlockID.byteCount))
        for block in try blocks(cluster, second) {
          wrong += block.id.bytes + (0..<4).map { UInt8(truncatingIfNeeded: block.size >> (8 * $0)) }
        }
        try AtomicFile.write(cluster.folder.path("state/cuts/\(first.contentHash ?? "")"), wrong + SHA256Hasher.hash(wrong))
        try await download(client, second, to: cluster.folder.path("new"), basis: old, holding: former)
        #expect(try cluster.read(cluster.folder.path("new")) == bytes)
        // A liar's: the cluster cannot tell.
        bytes[3 * Limits.blockBytes] ^= 1
        let source = try cluster.write("source", bytes)
        var lie = known(source, holding: bytes)
        (lie.contentHash, lie.pieces) = (String(repeating: "7", count: 64), nil)
        let third = try await client.upload(source, to: "/f", options: options(.contentDefined, lie))
        cluster.replicate()
        var now = bytes
        now[3 * Limits.blockBytes] ^= 1
        let new = cluster.folder.path("new")
        do {
          try await download(client, third, to: cluster.folder.path("third"), basis: new, holding: now)
          Issue.record("the lie was believed")
        } catch { #expect((error as? CairnError)?.kind == .corrupted) }
      }
    }
  }
}
