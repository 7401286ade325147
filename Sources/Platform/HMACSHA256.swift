internal import CLinux
internal import COpenSSL

/// HMAC-SHA256 (RFC 2104).
///
/// Built on the digest and not on `EVP_MAC`, whose set-up costs several times the hashing of a URL.
package enum HMACSHA256 {
  private static let blockSize = 64

  /// The 32 bytes of the code.
  package static func authenticate(key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: 32) { code, count in
      authenticate(key: key, message: message, into: UnsafeMutableRawBufferPointer(code))
      count = 32
    }
  }

  package static func authenticate(key: [UInt8], message: UnsafeRawBufferPointer) -> [UInt8] {
    key.withUnsafeBytes { authenticate(key: $0, message: message) }
  }

  package static func authenticate(key: [UInt8], message: [UInt8]) -> [UInt8] {
    message.withUnsafeBytes { authenticate(key: key, message: $0) }
  }

  /// Under a secret that is used where it lies.
  package static func authenticate(key: SecretBytes, message: [UInt8]) -> [UInt8] {
    key.withBytes { key in message.withUnsafeBytes { authenticate(key: key, message: $0) } }
  }

  /// Over the UTF-8 of `message`.
  package static func authenticate(key: [UInt8], message: String) -> [UInt8] {
    var message = message
    return message.withUTF8 { authenticate(key: key, message: UnsafeRawBufferPointer($0)) }
  }

  private static func authenticate(
    key: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer, into code: UnsafeMutableRawBufferPointer
  ) {
    withUnsafeTemporaryAllocation(byteCount: blockSize, alignment: 8) { pad in
      defer { cairn_zero(pad.baseAddress, pad.count) }
      pad.initializeMemory(as: UInt8.self, repeating: 0)
      if key.count > blockSize {
        var hasher = SHA256Hasher()
        hasher.update(key)
        hasher.finalize(into: pad)
      } else {
        pad.copyMemory(from: key)
      }
      for index in pad.indices { pad[index] ^= 0x36 }
      var inner = SHA256Hasher()
      inner.update(UnsafeRawBufferPointer(pad))
      inner.update(message)
      inner.finalize(into: code)
      for index in pad.indices { pad[index] ^= 0x36 ^ 0x5c }
      var outer = SHA256Hasher()
      outer.update(UnsafeRawBufferPointer(pad))
      outer.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(code)[..<32]))
      outer.finalize(into: code)
    }
  }
}

/// Whether two byte strings are equal, in a time that says nothing about where they differ. Their lengths are not secret.
package func constantTimeEqual(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  guard a.count == b.count else { return false }
  return a.withUnsafeBytes { a in b.withUnsafeBytes { b in CRYPTO_memcmp(a.baseAddress, b.baseAddress, a.count) == 0 } }
}
