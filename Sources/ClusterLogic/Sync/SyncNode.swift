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
///
/// A value that its copies share until one of them changes: what is in step is in two trees, and takes the memory of one.
package struct SyncNode: Hashable, Sendable, CustomStringConvertible {
  package enum Kind: Int, Sendable { case file, folder, symlink }

  private struct Fields: Hashable {
    var place: SyncPlace
    var kind: Kind
    var content: SyncContent?
    var executable: Bool
    var holdsUntracked: Bool
    var modified: Int64
    var version: Int64
    var size: Int64
  }

  private final class Box: Sendable {
    let fields: Fields
    init(_ fields: Fields) { self.fields = fields }
  }

  private var box: Box
  private var fields: Fields {
    get { box.fields }
    set { box = Box(newValue) }
  }

  package init(
    _ place: SyncPlace, _ kind: Kind, content: SyncContent? = "", executable: Bool = false, modified: Int64 = 0, version: Int64 = 0,
    size: Int64 = 0, holdsUntracked: Bool = false
  ) {
    box = Box(
      Fields(
        place: place, kind: kind, content: content, executable: executable, holdsUntracked: holdsUntracked, modified: modified,
        version: version, size: size))
  }

  package var place: SyncPlace {
    get { fields.place }
    set { fields.place = newValue }
  }
  package var kind: Kind {
    get { fields.kind }
    set { fields.kind = newValue }
  }
  /// Of a file or link, empty for a folder. Nil in the local tree while somebody writes to the file.
  package var content: SyncContent? {
    get { fields.content }
    set { fields.content = newValue }
  }
  package var executable: Bool {
    get { fields.executable }
    set { fields.executable = newValue }
  }
  /// The file's own time in nanoseconds since 1970; 0 for folders and links, whose times are not kept.
  package var modified: Int64 {
    get { fields.modified }
    set { fields.modified = newValue }
  }
  /// The cluster's; in the local tree 0, or that of the last synced one which it is like.
  package var version: Int64 {
    get { fields.version }
    set { fields.version = newValue }
  }
  /// Bytes of a file.
  package var size: Int64 {
    get { fields.size }
    set { fields.size = newValue }
  }
  /// In the local tree: the folder has something in it that is not synced, so it cannot be removed.
  package var holdsUntracked: Bool {
    get { fields.holdsUntracked }
    set { fields.holdsUntracked = newValue }
  }

  package static func == (a: SyncNode, b: SyncNode) -> Bool { a.box === b.box || a.box.fields == b.box.fields }
  package func hash(into hasher: inout Hasher) { hasher.combine(fields) }
  package var description: String { "\(fields)" }

  /// Whether it is a copy of the other that neither was changed since; what is equal may not be.
  func isShared(with other: SyncNode) -> Bool { box === other.box }

  func hasSameAttributes(as other: SyncNode) -> Bool {
    kind != .file || (executable == other.executable && modified == other.modified)
  }
}
