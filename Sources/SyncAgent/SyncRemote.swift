package import BlockModel
package import ClusterLogic

/// An entry as the cluster says it.
package struct RemoteEntry: Sendable, Equatable {
  package var id: EntryID
  /// Absolute.
  package var path: String
  package var kind: SyncNode.Kind
  package var content: SyncContent
  package var executable: Bool
  package var modified: Int64
  package var version: Int64
  package var size: Int64
  /// The encrypted folder that it is or lies in.
  package var keyFolder: EntryID?
  /// It is encrypted, and this device cannot open it: path and content are not the real ones.
  package var isLocked: Bool

  package init(
    id: EntryID, path: String, kind: SyncNode.Kind, content: SyncContent = "", executable: Bool = false, modified: Int64 = 0,
    version: Int64 = 1, size: Int64 = 0, keyFolder: EntryID? = nil, isLocked: Bool = false
  ) {
    self.keyFolder = keyFolder
    self.isLocked = isLocked
    self.id = id
    self.path = path
    self.kind = kind
    self.content = content
    self.executable = executable
    self.modified = modified
    self.version = version
    self.size = size
  }

  func node(at place: SyncPlace) -> SyncNode {
    SyncNode(
      place, kind, content: content, executable: kind == .file && executable, modified: kind == .file ? modified : 0, version: version,
      size: size)
  }
}

/// One change of the feed.
package struct RemoteChange: Sendable, Equatable {
  package enum Action: Sendable, Equatable { case changed, moved, deleted, entered }
  package var action: Action
  /// As it was after the change.
  package var entry: RemoteEntry
  /// With `moved`: where it was.
  package var oldPath: String?

  package init(_ action: Action, _ entry: RemoteEntry, oldPath: String? = nil) {
    self.action = action
    self.entry = entry
    self.oldPath = oldPath
  }
}

package struct RemoteChanges: Sendable {
  package var changes: [RemoteChange]
  package var cursor: String
  package var hasMore: Bool
  /// The cursor could not be continued: list anew.
  package var reset: Bool

  package init(changes: [RemoteChange], cursor: String, hasMore: Bool, reset: Bool) {
    self.changes = changes
    self.cursor = cursor
    self.hasMore = hasMore
    self.reset = reset
  }
}

package struct RemoteUpload: Sendable {
  /// In the local folder.
  package var path: String
  package var remotePath: String
  /// The entry that it revises; nil for a new file. Versions are counted by entry, so the path and the version alone do not say which.
  package var entry: EntryID?
  /// The version that it replaces; 0 when nothing may be there.
  package var baseVersion: Int64
  package var size: Int64
  /// The state of the file that is meant, and what it held then; nil where that is not known.
  package var identity: LocalIdentity?
  package var content: SyncContent?
  /// Of the version that it replaces.
  package var formerContent: SyncContent?
}

package struct RemoteDownload: Sendable {
  package var entry: EntryID
  package var size: Int64
  /// In the local folder, under a reserved name.
  package var path: String
  /// A file of the local folder that may have much in common with it.
  package var basis: String?
  /// What that was seen to hold.
  package var basisContent: SyncContent?
  /// The encrypted folder that it is in.
  package var keyFolder: EntryID?
}

/// The cluster. Every call may fail after it was carried out; the change feed tells.
///
/// - Throws: `stale` when something else is there than was said, `unavailable`, `refused`, `stopped`.
package protocol SyncRemote: Sendable {
  func entry(at path: String) async throws(SyncError) -> RemoteEntry?
  /// Nil when it is deleted, or not for the caller any more.
  func entry(_ id: EntryID) async throws(SyncError) -> RemoteEntry?
  /// All below a folder, in any order.
  func list(_ path: String) async throws(SyncError) -> [RemoteEntry]
  func changes(after cursor: String?) async throws(SyncError) -> RemoteChanges
  /// One outcome each, in their order.
  func upload(_ files: [RemoteUpload]) async -> [Result<RemoteEntry, SyncError>]
  /// One outcome each, in their order: what was downloaded, perhaps a newer version than was known.
  func download(_ files: [RemoteDownload]) async -> [Result<RemoteEntry, SyncError>]
  func move(_ entry: EntryID, to path: String) async throws(SyncError)
  func makeFolder(_ path: String) async throws(SyncError) -> RemoteEntry
  /// All or nothing, in order, at most 1,000.
  func makeFolders(_ paths: [String]) async throws(SyncError) -> [RemoteEntry]
  func makeSymlink(_ path: String, target: String) async throws(SyncError) -> RemoteEntry
  func setAttributes(_ entry: EntryID, executable: Bool, modified: Int64, ifVersion: Int64) async throws(SyncError)
  /// All or nothing; folders (without a version) only when they are empty by then.
  func delete(_ entries: [(id: EntryID, version: Int64?)]) async throws(SyncError)
  /// The encrypted folder that a path is or lies in; what belongs to another one, or to none, is not synced with it.
  func keyFolder(at path: String) async throws(SyncError) -> EntryID?
  /// Encrypted folders below a path, which are not synced with a folder that is none.
  func encryptedFolders(below path: String) async throws(SyncError) -> [String]
}

extension SyncRemote {
  package func keyFolder(at path: String) async throws(SyncError) -> EntryID? { nil }
  package func encryptedFolders(below path: String) async throws(SyncError) -> [String] { [] }
}
