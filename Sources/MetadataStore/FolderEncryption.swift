internal import BlockModel
internal import Platform
internal import SQLSession
internal import ServiceAPI

/// The border of encrypted folders. What is inside was sealed by clients, and has to stay where its key is; what is outside must not get in
/// unsealed.
///
/// What must hold: an entry's `keyFolder` is its parent's, or its own id for an encrypted folder, whose parent has none; every name and
/// every file inside has the form of something sealed. It is set when the entry is made and never changes, so only what puts an entry
/// somewhere has to look.
extension NamespaceEditor {
  /// The encrypted folder that a folder is or lies in. Asks nothing of a namespace that has none.
  func keyFolder(of folder: EntryID) throws -> EntryID? {
    guard state.encryptedFolders > 0 else { return nil }
    if let known = keyFolders[folder] { return known }
    let found = try db.first("SELECT key_folder FROM entries WHERE ns = ? AND id = ?", .integer(namespace), .id(folder)) {
      row -> EntryID? in
      row.isNull(0) ? nil : row.id(0)
    }
    keyFolders[folder] = .some(found ?? nil)
    return found ?? nil
  }

  /// The encrypted folder that something at this path would lie in, as far as the folders above it are there.
  func keyFolder(above path: RemotePath) throws -> EntryID? {
    guard state.encryptedFolders > 0 else { return nil }
    var path = path
    while let above = path.parent {
      if let row = try lookUp(above, view) { return row.keyFolder }
      path = above
    }
    return nil
  }

  /// - Throws: unless a name may stand in a folder: inside of an encrypted one only sealed ones may.
  func check(_ name: EntryName, in keyFolder: EntryID?) throws(Problem) {
    guard keyFolder != nil else { return }
    guard let sealed = Base64URL.decode(name.text), SealedForm.isName(bytes: sealed.count) else {
      throw Problem(.encryptionBoundary, "Names in an encrypted folder are sealed by the client, and this one is not.")
    }
  }

  /// - Throws: unless a symlink in a folder may have the target: it is sealed as names are.
  func check(target: String, in keyFolder: EntryID?) throws(Problem) {
    guard keyFolder != nil else { return }
    guard let sealed = Base64URL.decode(target), SealedForm.isTarget(bytes: sealed.count) else {
      throw Problem(
        .encryptionBoundary, "Targets of links in an encrypted folder are sealed by the client, and this one is not.")
    }
  }

  /// - Throws: unless the entry may lie in the folder under this name.
  func checkBorder(_ row: EntryRow, named name: EntryName, into folder: EntryID) throws {
    let inside = try keyFolder(of: folder)
    if row.keyFolder == row.id {
      guard inside == nil else { throw Problem(.encryptionBoundary, "An encrypted folder cannot lie in another one.") }
    } else {
      guard row.keyFolder == inside else { throw Problem.acrossBorder }
      try check(name, in: inside)
    }
  }

  /// A new entry in a folder, checked and marked as what the folder is.
  func marked(_ row: EntryRow, named name: EntryName, in folder: EntryID) throws -> EntryRow {
    var row = row
    row.keyFolder = try keyFolder(of: folder)
    try check(name, in: row.keyFolder)
    return row
  }

  /// What a commit says of its version for those who have the key.
  func checkedEnvelope(_ text: String?, in keyFolder: EntryID?) throws(Problem) -> [UInt8]? {
    guard let text else {
      guard keyFolder == nil else {
        throw Problem(.encryptionBoundary, "Files in an encrypted folder are sealed by the client, and this one is not.")
      }
      return nil
    }
    guard keyFolder != nil else { throw Problem(.encryptionBoundary, "This file is sealed, and its folder is not encrypted.") }
    guard let envelope = Base64URL.decode(text), envelope.count == SealedForm.envelopeBytes else {
      throw Problem(.malformed, "`envelope` is \(SealedForm.envelopeBytes) bytes in base 64 for URLs.")
    }
    return envelope
  }

