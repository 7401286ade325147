internal import Platform

/// What brings a user's private key to a new device: 128 random bits and a check, as nine words. Nobody but its user has it.
package struct RecoveryPhrase: Sendable {
  private static let secretBytes = 16
  private static let checkBytes = 2
  private static let purpose = "cairn recovery phrase 1"

  private let secret: SecretBytes

  /// A new one.
  package init() { secret = SecretBytes(randomCount: RecoveryPhrase.secretBytes) }

  /// - Throws: `CairnError` `invalidArgument` for a text that is no phrase: what was mistyped is noticed before anything is tried.
  package init(_ text: String) throws(CairnError) {
    guard let bytes = Proquints.decode(text), bytes.count == RecoveryPhrase.secretBytes + RecoveryPhrase.checkBytes else {
      throw CairnError(.invalidArgument, "A recovery phrase has nine words of five letters; check that none is missing.")
    }
    let secret = Array(bytes.prefix(RecoveryPhrase.secretBytes))
    guard constantTimeEqual(Array(bytes.suffix(RecoveryPhrase.checkBytes)), RecoveryPhrase.check(of: secret)) else {
      throw CairnError(.invalidArgument, "The recovery phrase is mistyped: its words do not fit together. Check each of them.")
    }
    self.secret = SecretBytes(secret)
  }

  /// Nine words.
  package var text: String { Proquints.encode(secret.exposed + RecoveryPhrase.check(of: secret.exposed)) }

  /// The key that a private key is wrapped under. The phrase is as random as a key, so nothing has to be slow here.
  package var wrappingKey: [UInt8] {
    HKDFSHA256.derive(secret: secret.exposed, salt: [], info: RecoveryPhrase.purpose + " private key", count: 32)
  }

  private static func check(of secret: [UInt8]) -> [UInt8] { Array(SHA256Hasher.hash(Array(purpose.utf8) + secret).prefix(checkBytes)) }
}
