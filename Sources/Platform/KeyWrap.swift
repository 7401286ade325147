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

  /// Nil when the library says that the input is not genuine.
  private static func run(_ input: [UInt8], kek: [UInt8], wrapping: Bool) throws(CryptoError) -> [UInt8]? {
    guard kek.count == keySize else { throw .invalidInput("a wrapping key has 32 bytes, not \(kek.count)") }
    guard let context = EVP_CIPHER_CTX_new() else { throw .library("EVP_CIPHER_CTX_new") }
    defer { EVP_CIPHER_CTX_free(context) }
    guard EVP_CipherInit_ex2(context, LibraryAlgorithms.aes256Wrap, kek, nil, wrapping ? 1 : 0, nil) == 1 else {
      throw .library("EVP_CipherInit_ex2")
    }
    var output = [UInt8](repeating: 0, count: input.count + 16)
    var written: Int32 = 0
    guard EVP_CipherUpdate(context, &output, &written, input, Int32(input.count)) == 1 else { return nil }
    output.removeSubrange(Int(written)...)
    return output
  }
}
