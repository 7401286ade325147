package import BlockModel

/// What one thing is called in the three trees: by the cluster's id as soon as it has one, else by a number of the scan that found it.
package enum SyncNodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
  case entry(EntryID)
  case new(Int)

  package var entry: EntryID? {
    if case .entry(let id) = self { id } else { nil }
  }

  package var description: String {
    switch self {
    case .entry(let id): "entry \(id.hex)"
    case .new(let number): "new \(number)"
    }
  }

  package static func < (a: SyncNodeID, b: SyncNodeID) -> Bool {
    switch (a, b) {
    case (.entry(let a), .entry(let b)): a < b
    case (.new(let a), .new(let b)): a < b
    case (.entry, .new): true
    case (.new, .entry): false
    }
  }
}

/// A name in a folder.
package struct SyncPlace: Hashable, Sendable {
  package var parent: SyncNodeID
  package var name: String

  package init(_ parent: SyncNodeID, _ name: String) {
    self.parent = parent
    self.name = name
  }
}

/// A file, folder or symbolic link as one of the trees has it.
package struct SyncNode: Hashable, Sendable {
  package enum Kind: Int, Sendable { case file, folder, symlink }

  package var place: SyncPlace
  package var kind: Kind
  /// A file's content hash, a link's target, empty for a folder. Nil in the local tree while somebody writes to the file.
  package var content: String?
  package var executable: Bool
  /// The file's own time in nanoseconds since 1970; 0 for folders and links, whose times are not kept.
  package var modified: Int64
  /// The cluster's; in the local tree 0.
  package var version: Int64
  /// Bytes of a file.
  package var size: Int64
  /// In the local tree: the folder has something in it that is not synced, so it cannot be removed.
  package var holdsUntracked: Bool

  package init(
    _ place: SyncPlace, _ kind: Kind, content: String? = "", executable: Bool = false, modified: Int64 = 0, version: Int64 = 0,
    size: Int64 = 0, holdsUntracked: Bool = false
  ) {
    self.place = place
    self.kind = kind
    self.content = content
    self.executable = executable
    self.modified = modified
    self.version = version
    self.size = size
    self.holdsUntracked = holdsUntracked
  }

  func hasSameAttributes(as other: SyncNode) -> Bool {
    kind != .file || (executable == other.executable && modified == other.modified)
  }
}

/// A folder with all below it. The root itself is no node of it.
///
/// What must hold: two nodes are never at one place; where the tree folds case, places whose names differ in case alone are one. Parents
/// may be missing: a tree of what was last synced has gaps where one side moved on.
package struct SyncTree: Sendable {
  package let root: SyncNodeID
  /// Whether names that differ in upper and lower case alone are one name in it.
  package let foldsCase: Bool
  /// In a remote tree that folds case: where the cluster has what the tree shows under other names.
  package var heldPlaces: Set<SyncPlace> = []
  package private(set) var nodes: [SyncNodeID: SyncNode] = [:]
  private var childrenByFolder: [SyncNodeID: [String: SyncNodeID]] = [:]

  package init(root: SyncNodeID, foldsCase: Bool = false) {
    self.root = root
    self.foldsCase = foldsCase
  }

  private func key(_ name: String) -> String { foldsCase ? CaseFolding.key(name) : name }

  package var count: Int { nodes.count }
  package subscript(_ id: SyncNodeID) -> SyncNode? { nodes[id] }
  /// Whether something may be put into it: the root, or a folder of the tree.
  package func hasFolder(_ id: SyncNodeID) -> Bool { id == root || nodes[id]?.kind == .folder }
  package func child(_ place: SyncPlace) -> SyncNodeID? { childrenByFolder[place.parent]?[key(place.name)] }
  package var sortedIDs: [SyncNodeID] { nodes.keys.sorted() }

  /// What is in a folder, in the order of names.
  package func children(of id: SyncNodeID) -> [SyncNodeID] {
    guard let children = childrenByFolder[id] else { return [] }
    return children.sorted { $0.key < $1.key }.map(\.value)
  }

  package func hasChildren(_ id: SyncNodeID) -> Bool { childrenByFolder[id] != nil }

  /// Puts a node where it says, in place of what the tree had under this id.
  package mutating func insert(_ id: SyncNodeID, _ node: SyncNode) {
    precondition(id != root, "the root is no node")
    remove(id)
    precondition(child(node.place) == nil, "two nodes are never at one place")
    nodes[id] = node
    let key = key(node.place.name)
    childrenByFolder[node.place.parent, default: [:]][key] = id
  }

  /// Takes one node out; what is in it stays, without a parent.
  package mutating func remove(_ id: SyncNodeID) {
    guard let node = nodes.removeValue(forKey: id) else { return }
    let key = key(node.place.name)
    childrenByFolder[node.place.parent]?[key] = nil
    if childrenByFolder[node.place.parent]?.isEmpty == true { childrenByFolder[node.place.parent] = nil }
  }

  /// Takes a node out with all below it.
  package mutating func removeSubtree(_ id: SyncNodeID) {
    for child in children(of: id) { removeSubtree(child) }
    remove(id)
  }

  package mutating func update(_ id: SyncNodeID, _ change: (inout SyncNode) -> Void) {
    guard var node = nodes[id] else { return }
    change(&node)
    insert(id, node)
  }

  /// The folders above a node from its parent up to the root; nil when one of them is missing.
  package func ancestors(of place: SyncPlace) -> [SyncNodeID]? {
    var above: [SyncNodeID] = []
    var current = place.parent
    while current != root {
      above.append(current)
      guard let node = nodes[current], above.count <= nodes.count else { return nil }
      current = node.place.parent
    }
    return above
  }

  /// Names from the root down; nil when a folder above is missing.
  package func names(of place: SyncPlace) -> [String]? {
    guard let above = ancestors(of: place) else { return nil }
    return above.reversed().compactMap { nodes[$0]?.place.name } + [place.name]
  }

  package func names(of id: SyncNodeID) -> [String]? {
    if id == root { return [] }
    return nodes[id].flatMap { names(of: $0.place) }
  }
}

/// Names that the agent uses while it works. They are never synced.
package enum ReservedName {
  /// Of files that are being downloaded, and of things that are out of the way for a moment.
  package static let prefix = ".cairn-part-"
  /// Ours, and those of other downloads, which put a part file beside its destination: never synced.
  package static func isReserved(_ name: String) -> Bool { name.hasPrefix(".") && name.contains(prefix) }
  /// The agent's own.
  package static func isOwn(_ name: String) -> Bool { name.hasPrefix(prefix) || name.hasPrefix("." + prefix) }
  package static func isAside(_ name: String) -> Bool { name.hasPrefix(prefix + "aside-") }
  static func aside(_ id: EntryID) -> String { prefix + "aside-" + id.hex }
}
