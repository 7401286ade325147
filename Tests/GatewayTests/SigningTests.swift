import BlockModel
import ClusterLogic
import Credentials
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

private let lifetime = Duration.seconds(1800)

private func signer(_ view: ClusterView, zone: ZoneID? = nil) -> TransferSigner {
  TransferSigner(
    signer: CapabilitySigner(root: Samples.secret.capabilityRoot), planned: PlannedView(view), zone: zone, now: Samples.moment,
    lifetime: lifetime)
}

/// Reads a signed URL as the node would that it leads to.
private func verified(
  _ target: SignedTarget, _ operation: CapabilityOperation, at moment: WallTime = Samples.moment
) throws -> Capability {
  let mark = try #require(target.url.firstIndex(of: "?"))
  let path = target.url[..<mark].split(separator: "/")
  let query = target.url[target.url.index(after: mark)...].split(separator: "&").map { item in
    let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    return (name: String(pair[0]), value: String(pair[1]))
  }
  let verifier = CapabilityVerifier(keys: Samples.secret.nodeKeys(target.node, cluster: Samples.cluster))
  return try verifier.verify(block: String(path[path.count - 1]), query: query, operations: [operation], now: moment)
}

@Suite("Signing")
struct SigningTests {
  @Test("a missing block gets three URLs with different first nodes, each with the other replicas and two spares")
  func candidates() throws {
    let view = Samples.view()
    for seed in 0..<50 {
      let block = Samples.block(UInt64(seed))
      let replicas = Set(view.layout.replicas(of: block))
      let targets = signer(view).put(block, size: 77, upload: Samples.uploadID)
      #expect(targets.count == 3)
      #expect(Set(targets.map(\.node)) == replicas)
      for target in targets {
        let capability = try verified(target, .put)
        #expect(target.url.hasPrefix("http://127.0.0.1:700"))
        #expect(capability.block == block && capability.size == 77 && capability.upload == Samples.uploadID)
        #expect(capability.layoutVersion == 3 && capability.gcEpoch == 11 && capability.writeQuorum == 2)
        #expect(capability.expires == Samples.moment.seconds + 1800)
        let forwards = capability.forwards.map(\.node)
        #expect(Set(forwards.prefix(2)) == replicas.subtracting([target.node]))
        #expect(forwards.count == 4 && !forwards.contains(target.node) && Set(forwards).count == 4)
      }
    }
  }

