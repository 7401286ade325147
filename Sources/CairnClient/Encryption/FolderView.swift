internal import BlockModel
internal import ServiceAPI

/// Which folders are encrypted, as a client knows it at a moment: turns plain paths into those that the cluster knows, and its answers
/// back.
///
/// What must hold: nothing plain leaves for a place that is encrypted, or was when this device last knew; nothing that the cluster puts
/// into an encrypted folder passes for its contents.
struct FolderView: Sendable {
  /// An encrypted folder that the cluster speaks of.
  struct Root: Sendable {
    var id: EntryID
    var path: RemotePath
    /// Or why there is none on this device.
    var cipher: Result<FolderCipher, CairnError>
  }

  /// A place that this device knows as encrypted, and the cluster no longer does.
  struct Doubt: Sendable {
    var path: RemotePath
    var folder: EntryID
  }

  let roots: [Root]
  let doubts: [Doubt]
  private let byID: [EntryID: Int]

  init(roots: [Root] = [], doubts: [Doubt] = []) {
    self.roots = roots
    self.doubts = doubts
    byID = Dictionary(roots.indices.map { (roots[$0].id, $0) }, uniquingKeysWith: { first, _ in first })
  }

  func root(_ id: EntryID) -> Root? { byID[id].map { roots[$0] } }

  /// The encrypted folder that a plain path is or lies in.
  /// - Throws: `CairnError` `encryption` for a place of which the cluster says something else than this device knows.
  func root(over path: RemotePath) throws(CairnError) -> Root? {
    if let doubt = doubts.first(where: { path.isInside($0.path) }) {
      let now = root(doubt.folder).map { "has it at \($0.path) now" } ?? "no longer has it"
      throw CairnError(
        .encryption,
        "\(doubt.path) is an encrypted folder as far as this device knows, and the cluster \(now); nothing was sent. If that is as it "
          + "should be, run “cairn keys forget \(doubt.path)”.")
    }
    return roots.first { path.isInside($0.path) }
  }

  /// The folder whose key seals what is at a plain path; nil outside of all, and for an encrypted folder itself, whose name is plain.
  func root(around path: RemotePath) throws(CairnError) -> Root? {
    guard let root = try root(over: path), path != root.path else { return nil }
    return root
  }

  /// - Throws: `CairnError` `noKey` when this device cannot seal what goes there.
  func cipher(at path: RemotePath) throws(CairnError) -> FolderCipher? { try root(around: path)?.cipher.get() }

  /// Of what the cluster says lies in an encrypted folder.
  func cipher(of folder: EntryID) throws(CairnError) -> FolderCipher {
    guard let root = root(folder) else { throw FolderView.unknownFolder }
    return try root.cipher.get()
  }

  // MARK: To the cluster

  func sealed(_ path: RemotePath) throws(CairnError) -> RemotePath {
    guard let root = try root(around: path) else { return path }
    let cipher = try root.cipher.get()
    var components = root.path.components
    for name in path.components.dropFirst(root.path.components.count) { components.append(try cipher.sealed(name)) }
    let sealed = RemotePath(components: components)
    guard sealed.text.utf8.count <= Limits.pathBytes else {
      throw CairnError(.invalidArgument, "\(path) is too long for an encrypted folder; shorten the names or move it up.")
    }
    return sealed
  }

  // MARK: From the cluster

  /// An entry as its user knows it. What cannot be opened stays as it is, and is marked as locked.
  ///
  /// - Throws: `CairnError` `encryption` for an entry that is marked in one way and not in the other.
  func opened(_ entry: FileEntry) throws(CairnError) -> FileEntry {
    guard entry.keyFolder != nil || entry.encrypted != nil || !roots.isEmpty else { return entry }
    guard (entry.encrypted ?? false) == (entry.keyFolder != nil) else { throw FolderView.contradiction(entry.path) }
    guard let folder = entry.keyFolder else { return entry }
    guard folder != entry.id else { return entry }
    guard let root = root(folder), case .success(let cipher) = root.cipher, let opened = opened(entry, cipher) else {
      var locked = entry
      locked.isLocked = true
      return locked
    }
    return opened
  }

  private func opened(_ entry: FileEntry, _ cipher: FolderCipher) -> FileEntry? {
    guard let path = opened(entry.path, cipher), let name = path.name else { return nil }
    var opened = entry
    opened.path = path.text
    opened.name = name.text
    // Sealed names say nothing of upper and lower case.
    opened.caseClash = nil
    switch entry.kind {
    case .folder: break
    case .symlink:
      guard let target = entry.target.flatMap({ cipher.opened(target: $0) }) else { return nil }
      opened.target = target
    case .file:
      guard let envelope = entry.envelope, let hash = entry.contentHash, let content = cipher.opened(envelope: envelope, of: hash) else {
        return nil
      }
      // The cluster cannot tell by a sealed name.
      if entry.mimeType == MediaType.standard { opened.mimeType = MediaType.of(name: name.text, declared: nil) }
      opened.size = content.size
      opened.contentHash = content.contentHash
    }
    return opened
  }

  /// - Throws: `CairnError` `encryption` when something of a listing lies in an encrypted folder and is not marked as of it. What was
  ///   once, in the feed or the trash, may have lain where an encrypted folder is now.
  func check(_ listing: [FileEntry]) throws(CairnError) {
    guard !roots.isEmpty else { return }
    for entry in listing {
      guard let path = try? RemotePath(entry.path), let root = roots.first(where: { path.isInside($0.path) }) else { continue }
      guard entry.keyFolder == root.id else { throw FolderView.contradiction(entry.path) }
    }
  }

  /// The names at a path's end that were sealed with the key, at least one. Where the folder itself is, and was called once, need not be
  /// known: no plain name opens.
  private func opened(_ text: String, _ cipher: FolderCipher) -> RemotePath? {
    guard let path = try? RemotePath(text) else { return nil }
    var components = path.components
    for index in components.indices.reversed() {
      guard let name = cipher.opened(components[index]) else {
        return index == components.count - 1 ? nil : RemotePath(components: components)
      }
      components[index] = name
    }
    return RemotePath(components: components)
  }

  /// A path of an entry, such as where it was before.
  func opened(path: String, in folder: EntryID?) -> String {
    guard let folder, let root = root(folder), case .success(let cipher) = root.cipher else { return path }
    return opened(path, cipher)?.text ?? path
  }

  /// A sentence of the cluster with the sealed names in it opened.
  func opened(sentence: String) -> String {
    guard !roots.isEmpty else { return sentence }
    var result = ""
    var word = ""
    func flush() {
      // Shorter than any sealed name.
      if word.utf8.count > 22, let name = try? EntryName(word), let plain = opened(name) { result += plain.text } else { result += word }
      word = ""
    }
    for character in sentence {
      if character.isASCII, character.isLetter || character.isNumber || character == "-" || character == "_" {
        word.append(character)
      } else {
        flush()
        result.append(character)
      }
    }
    flush()
    return result
  }

  private func opened(_ name: EntryName) -> EntryName? {
    for root in roots { if case .success(let cipher) = root.cipher, let plain = cipher.opened(name) { return plain } }
    return nil
  }

  // MARK: Refusals

  static let unknownFolder = CairnError(.encryption, "The cluster speaks of an encrypted folder that it does not list; try again.")

  static func contradiction(_ path: String) -> CairnError {
    CairnError(
      .encryption, "The cluster says that \(path) is not encrypted, and it lies where all is; nothing was done. Tell the operator.")
  }

  static let acrossBorder = CairnError(
    .encryption, "Nothing is moved or copied across the border of an encrypted folder; get it, and put it where it shall be.")
}
