package import BlockModel
package import ClusterLogic

/// The remote tree, kept by the change feed.
///
/// What must hold: a change that does not fit is never guessed at; the tree is listed anew. While it is not whole nothing is planned, so a
/// gap in it is never taken for a deletion.
package struct RemoteView {
  package private(set) var tree: SyncTree
  /// Where the folder is now.
  package private(set) var path: String
  package private(set) var needsListing: Bool
  /// What the memory is to be told.
  package private(set) var changes: [SyncChange] = []
  /// The encrypted folder that the folder is or lies in. What is of another one, or of none, is no part of it.
  package var keyFolder: EntryID?

  package init(_ memory: SyncMemory) {
    tree = memory.remote
    path = memory.remotePath
    needsListing = !memory.isListed
  }

  /// - Throws: `stopped` when the folder itself is gone.
  package mutating func apply(_ change: RemoteChange) throws(SyncError) {
    // Until it is listed, the past says nothing about where the folder is now.
    if needsListing { return }
    let entry = change.entry
    if .entry(entry.id) == tree.root { return try applyToRoot(change) }
    if let old = change.oldPath, RemoteView.isInside(path, old) {
      path = entry.path + path.dropFirst(old.count)
      return
    }
    if change.action == .deleted, entry.kind == .folder, RemoteView.isInside(path, entry.path) { throw gone() }
    let id = SyncNodeID.entry(entry.id)
    if change.action == .deleted { return remove(id) }
    guard let names = names(entry.path), entry.keyFolder == keyFolder else { return remove(id) }
    guard !entry.isLocked else { throw RemoteView.locked }
    guard let parent = folder(names.dropLast()), let name = names.last else {
      needsListing = true
      return
    }
    // Nobody knows what is in a folder that came from elsewhere.
    let isKnown = tree[id] != nil
    if entry.kind == .folder, change.action == .entered || (change.action == .moved && !isKnown) {
      needsListing = true
      return
    }
    let node = entry.node(at: SyncPlace(parent, name))
    if tree[id] == node { return }
    let isOccupied = tree.child(node.place).map { $0 != id } ?? false
    if isOccupied || tree.ancestors(of: node.place).map({ $0.contains(id) }) ?? true {
      needsListing = true
      return
    }
    tree.insert(id, node)
    changes.append(.remote(entry.id, node))
  }

  private mutating func applyToRoot(_ change: RemoteChange) throws(SyncError) {
    switch change.action {
    case .deleted: throw gone()
    case .moved: path = change.entry.path
    case .entered:
      path = change.entry.path
      needsListing = true
    case .changed: break
    }
  }

  /// What is known cannot be continued.
  package mutating func reset() { needsListing = true }

  /// What cannot be opened must not look deleted.
  private static let locked = SyncError(
    .stopped, "Something in the encrypted folder cannot be opened with its key; nothing is synced until that is mended or removed.")

  func gone() -> SyncError {
    SyncError(
      .stopped, "The remote folder \(path) is gone; bring it back with “cairn restore \(path)”, or sync with another one.")
  }

  private mutating func remove(_ id: SyncNodeID) {
    for child in tree.children(of: id) { remove(child) }
    if tree[id] != nil, let entry = id.entry { changes.append(.remote(entry, nil)) }
    tree.remove(id)
  }

  /// Takes a whole listing in place of what was known.
  /// - Returns: false when it does not hang together, because things moved while it was made.
  package mutating func take(_ listing: [RemoteEntry], at path: String) throws(SyncError) -> Bool {
    self.path = path
    let listing = listing.filter { $0.keyFolder == keyFolder }
    guard !listing.contains(where: \.isLocked) else { throw RemoteView.locked }
    var tree = SyncTree(root: self.tree.root)
    var changes: [SyncChange] = [.remoteCleared]
    let entries = listing.compactMap { entry in names(entry.path).map { (entry: entry, names: $0) } }
    for (entry, names) in entries.sorted(by: { ($0.names.count, $0.entry.id) < ($1.names.count, $1.entry.id) }) {
      guard let name = names.last, let parent = RemoteView.folder(names.dropLast(), in: tree) else { return false }
      let node = entry.node(at: SyncPlace(parent, name))
      guard tree.child(node.place) == nil, tree[.entry(entry.id)] == nil else { return false }
      tree.insert(.entry(entry.id), node)
      changes.append(.remote(entry.id, node))
    }
    self.tree = tree
    self.changes = changes
    needsListing = false
    return true
  }

  // MARK: - Paths

  private static func isInside(_ path: String, _ folder: String) -> Bool { path == folder || path.hasPrefix(folder + "/") }

  /// Names from the synced folder down; nil for what is not in it.
  private func names(_ other: String) -> [String]? {
    let below: Substring
    if path == "/" {
      below = other.dropFirst()
    } else {
      guard other.hasPrefix(path + "/") else { return nil }
      below = other.dropFirst(path.count + 1)
    }
    let names = below.split(separator: "/").map(String.init)
    // What others share with the user hangs in the root and is no part of it.
    return names.isEmpty || (path == "/" && names[0] == "Shared with me") ? nil : names
  }

  private func folder(_ names: ArraySlice<String>) -> SyncNodeID? { RemoteView.folder(names, in: tree) }

  private static func folder(_ names: ArraySlice<String>, in tree: SyncTree) -> SyncNodeID? {
    var current = tree.root
    for name in names {
      guard let child = tree.child(SyncPlace(current, name)), tree.hasFolder(child) else { return nil }
      current = child
    }
    return current
  }
}
