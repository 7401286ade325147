import BlockModel
import Credentials
import Platform
import TestSupport
import Testing

@Suite("Receipts")
struct ReceiptTests {
  private func verifier(_ secret: ClusterSecret? = nil, cluster: ClusterID? = nil) throws -> ReceiptVerifier {
    ReceiptVerifier(root: try secret?.receiptRoot ?? Vectors.secret().receiptRoot, cluster: try cluster ?? Vectors.cluster())
  }

  private func signer() throws -> ReceiptSigner {
    ReceiptSigner(keys: try Vectors.secret().nodeKeys(try Vectors.node(), cluster: try Vectors.cluster()))
  }

  @Test("signing gives the published vector, and it verifies")
  func vector() throws {
    #expect(try signer().sign(try Vectors.receiptValue()) == Vectors.receipt)
    #expect(try verifier().verify(Vectors.receipt) == Vectors.receiptValue())
  }

  @Test("a node cannot sign for another node")
  func otherNode() throws {
    var receipt = try Vectors.receiptValue()
    receipt.node = try Vectors.node("node-2")
    let forged = try signer().sign(receipt)
    #expect { try verifier().verify(forged) } throws: { ($0 as? CredentialError)?.code == .badSignature }
  }

  @Test("a receipt of another cluster or under other keys does not count")
  func otherCluster() throws {
    #expect { try verifier(cluster: .random()).verify(Vectors.receipt) } throws: { ($0 as? CredentialError)?.code == .wrongNode }
    #expect { try verifier(.generate()).verify(Vectors.receipt) } throws: { ($0 as? CredentialError)?.code == .badSignature }
    #expect { try verifier(.generate(epoch: 3)).verify(Vectors.receipt) } throws: { ($0 as? CredentialError)?.code == .unknownKey }
  }

  @Test("no mutation of a genuine receipt verifies, and none traps")
  func fuzz() throws {
    var random = Seeds.random()
    let verifier = try verifier()
    for _ in 0..<5000 {
      var bytes = Array(Vectors.receipt.utf8)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        if Bool.random(using: &random) { bytes[place] = UInt8.random(in: 32..<127, using: &random) } else { bytes.remove(at: place) }
      }
      let text = String(decoding: bytes, as: UTF8.self)
      guard text != Vectors.receipt else { continue }
      #expect(throws: CredentialError.self, "\(text)") { try verifier.verify(text) }
    }
  }
}