  @Test("each signature of a forward list is the replica's own capability")
  func forwards() throws {
    let target = signer(Samples.view()).put(Samples.block(1), size: 5, upload: Samples.uploadID)[0]
    let capability = try verified(target, .put)
    let check = CapabilitySigner(root: Samples.secret.capabilityRoot)
    for forward in capability.forwards { #expect(check.sign(capability.replica(at: forward.node)) == forward.signature) }
  }

  @Test("a node that is down is no first node and is made up for by a spare", arguments: [NodeState.suspect, .out])
  func down(_ state: NodeState) throws {
    let view = Samples.view(states: [2: state])
    for seed in 0..<50 {
      for target in signer(view).put(Samples.block(UInt64(seed)), size: 5, upload: Samples.uploadID) {
        #expect(target.node != Samples.node(2))
        let forwards = try verified(target, .put).forwards.map(\.node)
        let up = forwards.filter { $0 != Samples.node(2) }
        #expect(up.count >= 3, "with itself at least R copies and one more are possible")
        if state == .out { #expect(!forwards.contains(Samples.node(2))) }
      }
    }
  }

  @Test("with all nodes of two zones down there are still URLs, and with all down none that would fail for certain")
  func mostDown() {
    let few = Samples.view(states: [1: .out, 2: .out, 4: .out, 5: .out])
    #expect(!signer(few).put(Samples.block(3), size: 5, upload: Samples.uploadID).isEmpty)
    let none = Samples.view(states: [1: .out, 2: .out, 3: .out, 4: .out, 5: .out, 6: .out])
    #expect(signer(none).put(Samples.block(3), size: 5, upload: Samples.uploadID).isEmpty)
    #expect(signer(none).get(Samples.block(3), size: 5, strays: []).isEmpty)
  }

  @Test("reads go to live replicas of the near zone first, then others, then strays, suspects last")
  func reads() throws {
    let block = Samples.block(8)
    let healthy = Samples.view()
    let replicas = healthy.layout.replicas(of: block)
    let stray = try #require((1...6).map(Samples.node).first { !replicas.contains($0) })
    for zone in ["a", "b", "c"] {
      let targets = signer(healthy, zone: ZoneID(zone)).get(block, size: 5, strays: [stray])
      #expect(targets.first?.zone.text == zone)
      #expect(targets.map(\.node).last == stray)
      #expect(Set(targets.map(\.node)) == Set(replicas + [stray]))
      for target in targets { #expect(try verified(target, .get).forwards.isEmpty) }
    }
    let number = try #require((1...6).first { Samples.node($0) == replicas[0] })
    let targets = signer(Samples.view(states: [number: .suspect])).get(block, size: 5, strays: [stray])
    #expect(targets.last?.node == replicas[0])
  }

  @Test("a URL fits its node, its operation and its time only")
  func bound() throws {
    let put = signer(Samples.view()).put(Samples.block(1), size: 5, upload: Samples.uploadID)
    #expect(throws: CredentialError.self) { try verified(put[0], .get) }
    #expect(throws: CredentialError.self) { try verified(put[0], .put, at: Samples.moment + lifetime) }
    var elsewhere = put[0]
    elsewhere.node = put[1].node
    #expect(throws: CredentialError.self) { try verified(elsewhere, .put) }
  }

  @Test("what the direct writer writes is what the documents' own form says")
  func documents() throws {
    let sign = signer(Samples.view())
    var state = sign.sign(Samples.upload(missing: 5))
    #expect(try JSONCoding.decode(UploadState.self, from: TransferDocuments.bytes(state)) == state)
    state.file = Samples.file(name: "odd \"name\" \\ \u{1F600} \u{7f}")
    state.next = "a\"b\nc"
    #expect(try JSONCoding.decode(UploadState.self, from: TransferDocuments.bytes(state)) == state)
    var plan = FakeControl.plan()
    plan.next = "n"
    let signed = sign.sign(plan)
    #expect(try JSONCoding.decode(DownloadPlan.self, from: TransferDocuments.bytes(signed)) == signed)
    let batch = BatchOpenResponse(results: [ItemResult(value: state), ItemResult(problem: Problem(.quota, "Full up.", retryAfter: 3))])
    #expect(try JSONCoding.decode(BatchOpenResponse.self, from: TransferDocuments.bytes(batch)).results[0] == batch.results[0])
    #expect(try JSONCoding.decode(BatchOpenResponse.self, from: TransferDocuments.bytes(batch)).results[1].problem?.kind == .quota)
  }

  /// `CAIRN_BENCHMARK=1 swift test -c release --filter SigningTests/rate` measures; without it, a small run keeps the code honest.
  @Test("1,000 missing blocks are signed and written")
  func rate() throws {
    let isBenchmark = Environment.value("CAIRN_BENCHMARK") != nil
    let state = Samples.upload(missing: 1000)
    let sign = signer(Samples.view())
    let clock = ContinuousClock()
    var signed = state
    let rounds = isBenchmark ? 20 : 1
    let signing = clock.measure { for _ in 0..<rounds { signed = sign.sign(state) } } / rounds
    var bytes: [UInt8] = []
    let writing = try clock.measure { for _ in 0..<rounds { bytes = try TransferDocuments.bytes(signed) } } / rounds
    let encoding = try clock.measure { _ = try JSONCoding.encode(signed) }
    print("1,000 missing blocks: signed in \(signing), written in \(writing) (\(bytes.count) bytes), by JSONEncoder in \(encoding)")
    #expect(signed.missing.allSatisfy { $0.put.count == 3 })
    if isBenchmark { #expect(signing < .milliseconds(50), "a core signs 20,000 blocks a second") }
  }
}
