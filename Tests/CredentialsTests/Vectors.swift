import BlockModel
import Credentials
import Platform

/// The published vectors of `docs/protocol.md`, computed apart from this code.
enum Vectors {
  static let clusterHex = "11111111111111111111111111111111"
  static let diskHex = "22222222222222222222222222222222"
  static let uploadHex = "000102030405060708090a0b0c0d0e0f"
  /// SHA-256 of `abc`.
  static let blockHex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  static let replicateSignature = "381bc91ca8feb47ea843e17c8ae050e4ccb367fe6448abc335cb186cbfcea47f"
  static let putSignature = "c49958d793bff7253e744640c404326049a27cbafa66eace9d39869152edb15d"
  static let getSignature = "416d0ecb8b4ad70000e6a65d940fe25e78cd0f789e675e60703c9dcfa5be066a"
  static let nodeToken = "cs1.node.node-1.1.f925abe06bd51d0e748bd7c085ee15d94a251dba13d1e8009a0f3ba1f2b7b061"
  static let putPath =
    "/v1/blocks/\(blockHex)?v=1&op=put&node=node-1&size=3&lv=7&ge=2&up=\(uploadHex)&w=2"
    + "&fwd=node-2:\(replicateSignature)&exp=1800000000&kid=1&sig=\(putSignature)"
  static let receipt =
    "r1.\(clusterHex).\(uploadHex).\(blockHex).3.3.node-1.\(diskHex).7.2.strict.hashed.1"
    + ".608448b9841883a48086839919e48a77dc4cb630c12957f5442318de6b83e1ab"

  static func cluster() throws -> ClusterID { try required(ClusterID(hex: clusterHex)) }
  static func node(_ name: String = "node-1") throws -> NodeID { try required(NodeID(name)) }

  /// Bytes 0, 1, 2 … 31 as epoch 1.
  static func secret() throws -> ClusterSecret { ClusterSecret(keys: try EpochKeys([(1, SecretBytes((0..<32).map { UInt8($0) }))])) }

  static func capability(
    _ operation: CapabilityOperation, node name: String = "node-1", quorum: Int = 2, forwards: [Capability.Forward] = []
  ) throws -> Capability {
    Capability(
      operation: operation, block: try required(BlockID(hex: blockHex)), node: try node(name), size: 3, layoutVersion: 7, gcEpoch: 2,
      upload: try required(UploadID(hex: uploadHex)), writeQuorum: quorum, forwards: forwards, expires: 1_800_000_000, keyEpoch: 1)
  }

  static func receiptValue() throws -> Receipt {
    Receipt(
      cluster: try cluster(), upload: try required(UploadID(hex: uploadHex)), block: try required(BlockID(hex: blockHex)), plainBytes: 3,
      storedBytes: 3, node: try node(), disk: try required(DiskID(hex: diskHex)), layoutVersion: 7, gcEpoch: 2, durability: .strict,
      verification: .hashed, keyEpoch: 1)
  }

  struct Missing: Error {}
  static func required<T>(_ value: T?) throws -> T {
    guard let value else { throw Missing() }
    return value
  }

  /// The query of a path as a server decodes it.
  static func query(_ path: String) -> [(name: String, value: String)] {
    path.split(separator: "?", maxSplits: 1)[1].split(separator: "&").map { part in
      let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      return (String(pair[0]), String(pair[1]))
    }
  }
}
