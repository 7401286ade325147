internal import COpenSSL

/// AES in SIV mode (RFC 5297): deterministic authenticated encryption. The same key, associated data and plain bytes always give the same
/// sealed bytes, and nothing but that is to be learned from them; so it needs no nonce that could be used twice by mistake.
///
/// A key of 64 bytes is AES-256-SIV, one of 32 bytes AES-128-SIV: the first half authenticates (S2V over CMAC), the second encrypts (CTR).
package enum AESSIV {
  /// Bytes of the synthetic initialisation vector, which is the tag as well.
  package static let tagSize = 16
  /// Bytes of a key for AES-256-SIV.
  package static let keySize = 64

  /// Encrypts `bytes` where they are and writes the 16-byte tag to `tag`.
  ///
  /// - Parameters:
  ///   - associatedData: parts that are authenticated with the bytes, each at least one byte.
  ///   - bytes: at least one.
  /// - Throws: `CryptoError.invalidInput` for a key of another length or an empty part.
  package static func seal(
    key: SecretBytes, associatedData: [[UInt8]], inPlace bytes: UnsafeMutableRawBufferPointer, tag: UnsafeMutableRawPointer
  ) throws(CryptoError) {
    let context = try start(key: key, associatedData: associatedData, bytes: bytes.count, sealing: true)
    defer { EVP_CIPHER_CTX_free(context) }
    guard update(context, bytes), finish(context), EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(tagSize), tag) == 1 else {
      throw .library("EVP_CipherFinal_ex")
    }
  }

  /// Decrypts `bytes` where they are and checks the 16-byte tag.
  ///
  /// - Throws: `CryptoError.authenticationFailed` when anything is not what was sealed; the bytes are zeroed then, so nobody can use them.
  package static func open(
    key: SecretBytes, associatedData: [[UInt8]], inPlace bytes: UnsafeMutableRawBufferPointer, tag: UnsafeRawPointer
  ) throws(CryptoError) {
    let context = try start(key: key, associatedData: associatedData, bytes: bytes.count, sealing: false)
    defer { EVP_CIPHER_CTX_free(context) }
    // The library takes a mutable pointer and only reads from it.
    let isGenuine =
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tagSize), UnsafeMutableRawPointer(mutating: tag)) == 1
      && update(context, bytes) && finish(context)
    guard isGenuine else {
      bytes.initializeMemory(as: UInt8.self, repeating: 0)
      throw .authenticationFailed
    }
  }

  /// The tag and the encrypted bytes, as RFC 5297 lays them out.
  package static func seal(_ plain: [UInt8], key: SecretBytes, associatedData: [[UInt8]]) throws(CryptoError) -> [UInt8] {
    var sealed = [UInt8](repeating: 0, count: tagSize) + plain
    let result = sealed.withUnsafeMutableBytes { bytes in
      Result { () throws(CryptoError) in
        guard let start = bytes.baseAddress else { return }
        try seal(key: key, associatedData: associatedData, inPlace: UnsafeMutableRawBufferPointer(rebasing: bytes[tagSize...]), tag: start)
      }
    }
    try result.get()
    return sealed
  }

  /// What `seal` was given.
  ///
  /// - Throws: `CryptoError.authenticationFailed` also for bytes that are too few.
  package static func open(_ sealed: [UInt8], key: SecretBytes, associatedData: [[UInt8]]) throws(CryptoError) -> [UInt8] {
    guard sealed.count > tagSize else { throw .authenticationFailed }
    var opened = sealed
    let result = opened.withUnsafeMutableBytes { bytes in
      Result { () throws(CryptoError) in
        guard let start = bytes.baseAddress else { return }
        try open(key: key, associatedData: associatedData, inPlace: UnsafeMutableRawBufferPointer(rebasing: bytes[tagSize...]), tag: start)
      }
    }
    try result.get()
    return Array(opened[tagSize...])
  }

  /// A context that has the key and the associated data; the caller frees it.
  private static func start(
    key: SecretBytes, associatedData: [[UInt8]], bytes: Int, sealing: Bool
  ) throws(CryptoError) -> OpaquePointer {
    guard key.count == keySize || key.count == keySize / 2 else {
      throw .invalidInput("a key for AES-SIV has 64 or 32 bytes, not \(key.count)")
    }
    guard (1...Int(Int32.max)).contains(bytes), associatedData.allSatisfy({ (1...Int(Int32.max)).contains($0.count) }) else {
      throw .invalidInput("AES-SIV seals 1 byte to 2 GiB, and so do the parts beside them")
    }
    guard let context = EVP_CIPHER_CTX_new() else { throw .library("EVP_CIPHER_CTX_new") }
    let algorithm = key.count == keySize ? LibraryAlgorithms.aes256SIV : LibraryAlgorithms.aes128SIV
    var isReady = key.withBytes {
      EVP_CipherInit_ex2(context, algorithm, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, sealing ? 1 : 0, nil) == 1
    }
    var written: Int32 = 0
    for part in associatedData where isReady { isReady = EVP_CipherUpdate(context, nil, &written, part, Int32(part.count)) == 1 }
    guard isReady else {
      EVP_CIPHER_CTX_free(context)
      throw .library("EVP_CipherInit_ex2")
    }
    return context
  }

  /// All bytes at once: the tag is of all of them, so the mode knows no parts.
  private static func update(_ context: OpaquePointer, _ bytes: UnsafeMutableRawBufferPointer) -> Bool {
    var written: Int32 = 0
    let start = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    return EVP_CipherUpdate(context, start, &written, start, Int32(bytes.count)) == 1
  }

  private static func finish(_ context: OpaquePointer) -> Bool {
    var unused: UInt64 = 0
    return withUnsafeMutableBytes(of: &unused) { unused in
      var written: Int32 = 0
      return EVP_CipherFinal_ex(context, unused.baseAddress?.assumingMemoryBound(to: UInt8.self), &written) == 1
    }
  }
}
