package import BlockModel
package import Platform
package import ServiceAPI

/// How a data key travels from a node that holds it to one that needs it: wrapped under a key that both derive from ephemeral X25519 keys.
///
/// What must hold: the requester's public key is bound to the coordinator's ticket (the ticket's capability signs the hash of the request),
/// so nobody else can put their own key in its place; neither the key nor the shared secret leaves either process unwrapped.
package enum DataKeyExchange {
  /// What the requester keeps until the answer comes.
  package struct Request: Sendable {
    package let command: NodeCommand
    package let body: [UInt8]
    package let bodyHash: BlockID
    let pair: X25519.KeyPair
    let epoch: UInt32
    let requester: NodeID
  }

  package static func request(epoch: UInt32, requester: NodeID) throws -> Request {
    let pair = try X25519.generate()
    let command = NodeCommand.dataKey(epoch: epoch, requester: requester, publicKey: HexDigits.encode(pair.publicKey))
    let body = try JSONCoding.encode(command)
    let hash = body.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
    return Request(command: command, body: body, bodyHash: hash, pair: pair, epoch: epoch, requester: requester)
  }

  /// The holder's answer.
  /// - Throws: `CryptoError` for a public key that is none.
  package static func answer(
    key: SecretBytes, epoch: UInt32, requester: NodeID, publicKey: [UInt8], holder: NodeID
  ) throws(CryptoError) -> NodeCommandReply {
    let pair = try X25519.generate()
    let wrapping = try wrappingKey(
      own: pair.privateKey, other: publicKey, requesterKey: publicKey, holderKey: pair.publicKey, epoch: epoch, requester: requester,
      holder: holder)
    let wrapped = try KeyWrap.wrap(key.exposed, with: wrapping)
    return .dataKey(publicKey: HexDigits.encode(pair.publicKey), wrapped: HexDigits.encode(wrapped))
  }

  /// The key out of the holder's answer.
  /// - Throws: `CryptoError` when the answer is not to this request.
  package static func key(from reply: NodeCommandReply, to request: Request, holder: NodeID) throws(CryptoError) -> SecretBytes {
    guard case .dataKey(let publicKey, let wrapped) = reply, let publicBytes = HexDigits.decode(publicKey),
      let wrappedBytes = HexDigits.decode(wrapped)
    else { throw .invalidInput("the answer is not a data key") }
    let wrapping = try wrappingKey(
      own: request.pair.privateKey, other: publicBytes, requesterKey: request.pair.publicKey, holderKey: publicBytes, epoch: request.epoch,
      requester: request.requester, holder: holder)
    return SecretBytes(try KeyWrap.unwrap(wrappedBytes, with: wrapping))
  }

  private static func wrappingKey(
    own: SecretBytes, other: [UInt8], requesterKey: [UInt8], holderKey: [UInt8], epoch: UInt32, requester: NodeID, holder: NodeID
  ) throws(CryptoError) -> [UInt8] {
    let shared = try X25519.sharedSecret(privateKey: own.exposed, publicKey: other)
    return HKDFSHA256.derive(
      secret: shared, salt: requesterKey + holderKey, info: "cairn data key exchange v1 \(epoch) \(requester.text) \(holder.text)",
      count: 32)
  }
}
