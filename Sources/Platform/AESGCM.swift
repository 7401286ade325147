internal import COpenSSL

/// The 12 bytes of an AES-GCM nonce. The same nonce is never used twice with one key; a key that seals one record numbers its frames.
package struct AESGCMNonce: Sendable, Equatable {
  private var head: UInt32
  private var tail: UInt64

  private static func stored(_ head: UInt32, _ tail: UInt64) -> AESGCMNonce { AESGCMNonce(head: head.bigEndian, tail: tail.bigEndian) }

  private init(head: UInt32, tail: UInt64) {
    self.head = head
    self.tail = tail
  }

  /// Four zero bytes, then the frame's number as a big-endian 64-bit integer.
  package init(frameNumber: UInt64) { self = AESGCMNonce.stored(0, frameNumber) }

  /// Nil unless there are exactly 12 bytes.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count == 12 else { return nil }
    let head = bytes[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    let tail = bytes[4...].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
    self = AESGCMNonce.stored(head, tail)
  }

  func withBytes<R>(_ body: (UnsafePointer<UInt8>) -> R) -> R {
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 12) { bytes in
      let raw = UnsafeMutableRawBufferPointer(bytes)
      raw.storeBytes(of: head, toByteOffset: 0, as: UInt32.self)
      raw.storeBytes(of: tail, toByteOffset: 4, as: UInt64.self)
      return body(UnsafePointer(bytes.baseAddress!))
    }
  }
}

/// AES-256-GCM with one key and many frames: the key is scheduled once, and nothing is allocated per frame.
package struct AESGCMContext: ~Copyable {
  /// Bytes of a tag.
  package static let tagSize = 16
  /// Bytes of a key.
  package static let keySize = 32

  private let context: OpaquePointer

  /// - Parameter key: 32 bytes; they are not kept beyond OpenSSL's own context, which zeroes itself.
  /// - Throws: `CryptoError.invalidInput` when the key has another length, `.library` when memory ran out.
  package init(key: UnsafeRawBufferPointer) throws(CryptoError) {
    guard key.count == AESGCMContext.keySize else { throw .invalidInput("an AES-256 key has 32 bytes, not \(key.count)") }
    guard let context = EVP_CIPHER_CTX_new() else { throw .library("EVP_CIPHER_CTX_new") }
    let keyBytes = key.baseAddress?.assumingMemoryBound(to: UInt8.self)
    guard EVP_CipherInit_ex2(context, LibraryAlgorithms.aes256GCM, keyBytes, nil, 1, nil) == 1 else {
      EVP_CIPHER_CTX_free(context)
      throw .library("EVP_CipherInit_ex2")
    }
    self.context = context
  }

  /// As `init(key:)` over memory.
  package init(key: SecretBytes) throws(CryptoError) {
    self = try key.withBytes { bytes throws(CryptoError) in try AESGCMContext(key: bytes) }
  }

  deinit { EVP_CIPHER_CTX_free(context) }

  /// Encrypts `frame` where it is and writes its 16-byte tag to `tag`.
  package mutating func seal(
    nonce: AESGCMNonce, associatedData: UnsafeRawBufferPointer, inPlace frame: UnsafeMutableRawBufferPointer, tag: UnsafeMutableRawPointer
  ) throws(CryptoError) {
    try process(nonce: nonce, associatedData: associatedData, inPlace: frame, sealing: true)
    var written: Int32 = 0
    guard EVP_CipherFinal_ex(context, tag.assumingMemoryBound(to: UInt8.self), &written) == 1,
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(AESGCMContext.tagSize), tag) == 1
    else { throw .library("EVP_CipherFinal_ex") }
  }

  /// Decrypts `frame` where it is and checks the 16-byte tag.
  ///
  /// - Throws: `CryptoError.authenticationFailed` when the tag does not fit; the frame's bytes are zeroed then, so nobody can use them.
  package mutating func open(
    nonce: AESGCMNonce, associatedData: UnsafeRawBufferPointer, inPlace frame: UnsafeMutableRawBufferPointer, tag: UnsafeRawPointer
  ) throws(CryptoError) {
    try process(nonce: nonce, associatedData: associatedData, inPlace: frame, sealing: false)
    var unused: (UInt64, UInt64) = (0, 0)
    let genuine = withUnsafeMutableBytes(of: &unused) { unused -> Bool in
      var written: Int32 = 0
      // The library takes a mutable pointer and only reads from it.
      let tag = UnsafeMutableRawPointer(mutating: tag)
      return EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(AESGCMContext.tagSize), tag) == 1
        && EVP_CipherFinal_ex(context, unused.baseAddress?.assumingMemoryBound(to: UInt8.self), &written) == 1
    }
    guard genuine else {
      frame.initializeMemory(as: UInt8.self, repeating: 0)
      throw .authenticationFailed
    }
  }

  private func process(
    nonce: AESGCMNonce, associatedData: UnsafeRawBufferPointer, inPlace frame: UnsafeMutableRawBufferPointer, sealing: Bool
  ) throws(CryptoError) {
    guard frame.count <= Int(Int32.max), associatedData.count <= Int(Int32.max) else { throw .invalidInput("a frame over 2 GiB") }
    let started = nonce.withBytes { EVP_CipherInit_ex2(context, nil, nil, $0, sealing ? 1 : 0, nil) == 1 }
    guard started else { throw .library("EVP_CipherInit_ex2") }
    var written: Int32 = 0
    if !associatedData.isEmpty {
      let data = associatedData.baseAddress?.assumingMemoryBound(to: UInt8.self)
      guard EVP_CipherUpdate(context, nil, &written, data, Int32(associatedData.count)) == 1 else { throw .library("EVP_CipherUpdate") }
    }
    if !frame.isEmpty {
      let bytes = frame.baseAddress?.assumingMemoryBound(to: UInt8.self)
      guard EVP_CipherUpdate(context, bytes, &written, bytes, Int32(frame.count)) == 1, Int(written) == frame.count else {
        throw .library("EVP_CipherUpdate")
      }
    }
  }
}

/// AES-256-GCM for a single frame. For many frames under one key keep an `AESGCMContext`.
package enum FrameCipher {
  /// Encrypts `inPlace` and writes its 16-byte tag. The key has 32 bytes.
  package static func seal(
    key: UnsafeRawBufferPointer, nonce: AESGCMNonce, associatedData: UnsafeRawBufferPointer, inPlace frame: UnsafeMutableRawBufferPointer,
    tag: UnsafeMutableRawPointer
  ) throws(CryptoError) {
    var context = try AESGCMContext(key: key)
    try context.seal(nonce: nonce, associatedData: associatedData, inPlace: frame, tag: tag)
  }

  /// Decrypts `inPlace` after what `seal` did; throws `.authenticationFailed` and zeroes the frame when anything was changed.
  package static func open(
    key: UnsafeRawBufferPointer, nonce: AESGCMNonce, associatedData: UnsafeRawBufferPointer, inPlace frame: UnsafeMutableRawBufferPointer,
    tag: UnsafeRawPointer
  ) throws(CryptoError) {
    var context = try AESGCMContext(key: key)
    try context.open(nonce: nonce, associatedData: associatedData, inPlace: frame, tag: tag)
  }
}
