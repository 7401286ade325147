internal import COpenSSL

/// Diffie–Hellman over Curve25519 (RFC 7748).
package enum X25519 {
  package struct KeyPair: Sendable {
    package let privateKey: SecretBytes
    /// 32 bytes.
    package let publicKey: [UInt8]
  }

  package static func generate() throws(CryptoError) -> KeyPair {
    let secret = SecureRandom.bytes(32)
    return KeyPair(privateKey: SecretBytes(secret), publicKey: try publicKey(of: secret))
  }

  /// The public key, 32 bytes, that belongs to 32 private ones.
  package static func publicKey(of privateKey: [UInt8]) throws(CryptoError) -> [UInt8] {
    let key = try load(privateKey: privateKey)
    defer { EVP_PKEY_free(key) }
    var bytes = [UInt8](repeating: 0, count: 32)
    var count = 32
    guard EVP_PKEY_get_raw_public_key(key, &bytes, &count) == 1, count == 32 else { throw .library("EVP_PKEY_get_raw_public_key") }
    return bytes
  }

  /// What both sides compute, 32 bytes; not a key yet: run it through HKDF with both public keys.
  ///
  /// - Throws: `CryptoError.invalidInput` for a public key of the wrong length or of low order, whose secret everybody would know.
  package static func sharedSecret(privateKey: [UInt8], publicKey: [UInt8]) throws(CryptoError) -> [UInt8] {
    guard publicKey.count == 32 else { throw .invalidInput("an X25519 public key has 32 bytes, not \(publicKey.count)") }
    let own = try load(privateKey: privateKey)
    defer { EVP_PKEY_free(own) }
    guard let peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nil, publicKey, publicKey.count) else {
      throw .library("EVP_PKEY_new_raw_public_key")
    }
    defer { EVP_PKEY_free(peer) }
    guard let context = EVP_PKEY_CTX_new(own, nil) else { throw .library("EVP_PKEY_CTX_new") }
    defer { EVP_PKEY_CTX_free(context) }
    var secret = [UInt8](repeating: 0, count: 32)
    var count = 32
    guard EVP_PKEY_derive_init(context) == 1, EVP_PKEY_derive_set_peer(context, peer) == 1 else {
      throw .library("EVP_PKEY_derive_set_peer")
    }
    guard EVP_PKEY_derive(context, &secret, &count) == 1, count == 32 else { throw .invalidInput("an X25519 public key of low order") }
    return secret
  }

  private static func load(privateKey: [UInt8]) throws(CryptoError) -> OpaquePointer {
    guard privateKey.count == 32 else { throw .invalidInput("an X25519 private key has 32 bytes, not \(privateKey.count)") }
    guard let key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nil, privateKey, privateKey.count) else {
      throw .library("EVP_PKEY_new_raw_private_key")
    }
    return key
  }
}
