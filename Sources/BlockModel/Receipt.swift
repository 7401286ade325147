/// A node's signed word that it holds one durable copy of a block; what a commit stands on.
///
/// Written as `r1.` and the fields in order, separated by dots, none of which a field can contain. `docs/protocol.md` gives test vectors.
package struct Receipt: Sendable, Equatable {
  package enum Durability: String, Sendable, Codable {
    /// The copy is synced: it outlives power loss.
    case strict
    /// The copy is written but not synced. A strict cluster does not count it.
    case relaxed
  }

  package enum Verification: String, Sendable, Codable {
    /// This node computed the SHA-256 of all plain bytes.
    case hashed
    /// This node checked the tags of all frames, under a key that came with the record.
    case tagged
  }

  package var cluster: ClusterID
  package var upload: UploadID
  package var block: BlockID
  package var plainBytes: Int
  package var storedBytes: Int
  package var node: NodeID
  package var disk: DiskID
  package var layoutVersion: UInt64
  package var gcEpoch: UInt64
  package var durability: Durability
  package var verification: Verification
  package var keyEpoch: UInt32

  package init(
    cluster: ClusterID, upload: UploadID, block: BlockID, plainBytes: Int, storedBytes: Int, node: NodeID, disk: DiskID,
    layoutVersion: UInt64, gcEpoch: UInt64, durability: Durability, verification: Verification, keyEpoch: UInt32
  ) {
    self.cluster = cluster
    self.upload = upload
    self.block = block
    self.plainBytes = plainBytes
    self.storedBytes = storedBytes
    self.node = node
    self.disk = disk
    self.layoutVersion = layoutVersion
    self.gcEpoch = gcEpoch
    self.durability = durability
    self.verification = verification
    self.keyEpoch = keyEpoch
  }

  /// What is signed: all of the text before the last dot and the signature. Bytes, because each replica of each block writes one.
  package var signedBytes: [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(Limits.receiptCharacters)
    func next(_ field: some StringProtocol) {
      text.append(UInt8(ascii: "."))
      text.append(contentsOf: field.utf8)
    }
    func dot() { text.append(UInt8(ascii: ".")) }
    text.append(contentsOf: "r1.".utf8)
    cluster.appendHex(to: &text)
    dot()
    upload.appendHex(to: &text)
    dot()
    block.appendHex(to: &text)
    next(String(plainBytes))
    next(String(storedBytes))
    next(node.text)
    dot()
    disk.appendHex(to: &text)
    next(String(layoutVersion))
    next(String(gcEpoch))
    next(durability.rawValue)
    next(verification.rawValue)
    next(String(keyEpoch))
    return text
  }

  /// - Parameter signedBytes: as the property of that name said, so that they need not be written twice.
  package static func text(signedBytes: [UInt8], signature: [UInt8]) -> String {
    "\(String(decoding: signedBytes, as: UTF8.self)).\(HexDigits.encode(signature))"
  }

  /// Why a text is no receipt.
  package struct Malformed: Error, Sendable, Equatable {
    package init() {}
  }

  /// Reads a receipt; the 32 bytes of its signature are still to be verified.
  package static func parse(_ text: String) throws(Malformed) -> (receipt: Receipt, signature: [UInt8]) {
    guard text.utf8.count <= Limits.receiptCharacters else { throw Malformed() }
    var text = text
    guard let parsed = text.withUTF8({ read(UnsafeRawBufferPointer($0)) }) else { throw Malformed() }
    return parsed
  }

  private static func read(_ text: UnsafeRawBufferPointer) -> (receipt: Receipt, signature: [UInt8])? {
    let fields = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).map { UnsafeRawBufferPointer(rebasing: $0) }
    // Each field is taken in its one spelling only, so the signed bytes can be written again from the values.
    guard fields.count == 14, fields[0].elementsEqual("r1".utf8),
      let cluster = ClusterID(hexDigits: fields[1]), let upload = UploadID(hexDigits: fields[2]), let block = BlockID(hexDigits: fields[3]),
      let plain = fields[4].decimal, plain <= Limits.blockBytes, let stored = fields[5].decimal, stored <= Limits.blockBytes,
      let node = NodeID(String(decoding: fields[6], as: UTF8.self)), let disk = DiskID(hexDigits: fields[7]),
      let layoutVersion = fields[8].decimal, let gcEpoch = fields[9].decimal,
      let durability = Durability(rawValue: String(decoding: fields[10], as: UTF8.self)),
      let verification = Verification(rawValue: String(decoding: fields[11], as: UTF8.self)),
      let keyEpoch = fields[12].decimal, let keyEpoch = UInt32(exactly: keyEpoch),
      fields[13].count == 64, let signature = HexDigits.decode(fields[13])
    else { return nil }
    let receipt = Receipt(
      cluster: cluster, upload: upload, block: block, plainBytes: Int(plain), storedBytes: Int(stored), node: node, disk: disk,
      layoutVersion: layoutVersion, gcEpoch: gcEpoch, durability: durability, verification: verification, keyEpoch: keyEpoch)
    return (receipt, signature)
  }
}
