package import BlockModel

/// Something in the trash, with where it was.
package struct TrashItem: Sendable, Codable, Equatable {
  /// `path` is where it was when it was removed.
  package var entry: FileEntry
  package var removedAt: WallTime
  /// Who removed it, by user name; nil when that is not known.
  package var removedBy: String?
  /// From then on it is deleted for good.
  package var expiresAt: WallTime
  package init(entry: FileEntry, removedAt: WallTime, removedBy: String?, expiresAt: WallTime) {
    self.entry = entry
    self.removedAt = removedAt
    self.removedBy = removedBy
    self.expiresAt = expiresAt
  }
  private enum CodingKeys: String, CodingKey {
    case entry
    case removedAt = "removed_at"
    case removedBy = "removed_by"
    case expiresAt = "expires_at"
  }
}

/// How many entries a deletion for good took out of the trash.
package struct EmptiedTrash: Sendable, Codable, Equatable {
  package var removed: Int
  package init(removed: Int) { self.removed = removed }
}

/// The moment that a folder shall be as in: RFC 3339 time, or a cursor of the change feed.
package enum RewindTarget: Sendable, Codable, Equatable {
  case time(WallTime)
  case cursor(String)
}

package struct RewindResult: Sendable, Codable, Equatable {
  /// Entries that were changed back.
  package var changed: Int
  /// Entries that could not be, because they were deleted for good.
  package var lost: Int
  /// Rewinding the same folder to this cursor undoes it.
  package var undo: String
  package init(changed: Int, lost: Int, undo: String) {
    self.changed = changed
    self.lost = lost
    self.undo = undo
  }
}

/// One step of a change set. Which members count depends on `op`.
package struct ChangeSetItem: Sendable, Codable, Equatable {
  package enum Kind: String, Sendable, Codable, CaseIterable {
    /// `path`, `parents`, `modified_at`, `chunker`
    case folder
    /// `path`, `target`, `parents`, `modified_at`
    case symlink
    /// `id` or `path`; `to`, `modified_at`, `executable`, `chunker`, `if_version`
    case update
    /// `id` or `path`; `forever`, `recursive`, `if_version`
    case delete
    /// `id` or `path`; `to`, `replaces`
    case copy
    /// `id` or `path`; `version`
    case revert
    /// `id`; `to`
    case restore
    /// `upload_id`, `complete`
    case complete
  }
  package var op: Kind
  package var id: EntryID?
  package var path: String?
  package var to: String?
  package var target: String?
  package var version: Int64?
  package var ifVersion: Int64?
  package var replaces: Int64?
  package var parents: Bool?
  package var recursive: Bool?
  package var forever: Bool?
  package var modifiedAt: FileTime?
  package var executable: Bool?
  package var chunker: FolderChunker?
  package var uploadID: UploadID?
  package var complete: CompleteRequest?

  package init(
    _ op: Kind, id: EntryID? = nil, path: String? = nil, to: String? = nil, target: String? = nil, version: Int64? = nil,
    ifVersion: Int64? = nil, replaces: Int64? = nil, parents: Bool? = nil, recursive: Bool? = nil, forever: Bool? = nil,
    modifiedAt: FileTime? = nil, executable: Bool? = nil, chunker: FolderChunker? = nil, uploadID: UploadID? = nil,
    complete: CompleteRequest? = nil
  ) {
    self.op = op
    self.id = id
    self.path = path
    self.to = to
    self.target = target
    self.version = version
    self.ifVersion = ifVersion
    self.replaces = replaces
    self.parents = parents
    self.recursive = recursive
    self.forever = forever
    self.modifiedAt = modifiedAt
    self.executable = executable
    self.chunker = chunker
    self.uploadID = uploadID
    self.complete = complete
  }

  private enum CodingKeys: String, CodingKey {
    case op, id, path, to, target, version, replaces, parents, recursive, forever, executable, chunker, complete
    case ifVersion = "if_version"
    case modifiedAt = "modified_at"
    case uploadID = "upload_id"
  }
}

/// `POST /v1/changesets`: all or nothing, in order, at most 1,000 steps.
package struct ChangeSetRequest: Sendable, Codable, Equatable {
  package static let limit = 1000
  package var changes: [ChangeSetItem]
  package init(changes: [ChangeSetItem]) { self.changes = changes }
}

/// For each step the entry that it left; without one for deletions.
package struct ChangeSetResponse: Sendable, Codable, Equatable {
  package struct Outcome: Sendable, Codable, Equatable {
    package var entry: FileEntry?
    package init(entry: FileEntry?) { self.entry = entry }
  }
  package var results: [Outcome]
  package init(results: [Outcome]) { self.results = results }
}

extension UserOperations {
  /// Makes an earlier revision's content the newest one, as a new revision.
  package struct RestoreVersion: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "restore-version"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var version: Int64
    package var ifVersion: Int64?
    package init(entry: EntryReference, version: Int64, ifVersion: Int64?) {
      self.entry = entry
      self.version = version
      self.ifVersion = ifVersion
    }
  }

  /// The caller's own trash, what was removed last first.
  package struct ListTrash: ControlOperation {
    package typealias Response = Page<TrashItem>
    package static let name = "list-trash"
    package static let audience = ControlAudience.user
    package static let isRead = true
    package var limit: Int
    package var cursor: String?
    package init(limit: Int, cursor: String?) {
      self.limit = limit
      self.cursor = cursor
    }
  }

  package struct RestoreFromTrash: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "restore-from-trash"
    package static let audience = ControlAudience.user
    package var entry: EntryID
    /// Where it goes; nil is where it was.
    package var newPath: String?
    package init(entry: EntryID, newPath: String?) {
      self.entry = entry
      self.newPath = newPath
    }
  }

  /// Deletes for good what is in the caller's trash: one entry, or all.
  package struct EmptyTrash: ControlOperation {
    package typealias Response = EmptiedTrash
    package static let name = "empty-trash"
    package static let audience = ControlAudience.user
    package var entry: EntryID?
    package init(entry: EntryID?) { self.entry = entry }
  }

  /// Makes a folder as it was, as one change that can be undone.
  package struct Rewind: ControlOperation {
    package typealias Response = RewindResult
    package static let name = "rewind"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var target: RewindTarget
    package init(entry: EntryReference, target: RewindTarget) {
      self.entry = entry
      self.target = target
    }
  }

  package struct ApplyChangeSet: ControlOperation {
    package typealias Response = ChangeSetResponse
    package static let name = "apply-change-set"
    package static let audience = ControlAudience.user
    package var request: ChangeSetRequest
    package init(request: ChangeSetRequest) { self.request = request }
  }
}
