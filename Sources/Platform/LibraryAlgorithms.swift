internal import COpenSSL

/// Algorithms fetched from OpenSSL's provider once: a fetch per use costs more than hashing a short message.
enum LibraryAlgorithms {
  /// `@unchecked`: a fetched algorithm never changes, and OpenSSL counts its uses atomically (crypto(7), "ALGORITHM FETCHING").
  private struct Fetched: @unchecked Sendable {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer?, _ name: String) {
      guard let pointer else { preconditionFailure("OpenSSL's default provider has \(name)") }
      self.pointer = pointer
    }
  }

  private static let fetchedSHA256 = Fetched(EVP_MD_fetch(nil, "SHA256", nil), "SHA256")
  private static let fetchedAES256GCM = Fetched(EVP_CIPHER_fetch(nil, "AES-256-GCM", nil), "AES-256-GCM")
  private static let fetchedAES256ECB = Fetched(EVP_CIPHER_fetch(nil, "AES-256-ECB", nil), "AES-256-ECB")
  private static let fetchedAES256SIV = Fetched(EVP_CIPHER_fetch(nil, "AES-256-SIV", nil), "AES-256-SIV")
  private static let fetchedAES128SIV = Fetched(EVP_CIPHER_fetch(nil, "AES-128-SIV", nil), "AES-128-SIV")

  static var sha256: OpaquePointer { fetchedSHA256.pointer }
  static var aes256GCM: OpaquePointer { fetchedAES256GCM.pointer }
  static var aes256ECB: OpaquePointer { fetchedAES256ECB.pointer }
  static var aes256SIV: OpaquePointer { fetchedAES256SIV.pointer }
  static var aes128SIV: OpaquePointer { fetchedAES128SIV.pointer }
}
