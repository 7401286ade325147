/// How long the things are that clients seal before the cluster sees them (`docs/encryption.md`). The cluster checks these lengths and can
/// check no more: it has no key.
package enum SealedForm {
  /// What sealing adds to a block, a name or a link's target: the tag of AES-SIV.
  package static let tagBytes = 16
  /// Plain bytes of the largest block, so that the sealed one is as large as a block may be.
  package static let pieceBytes = Limits.blockBytes - tagBytes
  /// UTF-8 bytes of the longest name: sealed, and written in base 64, it has `Limits.nameBytes`.
  package static let nameBytes = Limits.nameBytes * 3 / 4 - tagBytes
  /// UTF-8 bytes of the longest target of a symlink, likewise.
  package static let targetBytes = Limits.pathBytes * 3 / 4 - tagBytes
  /// Of X25519.
  package static let publicKeyBytes = 32
  /// A private key under the recovery phrase: AES key wrap of 32 bytes.
  package static let wrappedPrivateKeyBytes = 40
  /// A folder's key for one member: format, two public keys, AES key wrap of 32 bytes.
  package static let wrappedFolderKeyBytes = 1 + 2 * publicKeyBytes + 40
  /// A version's plain size and content hash, sealed.
  package static let envelopeBytes = tagBytes + 8 + 32

  /// Whether so many bytes may be a sealed name.
  package static func isName(bytes: Int) -> Bool { (tagBytes + 1...tagBytes + nameBytes).contains(bytes) }
  /// Whether so many bytes may be a sealed target.
  package static func isTarget(bytes: Int) -> Bool { (tagBytes + 1...tagBytes + targetBytes).contains(bytes) }
}