  // MARK: - Encrypted folders

  /// Makes a new encrypted folder with the caller's wrapped key.
  func createEncryptedFolder(
    _ path: RemotePath, parents: Bool, modifiedAt: FileTime?, chunker: FolderChunker?, key: WrappedKey
  ) throws -> FileEntry {
    guard let name = path.name else { throw Problem(.alreadyExists, "The root is a folder.") }
    guard view.mount == nil else {
      throw Problem(.forbidden, "An encrypted folder is made in your own tree: make it there and share it.")
    }
    if let row = try lookUp(path, view) { throw try occupied(row, path) }
    let wrapped = try transaction.checked(key, for: principal.userNumber, principal.userName)
    let parent = try parentFolder(of: path, makeMissing: parents)
    guard try keyFolder(of: parent) == nil else {
      throw Problem(.encryptionBoundary, "An encrypted folder cannot lie in another one.")
    }
    var row = EntryRow(
      id: context.orderedID(now), parent: parent, name: name.text, kind: .folder, modifiedAt: modifiedAt ?? FileTime(now),
      chunker: chunker?.chunker)
    row.keyFolder = row.id
    try insert(row)
    try record(.created, row, path: path.text)
    try db.send("INSERT INTO encrypted_folders (ns, entry) VALUES (?, ?)", .integer(namespace), .id(row.id))
    state.encryptedFolders += 1
    try transaction.put(wrapped, key.generation, of: row.id, namespace, member: principal.userNumber, by: principal)
    return try chunker == nil ? document(row, path) : withChunkers(document(row, path), row, view)
  }

  /// A share was taken back: the member keeps no key of a folder that they no longer see.
  func forgetKeys(of member: Principal) throws {
    guard state.encryptedFolders > 0 else { return }
    let folders = try db.all(
      "SELECT entry FROM folder_keys WHERE ns = ? AND member = ? ORDER BY entry", .integer(namespace), .integer(member.userNumber)
    ) { $0.id(0) as EntryID }
    for folder in folders where try transaction.shares(above: folder, namespace, of: member).isEmpty {
      try db.send(
        "DELETE FROM folder_keys WHERE ns = ? AND entry = ? AND member = ?", .integer(namespace), .id(folder),
        .integer(member.userNumber))
    }
  }

  /// An entry is deleted for good.
  func forgetKeys(ofFolder id: EntryID) throws {
    guard state.encryptedFolders > 0 else { return }
    let gone = try db.run("DELETE FROM encrypted_folders WHERE ns = ? AND entry = ?", .integer(namespace), .id(id))
    guard gone > 0 else { return }
    state.encryptedFolders -= Int64(gone)
    try db.send("DELETE FROM folder_keys WHERE ns = ? AND entry = ?", .integer(namespace), .id(id))
  }
}

extension Problem {
  static let acrossBorder = Problem(
    .encryptionBoundary, "Nothing is moved or copied across the border of an encrypted folder: get it, and put it where it shall be.")
  static let noCopyBeside = Problem(
    .encryptionBoundary, "In an encrypted folder the client names the conflicted copy: upload it under that name.")
  fileprivate static let noKeyPair = Problem(.notFound, "You have no key pair: make one first.")
}

