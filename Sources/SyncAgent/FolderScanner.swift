internal import BlockModel
internal import ClusterLogic

/// What a scan found, in the form that the matcher takes, and what is to be said about it.
struct FolderScan {
  var items: [ScannedItem] = []
  var paths: [String] = []
  var found: [FolderItem] = []
  var ignores = IgnoreTree()
  /// Files to be hashed before they can be planned: places in `items`.
  var unknown: [Int] = []
  var issues: [SyncIssue] = []
  /// Folders, the root's path being empty: what a watch has to look at.
  var folders: [String] = []
  /// Folders that may not be read. What is in them is left out, for it must not look deleted.
  var unreadable: Set<String> = []

  func isUnreadable(_ names: [String]) -> Bool {
    !unreadable.isEmpty && (1..<max(names.count, 1)).contains { unreadable.contains(names[..<$0].joined(separator: "/")) }
  }
}

/// Something that a person should know.
package struct SyncIssue: Hashable, Sendable {
  package enum Kind: String, Sendable { case special, name, encrypted, caseClash = "case-clash", ignoredCopy = "spelled-twice", failed }
  package var kind: Kind
  package var path: String
  package var message: String
  package init(_ kind: Kind, _ path: String, _ message: String) {
    self.kind = kind
    self.path = path
    self.message = message
  }
}

/// Reads the local folder, and again only what hints say has changed.
struct FolderScanner {
  /// What a folder held when it was read last, and which folder that was.
  private struct Listing {
    var identity: LocalIdentity?
    var items: [FolderItem]
  }

  private var known: [String: Listing] = [:]
  private var dirty: Set<String> = []
  private var ignoreFiles: [String: IgnoreRules?] = [:]
  private var isAllDirty = true
  /// Paths that are left out together with all below them.
  var isLeftOut: @Sendable (_ names: [String]) -> Bool

  init(isLeftOut: @escaping @Sendable (_ names: [String]) -> Bool) { self.isLeftOut = isLeftOut }

  mutating func markAll() { isAllDirty = true }
  mutating func mark(_ folder: String) { dirty.insert(folder) }

  /// - Parameter hash: the content of a file that is known already; nil when it has to be read.
  mutating func scan(
    _ folder: some SyncFolder, hash: (_ path: String, _ item: FolderItem) -> String?
  ) throws(SyncError) -> FolderScan {
    if isAllDirty { (known, ignoreFiles) = ([:], [:]) }
    for path in dirty { (known[path], ignoreFiles[path]) = (nil, nil) }
    (isAllDirty, dirty) = (false, [])
    var scan = FolderScan()
    var fresh: [String: Listing] = [:]
    var freshIgnores: [String: IgnoreRules?] = [:]
    var stack: [(path: String, names: [String], index: Int)] = [("", [], -1)]
    while let (path, names, index) = stack.popLast() {
      let items: [FolderItem]
      // Another folder under the name, or names in it that came and went, need no hint to be seen.
      let identity = index < 0 ? nil : scan.items[index].identity
      do throws(SyncError) {
        if let kept = known[path], kept.identity == identity { items = kept.items } else { items = try folder.list(path) }
      } catch {
        guard path != "", error.code != .stopped else { throw error }
        if error.code == .refused {
          scan.unreadable.insert(path)
          scan.items[index].holdsUntracked = true
          scan.issues.append(SyncIssue(.failed, path, error.message))
          continue
        }
        // It went away in between: the parent is read anew, and the round with it.
        dirty.insert(Self.parent(of: path))
        throw SyncError(.stale, "\(path) changed while it was read.")
      }
      fresh[path] = Listing(identity: identity, items: items)
      scan.folders.append(path)
      let rules: IgnoreRules?
      if known[path]?.identity == identity, let kept = ignoreFiles[path] {
        rules = kept
      } else {
        let isThere = items.contains { $0.name == IgnoreRules.fileName && $0.kind == .file }
        rules = isThere ? try folder.text(Self.join(path, IgnoreRules.fileName), limit: IgnoreRules.fileLimit).map(IgnoreRules.init) : nil
      }
      freshIgnores[path] = .some(rules)
      if let rules { scan.ignores.set(rules, in: names) }
      var folders: [(String, [String], Int)] = []
      var spellings: Set<String> = []
      var folded: [String: String] = [:]
      for item in items {
        let here = names + [item.name]
        let itemPath = Self.join(path, item.name)
        guard take(item, here, itemPath, &scan, &spellings, &folded) else {
          if index >= 0, !ReservedName.isReserved(item.name) { scan.items[index].holdsUntracked = true }
          continue
        }
        add(item, itemPath, below: index, &scan, hash)
        if item.kind == .folder { folders.append((itemPath, here, scan.items.count - 1)) }
      }
      stack += folders.reversed()
    }
    (known, ignoreFiles) = (fresh, freshIgnores)
    return scan
  }

