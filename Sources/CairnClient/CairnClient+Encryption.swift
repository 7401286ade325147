internal import BlockModel
internal import Platform
internal import ServiceAPI

/// A key pair by which folders are shared, as people see it.
public struct KeyStatus: Sendable, Equatable, Codable {
  /// Whose it is.
  public var user: String
  /// What two people compare: eight words.
  public var fingerprint: String
  /// Counts the user's pairs, from 1.
  public var generation: Int64
  /// Whether the private key is on this device; nil for somebody else's.
  public var isOnThisDevice: Bool?

  private enum CodingKeys: String, CodingKey {
    case user, fingerprint, generation
    case isOnThisDevice = "on_this_device"
  }
}

/// A new key pair, with what brings it to other devices. Encoded with the phrase in it.
public struct NewKeys: Sendable, Codable {
  /// The pair.
  public var status: KeyStatus
  /// Nine words, shown this once: whoever has them, and may read the user's account, can open what the user can open.
  public var recoveryPhrase: String

  private enum CodingKeys: String, CodingKey {
    case status = "keys"
    case recoveryPhrase = "recovery_phrase"
  }
}

/// Encrypted folders, whose names and contents are sealed before they leave this machine.
extension CairnClient {
  // MARK: The user's keys

  /// Makes the user's key pair, keeps it on this device, and leaves it with the cluster under a recovery phrase.
  ///
  /// - Parameter replacing: makes a new one in place of one that is lost. What was wrapped to the lost one has to be shared again.
  /// - Throws: `CairnError` `conflict` when there is one already.
  public func createKeys(replacing: Bool = false) async throws(CairnError) -> NewKeys {
    try await answering {
      let former = try await gateway.keyPair()
      guard former == nil || replacing else {
        throw CairnError(
          .conflict,
          "You have a key pair already; run “cairn keys recover” to use it here, or, if its recovery phrase is lost, "
            + "“cairn keys create --replace”.")
      }
      let keys = try UserKeys.generate()
      let phrase = RecoveryPhrase()
      let kept = try await gateway.putKeyPair(
        publicKey: Base64URL.encode(keys.publicKey), wrappedPrivateKey: Base64URL.encode(try keys.wrappedPrivateKey(under: phrase)),
        replaces: former?.generation ?? 0)
      try await gateway.folders.update(gateway) { $0.setOwnKeys(keys) }
      return NewKeys(status: try await status(kept, isHere: true), recoveryPhrase: phrase.text)
    }
  }

  /// The user's own key pair; nil when there is none yet.
  public func keys() async throws(CairnError) -> KeyStatus? {
    try await answering {
      guard let pair = try await gateway.keyPair() else { return nil }
      let own = try await gateway.folders.keys(gateway).ownKeys
      return try await status(pair, isHere: own.map { Base64URL.encode($0.publicKey) == pair.publicKey } ?? false)
    }
  }

  /// Another user's public key, which this device remembers from then on.
  ///
  /// - Throws: `CairnError` `keyChanged` when it remembers another one, unless `acceptNewKey`; `noKey` when the user has none.
  public func keys(of user: String, acceptNewKey: Bool = false) async throws(CairnError) -> KeyStatus {
    try await answering {
      let (key, info) = try await pinnedKey(of: user, acceptNewKey: acceptNewKey)
      return KeyStatus(user: info.user, fingerprint: UserKeys.fingerprint(of: key), generation: info.generation, isOnThisDevice: nil)
    }
  }

  /// Brings the user's private key to this device.
  ///
  /// - Throws: `CairnError` `invalidArgument` for a phrase that is mistyped or another one; `noKey` when there is no pair.
  public func recoverKeys(phrase text: String) async throws(CairnError) -> KeyStatus {
    try await answering {
      let phrase = try RecoveryPhrase(text)
      guard let pair = try await gateway.keyPair() else {
        throw CairnError(.noKey, "You have no key pair yet; make one with “cairn keys create”.")
      }
      guard let wrapped = Base64URL.decode(pair.wrappedPrivateKey), let publicKey = Base64URL.decode(pair.publicKey),
        let keys = UserKeys.open(wrapped, under: phrase, publicKey: publicKey)
      else { throw CairnError(.invalidArgument, "The recovery phrase is not that of your key pair; perhaps it is of a former one.") }
      try await gateway.folders.update(gateway) { $0.setOwnKeys(keys) }
      return try await status(pair, isHere: true)
    }
  }

  /// Removes the private key and the keys of all folders from this device. That they are encrypted it does not forget.
  public func forgetKeys() async throws(CairnError) {
    try await answering { try await gateway.folders.update(gateway) { $0.forgetKeys() } }
  }