extension WriteTransaction {
  /// Keeps a pair for the caller; the one that is kept already is the answer.
  func putKeyPair(_ operation: UserOperations.PutKeyPair, _ principal: Principal) throws -> KeyPairInfo {
    guard let publicKey = Base64URL.decode(operation.publicKey), publicKey.count == SealedForm.publicKeyBytes else {
      throw Problem(.malformed, "`public_key` is \(SealedForm.publicKeyBytes) bytes in base 64 for URLs.")
    }
    guard let wrapped = Base64URL.decode(operation.wrappedPrivateKey), wrapped.count == SealedForm.wrappedPrivateKeyBytes else {
      throw Problem(.malformed, "`wrapped_private_key` is \(SealedForm.wrappedPrivateKeyBytes) bytes in base 64 for URLs.")
    }
    // Two devices may be making one at the same time.
    return try edit(principal) { _ in
      let there = try keyPair(of: principal.userNumber)
      if let there, there.publicKey == operation.publicKey, there.wrappedPrivateKey == operation.wrappedPrivateKey { return there }
      let generation = there?.generation ?? 0
      guard operation.replaces == generation else {
        throw Problem(.conflict, generation == 0 ? "You have no key pair that could be replaced." : "You have a key pair already.")
      }
      try db.send(
        """
        INSERT INTO user_keys (user, generation, public_key, wrapped_private_key, created_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (user) DO UPDATE SET generation = excluded.generation, public_key = excluded.public_key,
          wrapped_private_key = excluded.wrapped_private_key, created_at = excluded.created_at
        """, .integer(principal.userNumber), .integer(generation + 1), .blob(publicKey), .blob(wrapped), .time(now))
      try log(actor: principal.userName, action: "put-key-pair", subject: "\(principal.user.hex) \(generation + 1)")
      return KeyPairInfo(
        publicKey: operation.publicKey, wrappedPrivateKey: operation.wrappedPrivateKey, generation: generation + 1, createdAt: now)
    }
  }

  /// Hands a folder's key to a user who sees the folder. Who may share the folder may do that.
  func putFolderKey(_ operation: UserOperations.PutFolderKey, _ principal: Principal) throws {
    guard let member = try user(named: operation.user) else { throw Problem(.notFound, "There is no user \(operation.user).") }
    try edit(operation.entry, principal) { editor in
      let found = try editor.locate(operation.entry, for: .share)
      guard found.row.keyFolder == found.row.id else {
        throw Problem(.encryptionBoundary, "\(found.callerPath) is not an encrypted folder, so it has no key.")
      }
      guard try member.namespaceNumber == editor.namespace || !shares(above: found.row.id, editor.namespace, of: member).isEmpty else {
        throw Problem(.notFound, "\(found.callerPath) is not shared with \(member.userName).")
      }
      let wrapped = try checked(operation.key, for: member.userNumber, member.userName)
      try put(wrapped, operation.key.generation, of: found.row.id, editor.namespace, member: member.userNumber, by: principal)
      try log(actor: principal.userName, action: "put-folder-key", subject: "\(found.row.id.hex) \(member.userName)")
    }
  }

  /// - Throws: `.malformed`, `.conflict` when it is not wrapped to the pair that the user has now.
  fileprivate func checked(_ key: WrappedKey, for user: Int64, _ name: String) throws -> [UInt8] {
    guard let wrapped = Base64URL.decode(key.wrappedKey), wrapped.count == SealedForm.wrappedFolderKeyBytes else {
      throw Problem(.malformed, "`wrapped_key` is \(SealedForm.wrappedFolderKeyBytes) bytes in base 64 for URLs.")
    }
    guard try keyPair(of: user)?.generation == key.generation else {
      throw Problem(.conflict, "\(name) has no key pair of generation \(key.generation) now: ask for the present one.")
    }
    return wrapped
  }

  fileprivate func put(
    _ wrapped: [UInt8], _ generation: Int64, of folder: EntryID, _ namespace: Int64, member: Int64, by principal: Principal
  ) throws {
    try db.send(
      """
      INSERT INTO folder_keys (ns, entry, member, wrapped_key, generation, granted_by) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT (ns, entry, member) DO UPDATE SET wrapped_key = excluded.wrapped_key, generation = excluded.generation,
        granted_by = excluded.granted_by
      """, .integer(namespace), .id(folder), .integer(member), .blob(wrapped), .integer(generation), .integer(principal.userNumber))
  }
}