@Suite("Service tokens and key files")
struct ServiceTokenTests {
  @Test("a token names its bearer, and only that one")
  func tokens() throws {
    let root = try Vectors.secret().controlRoot
    let verifier = ServiceTokenVerifier(root: root)
    let node = try Vectors.node()
    #expect(root.token(.node(node)) == Vectors.nodeToken)
    #expect(verifier.verify(Vectors.nodeToken) == .node(node))
    #expect(verifier.verify(root.token(.gateway("gateway-1"))) == .gateway("gateway-1"))
    #expect(verifier.verify(root.token(.op("local"))) == .op("local"))
    for forged in [
      Vectors.nodeToken.replacing("node-1", with: "node-2"), Vectors.nodeToken.replacing(".node.", with: ".operator."), "", "cs1",
      "cs1....",
      Vectors.nodeToken + "0", String(Vectors.nodeToken.dropLast()), String(repeating: "a", count: 10_000),
    ] { #expect(verifier.verify(forged) == nil) }
  }

  @Test("key files give back what was written, and each holder's file opens only as its own kind")
  func files() throws {
    let folder = try TemporaryFolder()
    let secret = ClusterSecret.generate()
    let cluster = ClusterID.random()
    let node = try Vectors.node()
    let paths = ["cluster", "node", "gateway"].map { "\(folder.path)/\($0).keys" }
    try KeyFile.write(secret, cluster: cluster, to: paths[0])
    try KeyFile.writeNode(secret.nodeKeys(node, cluster: cluster), to: paths[1])
    try KeyFile.writeGateway(secret, cluster: cluster, name: "gateway-1", to: paths[2])

    let read = try KeyFile.readCluster(paths[0])
    #expect(read.cluster == cluster)
    let keys = try KeyFile.readNode(paths[1])
    #expect(keys.node == node && keys.cluster == cluster)
    let gateway = try KeyFile.readGateway(paths[2])
    let path = CapabilitySigner(root: gateway.capabilityRoot).url(try Vectors.capability(.get), address: "")
    let verified = try CapabilityVerifier(keys: keys).verify(
      block: Vectors.blockHex, query: Vectors.query(path), operations: [.get], now: WallTime(seconds: 0))
    #expect(verified.operation == .get)
    var receipt = try Vectors.receiptValue()
    receipt.cluster = cluster
    _ = try ReceiptVerifier(root: read.secret.receiptRoot, cluster: cluster).verify(ReceiptSigner(keys: keys).sign(receipt))
    #expect(ServiceTokenVerifier(root: read.secret.controlRoot).verify(keys.token) == .node(node))

    #expect(throws: CredentialError.self) { try KeyFile.readCluster(paths[1]) }
    #expect(throws: CredentialError.self) { try KeyFile.readNode(paths[2]) }
    #expect(throws: CredentialError.self) { try KeyFile.readGateway(paths[0]) }
    #expect(throws: CredentialError.self) { try KeyFile.readNode(paths[0] + ".none") }
  }

  @Test("a rotation is begun, advanced and finished in this order only, and each state survives its file")
  func rotation() throws {
    let folder = try TemporaryFolder()
    let (path, cluster) = ("\(folder.path)/cluster.keys", ClusterID.random())
    func stored(_ secret: ClusterSecret) throws -> ClusterSecret {
      try KeyFile.write(secret, cluster: cluster, to: path)
      let read = try KeyFile.readCluster(path).secret
      #expect(read.keys.current.epoch == secret.keys.current.epoch)
      #expect(read.keys.epochs.map(\.epoch) == secret.keys.epochs.map(\.epoch))
      let node = try Vectors.node()
      try KeyFile.writeNode(read.nodeKeys(node, cluster: cluster), to: path + ".node")
      _ = try KeyFile.readNode(path + ".node")
      return read
    }
    let one = try stored(.generate())
    #expect(throws: CredentialError.self) { try one.advanced() }
    #expect(throws: CredentialError.self) { try one.finished() }
    let begun = try stored(one.begun())
    #expect(begun.keys.epochs.map(\.epoch) == [1, 2] && begun.keys.current.epoch == 1)
    #expect(throws: CredentialError.self) { try begun.begun() }
    #expect(throws: CredentialError.self) { try begun.finished() }
    let advanced = try stored(begun.advanced())
    #expect(advanced.keys.current.epoch == 2)
    #expect(throws: CredentialError.self) { try advanced.advanced() }
    let finished = try stored(advanced.finished())
    #expect(finished.journalKeys.epochs.map(\.epoch) == [1, 2] && finished.journalKeys.current.epoch == 2)
    #expect(
      finished.journalKeys.key(1)?.exposed == one.journalKeys.key(1)?.exposed, "what the journal was sealed under can still be read")
    #expect(finished.keys.epochs.map(\.epoch) == [2])
    #expect(throws: CredentialError.self) { try finished.finished() }
  }

  @Test("a key file that others can read is refused")
  func permissions() throws {
    let folder = try TemporaryFolder()
    let path = "\(folder.path)/cluster.keys"
    try KeyFile.write(.generate(), cluster: .random(), to: path)
    try AtomicFile.write(path, try #require(try AtomicFile.read(path, limit: 1 << 16)), mode: 0o644)
    #expect { try KeyFile.readCluster(path) } throws: { ($0 as? CredentialError)?.code == .keyFile }
  }
}