  /// Makes this device expect nothing encrypted at or below a path any more. What is encrypted there now it finds out anew.
  ///
  /// - Throws: `CairnError` `notFound` when it expects nothing there.
  public func forgetEncryptedFolder(_ path: String) async throws(CairnError) {
    try await answering {
      let path = try RemotePath(path)
      let isThere = try await gateway.folders.keys(gateway).folders.contains { folder in
        folder.paths.contains { (try? RemotePath($0))?.isInside(path) ?? false }
      }
      guard isThere else { throw CairnError(.notFound, "This device knows of no encrypted folder at \(path).") }
      try await gateway.folders.update(gateway) { _ = $0.forget(at: path) }
    }
  }

  private func status(_ pair: KeyPairInfo, isHere: Bool) async throws -> KeyStatus {
    KeyStatus(
      user: try await gateway.folders.userName(gateway), fingerprint: UserKeys.fingerprint(of: Base64URL.decode(pair.publicKey) ?? []),
      generation: pair.generation, isOnThisDevice: isHere)
  }

  // MARK: Folders

  /// Makes an encrypted folder, whose name is the last that the cluster learns of it in plain.
  ///
  /// - Parameters:
  ///   - parents: makes missing folders above.
  ///   - chunking: how files in it are cut; as the folder above says when nil.
  /// - Throws: `CairnError` `noKey` when this device has no key pair; `conflict` when something is there.
  @discardableResult
  public func makeEncryptedFolder(
    _ path: String, parents: Bool = false, chunking: Chunking? = nil
  ) async throws(CairnError) -> Entry {
    try await answering {
      let path = try RemotePath(path)
      guard try await gateway.view().root(over: path) == nil else {
        throw CairnError(.encryption, "\(path) is or lies in an encrypted folder already; everything in there is encrypted.")
      }
      let (own, generation) = try await ownKeys()
      let key = SecretBytes(randomCount: 32)
      let wrapped = try WrappedFolderKey.wrap(key, to: own.publicKey, from: own)
      let entry = try await gateway.createEncryptedFolder(
        path, parents: parents, chunker: chunking.map { FolderChunker($0.wire) },
        key: WrappedKey(wrappedKey: Base64URL.encode(wrapped), generation: generation))
      guard entry.encrypted == true, entry.keyFolder == entry.id else {
        throw CairnError(.encryption, "The cluster made \(path) without encryption; remove it, and ask the operator to upgrade.")
      }
      try await gateway.folders.update(gateway) { _ = $0.remember(entry.id, at: path.text, key: key) }
      return Entry(entry)
    }
  }

  /// This device's pair, which has to be the one that the cluster keeps.
  private func ownKeys() async throws -> (keys: UserKeys, generation: Int64) {
    let pair = try await gateway.keyPair()
    guard let own = try await gateway.folders.keys(gateway).ownKeys else {
      throw CairnError(
        .noKey,
        pair == nil
          ? "You have no key pair yet; make one with “cairn keys create”."
          : "This device does not have your key; run “cairn keys recover” with your recovery phrase.")
    }
    guard let pair, pair.publicKey == Base64URL.encode(own.publicKey) else {
      throw CairnError(.keyChanged, "The cluster keeps another key pair for you than this device has; run “cairn keys recover”.")
    }
    return (own, pair.generation)
  }

  /// A user's public key, which is the one that this device saw first.
  private func pinnedKey(of user: String, acceptNewKey: Bool) async throws -> (key: [UInt8], info: PublicKeyInfo) {
    guard let info = try await gateway.publicKey(of: user), let key = Base64URL.decode(info.publicKey),
      key.count == SealedForm.publicKeyBytes
    else {
      throw CairnError(
        .noKey, "\(user) has no key pair yet, so nothing can be encrypted for \(user); ask \(user) to run “cairn keys create”.")
    }
    let known = try await gateway.folders.keys(gateway).publicKey(of: user)
    guard known == nil || known == key || acceptNewKey else { throw EncryptedFolders.changed(user) }
    if known != key { try await gateway.folders.update(gateway) { $0.pin(key, of: user) } }
    return (key, info)
  }

  /// Shares an encrypted folder: first the share, because only who sees a folder may be given its key.
  func shareEncrypted(
    _ entry: FileEntry, with user: String, role: String, acceptNewKey: Bool
  ) async throws -> ShareGrant {
    guard let folder = entry.keyFolder, folder == entry.id else {
      throw CairnError(.encryption, "One key opens all of an encrypted folder, so it is shared as a whole; share the folder itself.")
    }
    let cipher = try await gateway.view().cipher(of: folder)
    let (own, _) = try await ownKeys()
    let (recipient, info) = try await pinnedKey(of: user, acceptNewKey: acceptNewKey)
    let wrapped = try WrappedFolderKey.wrap(cipher.key, to: recipient, from: own)
    var grant = ShareGrant(try await gateway.share(folder, with: user, role: role))
    try await gateway.putFolderKey(folder, user: user, wrappedKey: Base64URL.encode(wrapped), generation: info.generation)
    grant.fingerprint = UserKeys.fingerprint(of: recipient)
    return grant
  }
}
