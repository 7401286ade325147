internal import COpenSSL

/// scrypt (RFC 7914): a key from a password, at a cost in time and memory that guessing pays as well.
package enum Scrypt {
  /// Takes about 128 · `n` · `r` bytes of memory (32 MiB with the defaults) and some 100 ms of processor time: call it on a `BlockingPool`.
  ///
  /// - Parameters:
  ///   - n: the cost, a power of two.
  ///   - r: the block size.
  ///   - p: how many independent runs.
  ///   - count: bytes wanted.
  /// - Throws: `CryptoError.invalidInput` for parameters that scrypt does not allow or that need over 1 GiB.
  package static func derive(
    password: [UInt8], salt: [UInt8], n: Int = 1 << 15, r: Int = 8, p: Int = 1, count: Int = 32
  ) throws(CryptoError) -> [UInt8] {
    let memoryLimit = 1 << 30
    guard n > 1, n & (n - 1) == 0, n <= memoryLimit, (1...1024).contains(r), (1...1024).contains(p), (1...(1 << 20)).contains(count),
      128 * n * r + 128 * r * p < memoryLimit
    else { throw .invalidInput("scrypt with n=\(n), r=\(r), p=\(p) for \(count) bytes") }
    var key = [UInt8](repeating: 0, count: count)
    // The library reads no password and no salt when their lengths are 0, whatever the pointers are.
    let done = password.withUnsafeBytes { password in
      EVP_PBE_scrypt(
        password.baseAddress?.assumingMemoryBound(to: CChar.self), password.count, salt, salt.count, UInt64(n), UInt64(r), UInt64(p),
        UInt64(memoryLimit), &key, count)
    }
    guard done == 1 else { throw .library("EVP_PBE_scrypt") }
    return key
  }
}
