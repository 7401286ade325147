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

  /// What is signed: all of the text before the signature.
  package var signedText: String {
    "r1.\(cluster.hex).\(upload.hex).\(block.hex).\(plainBytes).\(storedBytes).\(node.text).\(disk.hex).\(layoutVersion).\(gcEpoch)"
      + ".\(durability.rawValue).\(verification.rawValue).\(keyEpoch)"
  }

  package func text(signature: String) -> String { "\(signedText).\(signature)" }

  /// Why a text is no receipt.
  package struct Malformed: Error, Sendable, Equatable {
    package init() {}
  }

  /// Reads a receipt; the signature, 64 hexadecimal digits, is still to be verified.
  package static func parse(_ text: String) throws(Malformed) -> (receipt: Receipt, signature: String) {
    guard text.utf8.count <= Limits.receiptCharacters else { throw Malformed() }
    let fields = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard fields.count == 14, fields[0] == "r1",
      let cluster = ClusterID(hex: fields[1]), let upload = UploadID(hex: fields[2]), let block = BlockID(hex: fields[3]),
      let plain = Int(fields[4]), (0...Limits.blockBytes).contains(plain),
      let stored = Int(fields[5]), (0...Limits.blockBytes).contains(stored),
      let node = NodeID(fields[6]), let disk = DiskID(hex: fields[7]),
      let layoutVersion = UInt64(fields[8]), let gcEpoch = UInt64(fields[9]),
      let durability = Durability(rawValue: fields[10]), let verification = Verification(rawValue: fields[11]),
      let keyEpoch = UInt32(fields[12]), fields[13].utf8.count == 64, HexDigits.decode(fields[13]) != nil
    else { throw Malformed() }
    let receipt = Receipt(
      cluster: cluster, upload: upload, block: block, plainBytes: plain, storedBytes: stored, node: node, disk: disk,
      layoutVersion: layoutVersion, gcEpoch: gcEpoch, durability: durability, verification: verification, keyEpoch: keyEpoch)
    // One spelling only: a number with a sign or a leading zero is somebody else's text.
    guard receipt.text(signature: fields[13]) == text else { throw Malformed() }
    return (receipt, fields[13])
  }
}
