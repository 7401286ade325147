internal import CLinux
internal import COpenSSL

/// AES-256 key wrap (RFC 3394) of a 256-bit key: 40 bytes that only the wrapping key opens, and that show any change.
package enum KeyWrap {
  package static let keySize = 32
  package static let wrappedSize = 40

  /// - Parameters:
  ///   - key: 32 bytes.
  ///   - kek: 32 bytes, the key that encrypts keys.
  /// - Returns: 40 bytes.
  package static func wrap(_ key: [UInt8], with kek: [UInt8]) throws(CryptoError) -> [UInt8] {
    guard key.count == keySize else { throw .invalidInput("a key to wrap has 32 bytes, not \(key.count)") }
    guard let wrapped = try run(key, kek: kek, wrapping: true), wrapped.count == wrappedSize else { throw .library("EVP_CipherUpdate") }
    return wrapped
  }

  /// - Throws: `CryptoError.authenticationFailed` when `wrapped` was not made under `kek`, or was changed.
  package static func unwrap(_ wrapped: [UInt8], with kek: [UInt8]) throws(CryptoError) -> [UInt8] {
    guard wrapped.count == wrappedSize else { throw .invalidInput("a wrapped key has 40 bytes, not \(wrapped.count)") }
    guard let key = try run(wrapped, kek: kek, wrapping: false), key.count == keySize else { throw .authenticationFailed }
    return key
  }

  /// Nil when the integrity check fails.
  ///
  /// The library's own AES-256-WRAP runs the block cipher without the processor's AES instructions, at 5 µs a key; the steps of
  /// RFC 3394, 2.2, over its AES-256-ECB take 1 µs, and each block that is read or replicated unwraps a key.
  private static func run(_ input: [UInt8], kek: [UInt8], wrapping: Bool) throws(CryptoError) -> [UInt8]? {
    guard kek.count == keySize else { throw .invalidInput("a wrapping key has 32 bytes, not \(kek.count)") }
    guard let context = EVP_CIPHER_CTX_new() else { throw .library("EVP_CIPHER_CTX_new") }
    defer { EVP_CIPHER_CTX_free(context) }
    guard EVP_CipherInit_ex2(context, LibraryAlgorithms.aes256ECB, kek, nil, wrapping ? 1 : 0, nil) == 1,
      EVP_CIPHER_CTX_set_padding(context, 0) == 1
    else { throw .library("EVP_CipherInit_ex2") }
    return wrapping ? try wrap(input, context) : try unwrap(input, context)
  }

  /// A, the integrity check value (RFC 3394, 2.2.3.1).
  private static let check: UInt64 = 0xa6a6_a6a6_a6a6_a6a6
  /// The key's four 64-bit words are gone over six times.
  private static let rounds = 6
  private static let words = 4

  private static func wrap(_ key: [UInt8], _ context: OpaquePointer) throws(CryptoError) -> [UInt8] {
    var output = [UInt8](repeating: 0, count: 8) + key
    var register = check
    for step in 1...(rounds * words) {
      let place = 8 * ((step - 1) % words + 1)
      register = try advance(context, register, &output, place) ^ UInt64(step)
    }
    output.withUnsafeMutableBytes { $0.storeBytes(of: register.bigEndian, as: UInt64.self) }
    return output
  }

  private static func unwrap(_ wrapped: [UInt8], _ context: OpaquePointer) throws(CryptoError) -> [UInt8]? {
    var output = wrapped
    var register = output.withUnsafeBytes { UInt64(bigEndian: $0.load(as: UInt64.self)) }
    for step in (1...(rounds * words)).reversed() {
      let place = 8 * ((step - 1) % words + 1)
      register = try advance(context, register ^ UInt64(step), &output, place)
    }
    defer { output.withUnsafeMutableBytes { cairn_zero($0.baseAddress, $0.count) } }
    return register == check ? Array(output[8...]) : nil
  }

  /// One step: the cipher over the register and the word at `place`, whose second half goes back there; answers the first half.
  private static func advance(
    _ context: OpaquePointer, _ register: UInt64, _ output: inout [UInt8], _ place: Int
  ) throws(CryptoError) -> UInt64 {
    var block = (register.bigEndian, UInt64(0))
    let done = output.withUnsafeMutableBytes { output in
      withUnsafeMutableBytes(of: &block) { block in
        block.storeBytes(of: output.loadUnaligned(fromByteOffset: place, as: UInt64.self), toByteOffset: 8, as: UInt64.self)
        var written: Int32 = 0
        let bytes = block.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard EVP_CipherUpdate(context, bytes, &written, bytes, 16) == 1, written == 16 else { return false }
        output.storeBytes(of: block.load(fromByteOffset: 8, as: UInt64.self), toByteOffset: place, as: UInt64.self)
        return true
      }
    }
    guard done else { throw .library("EVP_CipherUpdate") }
    return UInt64(bigEndian: block.0)
  }
}
