internal import BlockModel
package import Platform

/// A user's key pair, to which others wrap the keys of folders.
package struct UserKeys: Sendable {
  /// 32 bytes.
  package let publicKey: [UInt8]
  /// 32 bytes.
  package let privateKey: SecretBytes

  init(publicKey: [UInt8], privateKey: SecretBytes) { (self.publicKey, self.privateKey) = (publicKey, privateKey) }

  /// A new pair.
  package static func generate() throws(CryptoError) -> UserKeys {
    let pair = try X25519.generate()
    return UserKeys(publicKey: pair.publicKey, privateKey: pair.privateKey)
  }

  /// The pair of a private key; nil unless it belongs to the public one.
  init?(privateKey: [UInt8], publicKey: [UInt8]) {
    guard let own = try? X25519.publicKey(of: privateKey), own == publicKey else { return nil }
    self.init(publicKey: publicKey, privateKey: SecretBytes(privateKey))
  }

  /// 40 bytes, for the cluster to keep.
  package func wrappedPrivateKey(under phrase: RecoveryPhrase) throws(CryptoError) -> [UInt8] {
    try KeyWrap.wrap(privateKey.exposed, with: phrase.wrappingKey)
  }

  /// Nil when the phrase is another one, or what is wrapped does not belong to the public key.
  package static func open(_ wrapped: [UInt8], under phrase: RecoveryPhrase, publicKey: [UInt8]) -> UserKeys? {
    guard let privateKey = try? KeyWrap.unwrap(wrapped, with: phrase.wrappingKey) else { return nil }
    return UserKeys(privateKey: privateKey, publicKey: publicKey)
  }

  /// What two people compare to know that a public key is the right one: 128 bits of its hash, as eight words.
  package static func fingerprint(of publicKey: [UInt8]) -> String {
    Proquints.encode(Array(SHA256Hasher.hash(Array("cairn public key 1".utf8) + publicKey).prefix(16)))
  }
}

/// A folder's key as it goes through the cluster to one user: `1`, the sender's public key, a public key made for this once, and the key
/// under AES key wrap.
///
/// What wraps it comes from two agreements, of the once-made and of the sender's private key with the recipient's public one, so only the
/// recipient opens it, and the recipient knows that the sender made it: the cluster cannot slip in a key of its own.
package enum WrappedFolderKey {
  private static let format: UInt8 = 1
  private static let purpose = Array("cairn folder key 1".utf8)

  /// `SealedForm.wrappedFolderKeyBytes` bytes.
  package static func wrap(_ key: SecretBytes, to recipient: [UInt8], from sender: UserKeys) throws(CryptoError) -> [UInt8] {
    let once = try X25519.generate()
    let secret =
      try X25519.sharedSecret(privateKey: once.privateKey.exposed, publicKey: recipient)
      + X25519.sharedSecret(privateKey: sender.privateKey.exposed, publicKey: recipient)
    let publicKeys = sender.publicKey + once.publicKey
    let wrappingKey = wrappingKey(secret, publicKeys, recipient)
    return [format] + publicKeys + (try KeyWrap.wrap(key.exposed, with: wrappingKey))
  }

  /// Nil for what was not wrapped to this pair, or was changed.
  package static func unwrap(_ wrapped: [UInt8], with own: UserKeys) -> (key: SecretBytes, sender: [UInt8])? {
    guard wrapped.count == SealedForm.wrappedFolderKeyBytes, wrapped[0] == format else { return nil }
    let sender = Array(wrapped[1...32])
    let once = Array(wrapped[33...64])
    guard let first = try? X25519.sharedSecret(privateKey: own.privateKey.exposed, publicKey: once),
      let second = try? X25519.sharedSecret(privateKey: own.privateKey.exposed, publicKey: sender),
      let key = try? KeyWrap.unwrap(Array(wrapped[65...]), with: wrappingKey(first + second, sender + once, own.publicKey))
    else { return nil }
    return (SecretBytes(key), sender)
  }

  private static func wrappingKey(_ secret: [UInt8], _ publicKeys: [UInt8], _ recipient: [UInt8]) -> [UInt8] {
    HKDFSHA256.derive(secret: secret, salt: [], info: purpose + publicKeys + recipient, count: 32)
  }
}
