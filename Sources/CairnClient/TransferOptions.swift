package import BlockModel
internal import ServiceAPI

/// What an upload does when the remote file changed in between.
public enum OnConflict: String, Sendable, CaseIterable {
  /// Refuses.
  case fail
  /// Keeps both: the new one becomes a conflicted copy beside it.
  case copy
  /// Makes the new one the newest revision; the older ones stay among the revisions.
  case overwrite

  var wire: ConflictPolicy {
    switch self {
    case .fail: .fail
    case .copy: .copy
    case .overwrite: .overwrite
    }
  }
}

/// How a file is cut into blocks. A block that the cluster has already is not sent.
public enum Chunking: String, Sendable, CaseIterable, Codable {
  /// Every 4 MiB: the least work, and the best for files that are changed in place or appended to.
  case fixed
  /// Where the content says, into 1 MiB or so: what is inserted or removed somewhere costs the blocks around it only.
  case contentDefined = "cdc"

  init(_ chunker: Chunker) {
    switch chunker {
    case .fixed: self = .fixed
    case .cdc: self = .contentDefined
    }
  }

  var wire: Chunker {
    switch self {
    case .fixed: .fixed
    case .contentDefined: .cdc
    }
  }
}

/// The content hash of a local file in one state of it. Whoever says it has read the file in just this state.
package struct KnownContent: Sendable, Equatable {
  package var inode: UInt64
  package var size: Int64
  /// Nanoseconds, as the next.
  package var modified: Int64
  package var changed: Int64
  package var contentHash: String
  /// The SHA-256 of each 4 MiB of it, which the content hash is made of; nil where they are not known any more.
  package var pieces: [BlockID]?

  package init(inode: UInt64, size: Int64, modified: Int64, changed: Int64, contentHash: String, pieces: [BlockID]? = nil) {
    (self.inode, self.size, self.modified, self.changed) = (inode, size, modified, changed)
    (self.contentHash, self.pieces) = (contentHash, pieces)
  }

  /// The pieces when they are those of the content hash.
  var wholePieces: [BlockID]? { pieces.flatMap { ContentHash.ofPieces($0) == contentHash ? $0 : nil } }

  func isOf(_ identity: FileIdentity) -> Bool {
    (inode, size, modified, changed)
      == (identity.inode, identity.size, identity.modifiedNanoseconds, identity.changedNanoseconds)
  }
}

/// How an upload is done.
public struct UploadOptions: Sendable {
  /// When somebody else's change came first.
  public var onConflict: OnConflict
  /// The revision that the local file was made from; a newer one in the cluster is a conflict.
  public var baseVersion: Int64?
  /// The entry that `baseVersion` is of; another file at the path is a conflict then, whatever its version.
  package var baseEntry: EntryID?
  /// What the local file is known to hold, so that its content hash is not computed once more.
  package var known: KnownContent?
  /// The content hash of the version that is replaced, as far as the caller knows: its blocks are looked for in the file.
  package var formerContent: String?
  /// How files are cut that are more than one block; nil is as the folder says that they go to.
  public var chunking: Chunking?
  /// Makes missing parent folders.
  public var parents: Bool
  /// Such as `text/plain`; nil leaves it to the cluster.
  public var mimeType: String?
  /// Of the file itself; nil takes the local file's.
  public var modifiedAt: Timestamp?
  /// Nil takes the local file's.
  public var executable: Bool?

  /// The defaults replace what is there by a new revision and make missing folders.
  public init(
    onConflict: OnConflict = .overwrite, baseVersion: Int64? = nil, chunking: Chunking? = nil, parents: Bool = true,
    mimeType: String? = nil, modifiedAt: Timestamp? = nil, executable: Bool? = nil
  ) {
    self.onConflict = onConflict
    self.baseVersion = baseVersion
    self.chunking = chunking
    self.parents = parents
    self.mimeType = mimeType
    self.modifiedAt = modifiedAt
    self.executable = executable
  }
}

/// One item of a tree that did not get where it should.
public struct TransferFailure: Sendable {
  /// Local for uploads, remote for downloads.
  public var path: String
  /// What happened to it and what to do.
  public var error: CairnError
}

/// What became of a tree.
public struct TreeResult: Sendable {
  /// Files that are where they should be.
  public var files = 0
  /// Folders made or met.
  public var folders = 0
  /// Symbolic links.
  public var links = 0
  /// Bytes of the files.
  public var bytes: Int64 = 0
  /// What failed, item by item; the others are done.
  public var failures: [TransferFailure] = []
  /// Local sockets, pipes and devices, which are not stored.
  public var skipped: [String] = []
  /// What was stored, as far as it was asked for singly.
  public var entries: [Entry] = []
}
