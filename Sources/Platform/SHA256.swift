internal import COpenSSL

/// SHA-256 over bytes that come in pieces. OpenSSL picks the processor's SHA instructions where it has them.
package struct SHA256Hasher: ~Copyable {
  private let context: OpaquePointer

  package init() {
    guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex2(context, LibraryAlgorithms.sha256, nil) == 1 else {
      preconditionFailure("SHA-256 has no memory to start with")
    }
    self.context = context
  }

  deinit { EVP_MD_CTX_free(context) }

  package mutating func update(_ bytes: UnsafeRawBufferPointer) {
    guard !bytes.isEmpty else { return }
    let done = EVP_DigestUpdate(context, bytes.baseAddress, bytes.count)
    precondition(done == 1, "SHA-256 takes any bytes")
  }

  package mutating func update(_ bytes: [UInt8]) {
    bytes.withUnsafeBytes { update($0) }
  }

  /// The digest as four big-endian words: the first word holds the digest's first eight bytes.
  package consuming func finalize() -> (UInt64, UInt64, UInt64, UInt64) {
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    withUnsafeMutableBytes(of: &words) { finish(into: $0) }
    return (words.0.bigEndian, words.1.bigEndian, words.2.bigEndian, words.3.bigEndian)
  }

  /// Writes the 32 bytes of the digest to the start of `destination`.
  package consuming func finalize(into destination: UnsafeMutableRawBufferPointer) {
    finish(into: destination)
  }

  private borrowing func finish(into destination: UnsafeMutableRawBufferPointer) {
    precondition(destination.count >= 32, "a SHA-256 digest takes 32 bytes")
    let done = EVP_DigestFinal_ex(context, destination.baseAddress?.assumingMemoryBound(to: UInt8.self), nil)
    precondition(done == 1, "SHA-256 finishes once")
  }

  /// The digest of bytes that are all here, as four big-endian words.
  package static func hash(_ bytes: UnsafeRawBufferPointer) -> (UInt64, UInt64, UInt64, UInt64) {
    var hasher = SHA256Hasher()
    hasher.update(bytes)
    return hasher.finalize()
  }

  /// The 32 bytes of the digest.
  package static func hash(_ bytes: [UInt8]) -> [UInt8] {
    var hasher = SHA256Hasher()
    hasher.update(bytes)
    let digest = [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
      hasher.finish(into: UnsafeMutableRawBufferPointer(buffer))
      count = 32
    }
    return digest
  }
}
