package import ClusterLogic

/// One thing in the local folder, as the file system says.
package struct FolderItem: Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    case file, folder, symlink
    /// A socket, pipe or device: reported, never synced.
    case special
    /// Anything whose name is not UTF-8: likewise. The name given stands for it as well as it can.
    case misnamed
  }

  package var name: String
  package var kind: Kind
  package var identity: LocalIdentity
  package var executable: Bool
  /// Of a symbolic link.
  package var target: String?

  package init(name: String, kind: Kind, identity: LocalIdentity, executable: Bool = false, target: String? = nil) {
    self.name = name
    self.kind = kind
    self.identity = identity
    self.executable = executable
    self.target = target
  }
}

/// The local folder. Paths are names from it down, joined by slashes; empty is the folder itself. Calls block.
///
/// What must hold: nothing that the caller has not seen is ever overwritten or removed. A call that finds something else than it was told
/// to
/// expect leaves all as it is and throws `stale`.
package protocol SyncFolder: Sendable {
  /// Tells this folder from another one mounted in its place; nil when it is not there.
  func rootIdentity() throws(SyncError) -> String?
  /// Whether it takes names that differ in upper and lower case alone for one. False where that cannot be tried.
  func foldsCase() throws(SyncError) -> Bool
  /// - Throws: `stale` when it is no folder any more.
  func list(_ path: String) throws(SyncError) -> [FolderItem]
  /// Nil when nothing is there.
  func item(_ path: String) throws(SyncError) -> FolderItem?
  /// Whether a program has the file open for writing; nil where that cannot be told.
  func hasWriter(_ path: String) throws(SyncError) -> Bool?
  /// - Throws: `stale` when the file is not `expected` before or after it was read.
  func contentHash(_ path: String, expecting: LocalIdentity) throws(SyncError) -> SyncContent
  /// The start of a small file as text; nil when it is not there.
  func text(_ path: String, limit: Int) throws(SyncError) -> String?
  func makeFolder(_ path: String) throws(SyncError)
  func makeSymlink(_ path: String, target: String) throws(SyncError)
  /// Where nothing else is.
  func move(_ path: String, to other: String) throws(SyncError)
  /// Puts a finished download in its place. With `expecting` it takes the place of just that, else nothing may be there.
  func place(_ part: String, at path: String, expecting: FolderItem?) throws(SyncError)
  func setAttributes(_ path: String, executable: Bool, modified: Int64, expecting: FolderItem) throws(SyncError)
  /// A file or link that is just this, or an empty folder.
  func remove(_ path: String, expecting: FolderItem) throws(SyncError)
  /// Makes all that was done before durable.
  func sync() throws(SyncError)
}

extension SyncFolder {
  static func join(_ folder: String, _ name: String) -> String { folder.isEmpty ? name : folder + "/" + name }
}
