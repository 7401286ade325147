internal import BlockModel
internal import BlockStore
internal import ClusterLogic
internal import Credentials
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// A PUT that may come in: its capability is genuine and its declared lengths fit.
struct AdmittedPut: Sendable {
  var capability: Capability
  var encoding: ContentEncoding
  /// Bytes of the body: the stored payload of a `put`, the wire record of a `replicate`.
  var bodyBytes: Int
  var requestID: String
}

/// Decides over requests from their heads alone, in microseconds, so that a refusal costs no buffer.
///
/// What must hold: nothing that a request says is acted on before its signature was checked.
struct Admission: Sendable {
  let node: NodeID
  let verifier: CapabilityVerifier
  let knowledge: ClusterKnowledge
  let disks: DiskSet
  let seals: PartitionSeals
  let time: any TimeSource
  /// False until the node can seal records: with encryption on it needs a data key.
  let isReady: @Sendable () -> Bool
  let isStopping: @Sendable () -> Bool

  func capability(
    block: String, query: [(name: String, value: String)], operations: [CapabilityOperation]
  ) throws(Problem) -> Capability {
    try heard { () throws(CredentialError) in
      try verifier.verify(block: block, query: query, operations: operations, now: time.wall())
    }
  }

  /// The capability of a request whose path ends in the block's name; read from the target's bytes, since every request brings one.
  func capability(of head: HTTPRequestHead, operations: [CapabilityOperation]) throws(Problem) -> Capability {
    let capability = try capability(of: head.target, operations: operations)
    try Admission.check(head.peer, for: capability.operation)
    return capability
  }

  func capability(of target: RequestTarget, operations: [CapabilityOperation]) throws(Problem) -> Capability {
    try heard { () throws(CredentialError) in
      try verifier.verify(
        block: target.components.last ?? 0..<0, parameters: target.parameters, of: target.text, operations: operations, now: time.wall())
    }
  }

  /// With mutual TLS what daemons ask of each other takes a daemon's certificate besides the signature, so a signed URL that leaks gives
  /// a client nothing that only daemons do.
  static func check(_ peer: PeerIdentity, for operation: CapabilityOperation) throws(Problem) {
    let kinds: [String]
    switch operation {
    case .put, .get: return
    case .replicate, .record: kinds = ["node"]
    case .control: kinds = ["coordinator", "node"]
    }
    guard peer.isOne(of: kinds) else {
      throw Problem(.forbidden, "Not allowed: this takes the certificate of a \(kinds.joined(separator: " or ")) of this cluster.")
    }
  }

  /// Takes note of the layout that a genuine capability was made under.
  private func heard(_ verify: () throws(CredentialError) -> Capability) throws(Problem) -> Capability {
    do throws(CredentialError) {
      let capability = try verify()
      knowledge.heard(layoutVersion: capability.layoutVersion)
      return capability
    } catch { throw Problem(error) }
  }

  func put(_ head: HTTPRequestHead) throws(Problem) -> AdmittedPut {
    let capability = try capability(of: head, operations: [.put, .replicate])
    return try put(
      capability, encoding: Admission.encoding(head.headers["Content-Encoding"]), bodyBytes: head.contentLength ?? 0,
      requestID: head.requestID)
  }

  func put(
    _ capability: Capability, encoding: ContentEncoding, bodyBytes: Int, requestID: String
  ) throws(Problem) -> AdmittedPut {
    if capability.operation == .replicate {
      try checkRecord(bodyBytes, capability)
    } else {
      try checkBlock(bodyBytes, encoding, capability)
    }
    try checkLayout(capability)
    guard !isStopping() else { throw .stopping }
    guard disks.hasRoom(forBytes: RecordLayout.recordBytes(storedBytes: capability.size)) || disks.status(of: capability.block) != nil
    else {
      throw Problem(.full, "This node has no room for the block; ask for a URL at another node.")
    }
    guard isReady() else {
      throw Problem(.unavailable, "This node has no data key of the cluster yet; take another replica or try again.", retryAfter: 1)
    }
    return AdmittedPut(capability: capability, encoding: encoding, bodyBytes: bodyBytes, requestID: requestID)
  }

