internal import BlockModel
internal import ClusterLogic

/// What a scan found, in the form that the matcher takes, and what is to be said about it.
struct FolderScan {
  var items: [ScannedItem] = []
  var found: [FolderItem] = []
  var ignores = IgnoreTree()
  /// Files to be hashed before they can be planned: places in `items`.
  var unknown: [Int] = []
  var issues: [SyncIssue] = []
  /// Folders, the root's path being empty: what a watch has to look at.
  var folders: [String] = []
  /// Folders that may not be read. What is in them is left out, for it must not look deleted.
  var unreadable: Set<String> = []

  /// Where an item is, from the folder down.
  func path(_ place: Int) -> String {
    var names: [String] = []
    var current = place
    while current >= 0 {
      names.append(items[current].name)
      current = items[current].parent
    }
    return names.reversed().joined(separator: "/")
  }

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
  /// What a folder held when it was read last, which folder that was, and what was made of it.
  private struct Listing {
    var identity: LocalIdentity?
    var items: [FolderItem]
    var judgement: FolderJudgement
  }

  private var known: [String: Listing] = [:]
  private var dirty: Set<String> = []
  private var ignoreFiles: [String: IgnoreRules?] = [:]
  private var isAllDirty = true
  /// Paths that are left out together with all below them; nil where that is nothing.
  var isLeftOut: (@Sendable (_ names: [String]) -> Bool)?

  init(isLeftOut: (@Sendable (_ names: [String]) -> Bool)?) { self.isLeftOut = isLeftOut }

  func leavesOut(_ names: [String]) -> Bool { isLeftOut?(names) ?? false }
  mutating func markAll() { isAllDirty = true }
  mutating func mark(_ folder: String) { dirty.insert(folder) }

  /// - Parameter content: of a file that is known already; nil when it has to be read.
  mutating func scan(
    _ folder: some SyncFolder, content: (_ item: FolderItem, _ path: () -> String) -> SyncContent?
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
      var judgement: FolderJudgement?
      // Another folder under the name, or names in it that came and went, need no hint to be seen.
      let identity = index < 0 ? nil : scan.items[index].identity
      do throws(SyncError) {
        if let kept = known[path], kept.identity == identity {
          (items, judgement) = (kept.items, kept.judgement)
        } else {
          items = try folder.list(path)
        }
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
      let leftOut = leftOut(items, in: names, scan)
      let judged: FolderJudgement
      if let judgement, judgement.leftOut == leftOut {
        judged = judgement
      } else {
        judged = FolderJudgement(items, in: path, depth: names.count, leftOut: leftOut)
      }
      fresh[path] = Listing(identity: identity, items: items, judgement: judged)
      scan.issues += judged.issues
      var folders: [(String, [String], Int)] = []
      for (place, item) in items.enumerated() {
        guard judged.isTaken[place] else {
          if index >= 0, !ReservedName.isReserved(item.name) { scan.items[index].holdsUntracked = true }
          continue
        }
        add(item, path, below: index, &scan, content)
        if item.kind == .folder { folders.append((Self.join(path, item.name), names + [item.name], scan.items.count - 1)) }
      }
      stack += folders.reversed()
    }
    (known, ignoreFiles) = (fresh, freshIgnores)
    return scan
  }

  /// What the user leaves out of a folder; empty where that is nothing.
  private func leftOut(_ items: [FolderItem], in names: [String], _ scan: FolderScan) -> [Bool] {
    if scan.ignores.isEmpty, isLeftOut == nil { return [] }
    return items.map { item in
      let here = names + [item.name]
      return scan.ignores.isIgnored(here, isFolder: item.kind == .folder) || leavesOut(here)
    }
  }

  private func add(
    _ item: FolderItem, _ folder: String, below parent: Int, _ scan: inout FolderScan,
    _ known: (_ item: FolderItem, _ path: () -> String) -> SyncContent?
  ) {
    let kind: SyncNode.Kind
    var content: SyncContent?
    switch item.kind {
    case .folder: (kind, content) = (.folder, "")
    case .symlink: (kind, content) = (.symlink, SyncContent(item.target ?? ""))
    case .file, .special, .misnamed:
      (kind, content) = (.file, known(item) { Self.join(folder, item.name) })
      if content == nil, !ReservedName.isReserved(item.name) || ReservedName.isAside(item.name) { scan.unknown.append(scan.items.count) }
    }
    scan.items.append(
      ScannedItem(parent: parent, name: item.name, kind: kind, identity: item.identity, executable: item.executable, content: content))
    scan.found.append(item)
  }

  static func join(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : folder + "/" + name }
  static func parent(of path: String) -> String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "" }
}
