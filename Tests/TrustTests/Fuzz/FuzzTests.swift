import BlockModel
import BlockStore
import ClusterLogic
import Credentials
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

/// Plays mutated inputs at everything that reads what comes from outside. A crash is a failure by itself; what is accepted has to be what
/// it says, which mostly means that writing it gives the input again.
@Suite("Fuzzing")
struct FuzzTests {
  private static let node = NodeID("node-1")!
  private static let block = BlockID(words: (1, 2, 3, 4))
  private static let upload = UploadID(high: 5, low: 6)

  private func play(
    _ name: String, _ samples: [[UInt8]], location: SourceLocation = #_sourceLocation, _ harness: ([UInt8]) -> Bool
  ) {
    let seed = Seeds.next(name)
    for sample in samples { #expect(harness(sample), "\(name): a good sample", sourceLocation: location) }
    for input in FuzzCorpus.inputs(name) { #expect(harness(input), "\(name): \(input)", sourceLocation: location) }
    var mutator = Mutator(samples: samples, random: SeededRandom(seed: seed))
    for round in 0..<FuzzRounds.count {
      let input = mutator.next()
      guard harness(input) else {
        let hex = HexDigits.encode(input)
        Issue.record("\(name), seed \(seed), round \(round): \(hex)", sourceLocation: location)
        return
      }
    }
  }

  private func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

  @Test("a capability that is read is written back as it was, and no other than the signed one verifies")
  func capabilities() throws {
    let secret = ClusterSecret.generate()
    let signer = CapabilitySigner(secret: secret)
    let verifier = CapabilityVerifier(keys: secret.nodeKeys(Self.node, cluster: ClusterID(high: 1, low: 1)))
    let samples = CapabilityOperation.allCases.map { operation in
      var capability = Capability(
        operation: operation, block: Self.block, node: Self.node, size: 3, layoutVersion: 7, gcEpoch: 2, upload: Self.upload,
        writeQuorum: 2, forwards: [], expires: 4_000_000_000, keyEpoch: 1)
      if operation == .put {
        let replica = capability.replica(at: NodeID("node-2")!)
        capability.forwards = [Capability.Forward(node: replica.node, signature: signer.sign(replica))]
      }
      return bytes(signer.url(capability, address: ""))
    }
    let genuine = Set(samples)
    play("capability", samples) { input in
      guard let target = try? RequestTarget(parsing: input), let block = target.components.last else { return true }
      let parsed = try? Capability.parse(block: block, parameters: target.parameters, of: target.text)
      guard let parsed else { return true }
      // The order of parameters is free, so what is read is compared, not the text.
      let written = bytes(parsed.capability.pathAndQuery(signature: HexDigits.encode(parsed.signature)))
      guard let again = try? RequestTarget(parsing: written), let name = again.components.last,
        let second = try? Capability.parse(block: name, parameters: again.parameters, of: again.text),
        second.capability == parsed.capability, second.signature == parsed.signature
      else { return false }
      let verified = try? verifier.verify(
        block: block, parameters: target.parameters, of: target.text, operations: CapabilityOperation.allCases, now: WallTime(seconds: 1))
      return verified == nil || genuine.contains(written)
    }
  }

  @Test("a receipt that is read is written back as it was, and no other than the signed one verifies")
  func receipts() {
    let secret = ClusterSecret.generate()
    let cluster = ClusterID(high: 1, low: 1)
    let receipt = Receipt(
      cluster: cluster, upload: Self.upload, block: Self.block, plainBytes: 300, storedBytes: 200, node: Self.node,
      disk: DiskID(high: 7, low: 8), layoutVersion: 1, gcEpoch: 2, durability: .strict, verification: .hashed, keyEpoch: 1)
    let text = bytes(ReceiptSigner(keys: secret.nodeKeys(Self.node, cluster: cluster)).sign(receipt))
    let verifier = ReceiptVerifier(root: secret.receiptRoot, cluster: cluster)
    play("receipt", [text]) { input in
      let given = String(decoding: input, as: UTF8.self)
      if (try? verifier.verify(given)) != nil { return input == text }
      guard let (parsed, signature) = try? Receipt.parse(given) else { return input != text }
      return Receipt.text(signedBytes: parsed.signedBytes, signature: signature) == given
    }
  }

  @Test("a batch that is read lies within its bytes, and writing its items gives it again")
  func batches() {
    var body = BlockBatch.begin()
    for size in [0, 5, 300] { BlockBatch.append(to: &body, text: "/v1/blocks/x?y=z", data: Array(repeating: 7, count: size)) }
    play("batch", [body, BlockBatch.begin()]) { input in
      guard let items = try? BlockBatch.parse(input) else { return true }
      var again = BlockBatch.begin()
      for item in items {
        guard item.data.lowerBound >= 0, item.data.upperBound <= input.count else { return false }
        BlockBatch.append(to: &again, status: item.status, encoding: item.encoding, text: item.text, data: Array(input[item.data]))
      }
      return again == input
    }
  }

  @Test("a record's header that is read is written back as it was")
  func records() {
    let header = RecordHeader(
      block: Self.block, plainBytes: 300, storedBytes: 200, encoding: .zstd, sealing: .encrypted, keyEpoch: 3,
      wrappedKey: Array(repeating: 9, count: 40))
    func encoded(_ header: RecordHeader) -> [UInt8] {
      var bytes = [UInt8](repeating: 0, count: RecordLayout.headerBytes)
      bytes.withUnsafeMutableBytes { header.encode(into: $0) }
      return bytes
    }
    play("record", [encoded(header)]) { input in
      guard input.count >= RecordLayout.headerBytes else { return true }
      // With a checksum that fits, or nearly nothing would get past it.
      var input = Array(input.prefix(RecordLayout.headerBytes))
      let sum = input.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[..<124])) }
      for index in 0..<4 { input[124 + index] = UInt8(truncatingIfNeeded: sum >> (8 * UInt32(index))) }
      guard let read = input.withUnsafeBytes({ try? RecordHeader(decoding: $0) }) else { return true }
      return read.fault == nil && encoded(read) == input
    }
  }

  @Test("a request's target that is read has its parts within its bytes")
  func targets() {
    let samples = ["/", "/v1/files/ab/raw?version=3&download", "/l/tok%20en/raw?path=%2Fa%2Fb", "/v1/blocks/x?a=1&a=2&b="].map(bytes)
    play("target", samples) { input in
      guard let target = try? RequestTarget(parsing: input) else { return true }
      let all = target.components + target.parameters.flatMap { [$0.name, $0.value] }
      return target.components.count <= RequestTarget.componentLimit && target.parameters.count <= RequestTarget.queryItemLimit
        && all.allSatisfy { $0.lowerBound >= 0 && $0.upperBound <= target.text.count }
    }
    play("range", ["bytes=0-1", "bytes=5-", "bytes=-5", "bytes=0-0,2-3"].map(bytes)) { input in
      _ = HTTPRange.parse(String(decoding: input, as: UTF8.self), size: 10).contentRange(size: 10)
      return true
    }
  }

  @Test("a document that is read reads the same after it was written, and deep ones are refused")
  func documents() throws {
    let upload = UploadRequest(
      path: "/a", size: 5, contentHash: String(repeating: "0", count: 64), blocks: [BlockRef(id: Self.block, size: 5)], baseVersion: 3,
      onConflict: .copy, mimeType: "text/plain", modifiedAt: FileTime(nanoseconds: 5), executable: true, chunker: .fixed, parents: true)
    let changes = ChangeSetRequest(changes: [
      ChangeSetItem(.delete, id: EntryID(high: 1, low: 2), recursive: true), ChangeSetItem(.complete, uploadID: Self.upload),
    ])
    func harness<Document: Codable & Equatable>(_ type: Document.Type) -> ([UInt8]) -> Bool {
      { input in
        guard let read = try? JSONCoding.decode(type, from: input, maxDepth: 16) else { return true }
        guard let written = try? JSONCoding.encode(read) else { return false }
        return (try? JSONCoding.decode(type, from: written)) == read
      }
    }
    play("upload-document", [try JSONCoding.encode(upload)], harness(UploadRequest.self))
    play("change-set-document", [try JSONCoding.encode(changes)], harness(ChangeSetRequest.self))
    play("node-command", [try JSONCoding.encode(NodeCommand.exist(blocks: [Self.block]))], harness(NodeCommand.self))
    for depth in [17, 1000, 100_000] {
      let deep = Array(repeating: UInt8(ascii: "["), count: depth) + Array(repeating: UInt8(ascii: "]"), count: depth)
      #expect(throws: JSONError.self) { try JSONCoding.decode([String].self, from: deep, maxDepth: 16) }
    }
  }

  @Test("paths, times, ids and base 64 that are read read the same after they were written")
  func texts() {
    play("path", ["/", "/a/b", "/Shared with me/é", "/a\u{301}/b.txt"].map(bytes)) { input in
      guard let path = try? RemotePath(String(decoding: input, as: UTF8.self)) else { return true }
      return (try? RemotePath(path.text))?.text == path.text && path.text.hasPrefix("/") && !path.text.utf8.contains(0)
    }
    play("time", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456+01:00", "0001-01-01T00:00:00Z"].map(bytes)) { input in
      guard let time = WallTime(rfc3339: String(decoding: input, as: UTF8.self)) else { return true }
      // Offsets can lead out of the years that the form can write; those are moved to its ends.
      let written = WallTime(rfc3339: time.rfc3339)
      return written == time || time.rfc3339.hasPrefix("0000") || time.rfc3339.hasPrefix("9999")
    }
    play("base64", ["", "AA", "AAAA", "_-_-"].map(bytes)) { input in
      let text = String(decoding: input, as: UTF8.self)
      guard let read = Base64URL.decode(text) else { return true }
      return Base64URL.encode(read) == text
    }
    play("id", [bytes(Self.block.hex), bytes(Self.upload.hex)]) { input in
      let text = String(decoding: input, as: UTF8.self)
      let (block, upload) = (BlockID(hex: text), UploadID(hex: text))
      return (block == nil || block?.hex == text) && (upload == nil || upload?.hex == text)
    }
  }

  @Test("ignore files never take long, whatever they say")
  func ignoreFiles() {
    let samples = ["*.o\n!keep.o\n/build/\n**/cache/**\n", "a**b**c**d**e\n[a-z]*[!0-9]\n\\#x\n", "*a*a*a*a*a*a*a*a*a*b\n"].map(bytes)
    let paths = [
      ["a"], ["build", "x.o"], ["cache", "deep", "file"], [String(repeating: "a", count: 60)], Array(repeating: "a", count: 12),
    ]
    let clock = ContinuousClock()
    var longest = Duration.zero
    play("ignore", samples) { input in
      let began = clock.now
      let rules = IgnoreRules(String(decoding: input, as: UTF8.self))
      for path in paths { for isFolder in [false, true] { _ = rules.verdict(path[...], isFolder: isFolder) } }
      longest = max(longest, clock.now - began)
      return true
    }
    // Matching that goes back and forth without a bound takes minutes for these; a slow machine takes milliseconds.
    #expect(longest < .seconds(20))
  }

  @Test("a cursor that was tampered with is refused or read, and never breaks anything")
  func cursors() async throws {
    try await withWorld { world in
      for _ in 0..<5 { _ = try await world.file() }
      let folder = try await world.asOwner(UserOperations.Stat(entry: .path("/shared")))
      let page = try await world.asOwner(UserOperations.ListFolder(entry: .id(folder.id), recursive: false, limit: 2, cursor: nil))
      let changes = try await world.asOwner(UserOperations.GetChanges(cursor: nil, limit: 2))
      let audit = try await world.perform(OperatorOperations.GetAuditLog(actor: nil, limit: 2, cursor: nil))
      let samples = [page.next, changes.cursor, audit.next].compactMap { $0.map(bytes) }
      #expect(samples.count == 3)
      var mutator = Mutator(samples: samples, random: Seeds.random())
      for _ in 0..<(FuzzRounds.count / 10) {
        let cursor = String(decoding: mutator.next(), as: UTF8.self)
        for question in 0..<3 {
          do {
            switch question {
            case 0: _ = try await world.asOwner(UserOperations.ListFolder(entry: .id(folder.id), recursive: true, limit: 2, cursor: cursor))
            case 1: _ = try await world.asOwner(UserOperations.GetChanges(cursor: cursor, limit: 2))
            default: _ = try await world.perform(OperatorOperations.GetAuditLog(actor: nil, limit: 2, cursor: cursor))
            }
          } catch {
            let kind = (error as? Problem)?.kind
            #expect(kind == .invalidCursor, "\(cursor): \(error)")
          }
        }
      }
    }
  }
}
