/// HKDF with SHA-256 (RFC 5869): many keys from one secret, none of which tells anything about another.
package enum HKDFSHA256 {
  /// - Parameters:
  ///   - secret: the input keying material.
  ///   - salt: may be empty, which counts as 32 zero bytes.
  ///   - info: what this key is for; different text gives an unrelated key.
  ///   - count: bytes wanted, at most 255 × 32.
  package static func derive(secret: [UInt8], salt: [UInt8], info: [UInt8], count: Int) -> [UInt8] {
    precondition((0...(255 * 32)).contains(count), "HKDF-SHA256 gives at most 8160 bytes")
    let extracted = HMACSHA256.authenticate(key: salt, message: secret)
    var output: [UInt8] = []
    output.reserveCapacity(count + 31)
    var previous: [UInt8] = []
    var round: UInt8 = 1
    while output.count < count {
      previous = HMACSHA256.authenticate(key: extracted, message: previous + info + [round])
      output += previous
      round &+= 1
    }
    output.removeSubrange(count...)
    return output
  }

  package static func derive(secret: [UInt8], salt: [UInt8], info: String, count: Int) -> [UInt8] {
    derive(secret: secret, salt: salt, info: Array(info.utf8), count: count)
  }
}