extension MetadataReading {
  /// Nil for a user who has none.
  func keyPair(of user: Int64) throws -> KeyPairInfo? {
    try db.first(
      "SELECT public_key, wrapped_private_key, generation, created_at FROM user_keys WHERE user = ?", .integer(user)
    ) { row in
      KeyPairInfo(
        publicKey: Base64URL.encode(row.blob(0)), wrappedPrivateKey: Base64URL.encode(row.blob(1)), generation: row.int64(2),
        createdAt: row.time(3))
    }
  }
}

extension ReadTransaction {
  func keyPair(_ principal: Principal) throws -> KeyPairInfo {
    guard let pair = try keyPair(of: principal.userNumber) else { throw Problem.noKeyPair }
    return pair
  }

  func publicKey(ofUserNamed name: String) throws -> PublicKeyInfo {
    guard let user = try user(named: name) else { throw Problem(.notFound, "There is no user \(name).") }
    guard let pair = try keyPair(of: user.userNumber) else { throw Problem(.notFound, "\(user.userName) has no key pair yet.") }
    return PublicKeyInfo(user: user.userName, publicKey: pair.publicKey, generation: pair.generation)
  }

  /// The encrypted folders that the caller sees, in no order that means anything.
  func folderKeys(limit: Int, cursor: String?, _ principal: Principal) throws -> Page<FolderKeyInfo> {
    let limit = min(max(1, limit), ReadTransaction.listLimit)
    let after = try FolderKeyPlace(cursor)
    var rows = try db.all(
      """
      SELECT f.ns, f.entry, k.wrapped_key, k.generation, g.name
      FROM (SELECT number AS ns FROM namespaces WHERE number = ?2 UNION SELECT ns FROM shares WHERE member = ?1) AS seen
      JOIN encrypted_folders f ON f.ns = seen.ns
      LEFT JOIN folder_keys k ON k.ns = f.ns AND k.entry = f.entry AND k.member = ?1 LEFT JOIN users g ON g.number = k.granted_by
      WHERE f.ns > ?3 OR f.ns = ?3 AND f.entry > ?4
      ORDER BY f.ns, f.entry LIMIT ?5
      """, .integer(principal.userNumber), .integer(principal.namespaceNumber), .integer(after.namespace), .blob(after.entry),
      .int(limit + 1)
    ) { row in
      (
        place: FolderKeyPlace(namespace: row.int64(0), entry: row.blob(1)), id: row.id(1) as EntryID,
        key: row.optionalBlob(2).map { WrappedKey(wrappedKey: Base64URL.encode($0), generation: row.int64(3)) },
        grantedBy: row.optionalText(4)
      )
    }
    let hasMore = rows.count > limit
    if hasMore { rows.removeLast() }
    let items = try rows.compactMap { row -> FolderKeyInfo? in
      do {
        let folder = try locate(.id(row.id), for: .stat, principal)
        return FolderKeyInfo(folder: folder.document, key: row.key, grantedBy: row.grantedBy)
      } catch is Problem {
        // What is in the trash, or in a part of somebody's tree that is not shared, is not there. A database that fails says nothing of it:
        // a list without the folder would have its client take it for plain.
        return nil
      }
    }
    return Page(items: items, next: hasMore ? rows.last?.place.cursor : nil)
  }
}

/// Where a page of folders' keys ended.
private struct FolderKeyPlace {
  var namespace: Int64 = -1
  var entry: [UInt8] = []

  init(namespace: Int64, entry: [UInt8]) {
    self.namespace = namespace
    self.entry = entry
  }

  init(_ cursor: String?) throws(Problem) {
    guard let cursor else { return }
    let parts = try ListCursor.decode(cursor)
    guard parts.count == 3, parts[0] == "k", let namespace = Int64(parts[1]), let entry = HexDigits.decode(parts[2]) else {
      throw ListCursor.invalid
    }
    (self.namespace, self.entry) = (namespace, entry)
  }

  var cursor: String { ListCursor.encode(["k", String(namespace), HexDigits.encode(entry)]) }
}