  /// Whether it is synced at all; says why not where a person should know.
  private func take(
    _ item: FolderItem, _ names: [String], _ path: String, _ scan: inout FolderScan, _ spellings: inout Set<String>,
    _ folded: inout [String: String]
  ) -> Bool {
    if scan.ignores.isIgnored(names, isFolder: item.kind == .folder) || isLeftOut(names) { return false }
    guard item.kind != .special else {
      scan.issues.append(SyncIssue(.special, path, "\(path) is a socket, pipe or device and is not synced."))
      return false
    }
    do { _ = try EntryName(item.name) } catch {
      scan.issues.append(SyncIssue(.name, path, "\(path) cannot be synced: \(error.description); rename it."))
      return false
    }
    guard names.count <= Limits.pathDepth else {
      scan.issues.append(SyncIssue(.name, path, "\(path) lies deeper than \(Limits.pathDepth) folders; move it up."))
      return false
    }
    guard spellings.insert(item.name).inserted else {
      scan.issues.append(
        SyncIssue(.ignoredCopy, path, "\(path) has the same name as another file in its folder, spelled in other code points; rename it."))
      return false
    }
    if let other = folded.updateValue(item.name, forKey: item.name.lowercased()) {
      scan.issues.append(
        SyncIssue(.caseClash, path, "\(path) and \(other) differ in upper and lower case alone; some devices cannot hold both."))
    }
    if let reason = PortableName.complaint(item.name) { scan.issues.append(SyncIssue(.name, path, "\(path) \(reason).")) }
    return true
  }

  private func add(
    _ item: FolderItem, _ path: String, below parent: Int, _ scan: inout FolderScan, _ hash: (String, FolderItem) -> String?
  ) {
    let kind: SyncNode.Kind
    var content: String?
    switch item.kind {
    case .folder: (kind, content) = (.folder, "")
    case .symlink: (kind, content) = (.symlink, item.target ?? "")
    case .file, .special:
      (kind, content) = (.file, hash(path, item))
      if content == nil, !ReservedName.isReserved(item.name) || ReservedName.isAside(item.name) { scan.unknown.append(scan.items.count) }
    }
    scan.items.append(
      ScannedItem(parent: parent, name: item.name, kind: kind, identity: item.identity, executable: item.executable, content: content))
    scan.paths.append(path)
    scan.found.append(item)
  }

  static func join(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : folder + "/" + name }
  static func parent(of path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }
}

/// Names that are fine here and that some other systems refuse.
enum PortableName {
  private static let devices: Set<String> = Set(
    ["con", "prn", "aux", "nul"] + (1...9).flatMap { ["com\($0)", "lpt\($0)"] })

  /// What is wrong with it; nil when nothing is.
  static func complaint(_ name: String) -> String? {
    if name.contains(where: { "<>:\"\\|?*".contains($0) }) { return "has a character that Windows does not allow in names" }
    if name.hasSuffix(" ") || name.hasSuffix(".") { return "ends with a space or a point, which Windows drops" }
    let base = name.split(separator: ".", omittingEmptySubsequences: false).first.map(String.init) ?? name
    return devices.contains(base.lowercased()) ? "is the name of a device on Windows" : nil
  }
}