  static func encoding(_ header: String?) throws(Problem) -> ContentEncoding {
    switch header?.lowercased() {
    case nil, "", "identity": return .plain
    case "zstd": return .zstd
    default: throw Problem(.malformed, "The only Content-Encoding that a block may have is zstd.")
    }
  }

  private func checkBlock(_ bytes: Int, _ encoding: ContentEncoding, _ capability: Capability) throws(Problem) {
    guard bytes <= Limits.blockBytes else {
      throw Problem(.tooLarge, "A block has at most \(Limits.blockBytes) bytes, and this body \(bytes).")
    }
    switch encoding {
    case .plain:
      guard bytes == capability.size else {
        throw Problem(
          .conflict, "The body has \(bytes) bytes, and this URL is signed for a block of \(capability.size): send exactly that block.")
      }
    case .zstd:
      guard bytes > 0, bytes < capability.size else {
        throw Problem(
          .conflict,
          "The compressed body has \(bytes) bytes, and the block \(capability.size): send the block plain when it does not shrink.")
      }
    }
  }

  private func checkRecord(_ bytes: Int, _ capability: Capability) throws(Problem) {
    let longest = RecordLayout.wireRange(storedBytes: capability.size).count
    guard bytes <= longest, bytes >= RecordLayout.wireRange(storedBytes: 0).count else {
      throw Problem(.conflict, "The body has \(bytes) bytes, and the record of a block of \(capability.size) at most \(longest).")
    }
  }

  private func checkLayout(_ capability: Capability) throws(Problem) {
    do throws(LayoutFence.Refusal) {
      try LayoutFence.checkWrite(
        layoutVersion: capability.layoutVersion, isFromClient: capability.operation == .put,
        seal: partition(of: capability.block).map { seals.seal(of: $0) }, standing: knowledge.standing(of: node, towards: capability.block))
    } catch { throw Problem(error, layoutVersion: capability.layoutVersion) }
  }

  /// The block's partition; nil before the first view, when nothing is stored either.
  func partition(of block: BlockID) -> Int? { knowledge.partitionBits.map { block.partition(bits: $0) } }

  /// Runs a write, seen by seals from its beginning to its end.
  func writing<Answer>(_ capability: Capability, _ body: () async throws(Problem) -> Answer) async throws(Problem) -> Answer {
    let visit = try enter(capability)
    defer { leave(visit) }
    return try await body()
  }

  /// A write that seals see, from `enter` to `leave`; of no partition before the first view.
  struct Visit: Sendable {
    fileprivate let partition: Int?
    fileprivate let layoutVersion: UInt64
  }

  /// Lets a write in; `leave` has to follow.
  func enter(_ capability: Capability) throws(Problem) -> Visit {
    let visit = Visit(partition: partition(of: capability.block), layoutVersion: capability.layoutVersion)
    if let partition = visit.partition { try seals.enter(partition, layoutVersion: visit.layoutVersion) }
    return visit
  }

  func leave(_ visit: Visit) {
    if let partition = visit.partition { seals.leave(partition, layoutVersion: visit.layoutVersion) }
  }

  /// What to answer a client whose block is not here, because the node gave it up under a newer layout than the URL's: 409, so that it
  /// asks for a fresh URL. Nil when the block just is not here.
  func movedAway(_ head: HTTPRequestHead) -> Problem? {
    guard let capability = try? capability(of: head, operations: [.get]),
      let partition = partition(of: capability.block)
    else { return nil }
    let seal = seals.seal(of: partition)
    return capability.layoutVersion < seal ? Problem.sealed(layoutVersion: capability.layoutVersion, seal: seal) : nil
  }
}
