package import BlockModel

/// What the gateway asks of the coordinator for its users. The coordinator authenticates the user token, checks the role, and answers the
/// documents of `Files.swift` and `Uploads.swift` with the signed URLs left out.
package enum UserOperations {}

package enum LinkKind {}
/// Names a link for those who manage it; what opens it is its token.
package typealias LinkID = Identifier<LinkKind>

extension UserOperations {
  package struct SignUp: ControlOperation {
    package typealias Response = UserInfo
    package static let name = "sign-up"
    package static let audience = ControlAudience.gateway
    package var name: String
    package var password: String
    package init(name: String, password: String) {
      self.name = name
      self.password = password
    }
  }

  package struct LogIn: ControlOperation {
    package typealias Response = SessionToken
    package static let name = "log-in"
    package static let audience = ControlAudience.gateway
    package var name: String
    package var password: String
    package var device: String
    package init(name: String, password: String, device: String) {
      self.name = name
      self.password = password
      self.device = device
    }
  }

  package struct ChangePassword: ControlOperation {
    package typealias Response = Done
    package static let name = "change-password"
    package static let audience = ControlAudience.user
    package var password: String
    package var newPassword: String
    /// Otherwise all other devices have to log in again.
    package var keepDevices: Bool
    package init(password: String, newPassword: String, keepDevices: Bool) {
      self.password = password
      self.newPassword = newPassword
      self.keepDevices = keepDevices
    }
  }

  package struct LogOut: ControlOperation {
    package typealias Response = Done
    package static let name = "log-out"
    package static let audience = ControlAudience.user
    package init() {}
  }

  package struct WhoAmI: ControlOperation {
    package typealias Response = UserInfo
    package static let name = "who-am-i"
    package static let audience = ControlAudience.user
    package init() {}
  }

  package struct ListDevices: ControlOperation {
    package typealias Response = Page<DeviceInfo>
    package static let name = "list-devices"
    package static let audience = ControlAudience.user
    package init() {}
  }

  package struct RevokeDevice: ControlOperation {
    package typealias Response = Done
    package static let name = "revoke-device"
    package static let audience = ControlAudience.user
    package var device: DeviceID
    package init(device: DeviceID) { self.device = device }
  }

  package struct GetUsage: ControlOperation {
    package typealias Response = Usage
    package static let name = "get-usage"
    package static let audience = ControlAudience.user
    package init() {}
  }
}

// MARK: - Uploads

extension UserOperations {
  package struct OpenUpload: ControlOperation {
    package typealias Response = UploadState
    package static let name = "open-upload"
    package static let audience = ControlAudience.user
    package var request: UploadRequest
    package init(request: UploadRequest) { self.request = request }
  }

  package struct AddBlocks: ControlOperation {
    package typealias Response = UploadState
    package static let name = "add-blocks"
    package static let audience = ControlAudience.user
    package var upload: UploadID
    package var request: BlocksRequest
    package init(upload: UploadID, request: BlocksRequest) {
      self.upload = upload
      self.request = request
    }
  }

  /// Answers the state, renews the lease, and so lets the gateway sign fresh URLs.
  package struct GetUpload: ControlOperation {
    package typealias Response = UploadState
    package static let name = "get-upload"
    package static let audience = ControlAudience.user
    package var upload: UploadID
    package var cursor: String?
    package init(upload: UploadID, cursor: String?) {
      self.upload = upload
      self.cursor = cursor
    }
  }

  package struct AddReceipts: ControlOperation {
    package typealias Response = Done
    package static let name = "add-receipts"
    package static let audience = ControlAudience.user
    package var upload: UploadID
    package var receipts: [String]
    package init(upload: UploadID, receipts: [String]) {
      self.upload = upload
      self.receipts = receipts
    }
  }

  package struct CompleteUpload: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "complete-upload"
    package static let audience = ControlAudience.user
    package var upload: UploadID
    package var request: CompleteRequest
    /// The version that the file has to be at when it is committed; 0 for nothing there.
    package var ifVersion: Int64?
    package init(upload: UploadID, request: CompleteRequest, ifVersion: Int64? = nil) {
      self.upload = upload
      self.request = request
      self.ifVersion = ifVersion
    }
  }

  package struct AbortUpload: ControlOperation {
    package typealias Response = Done
    package static let name = "abort-upload"
    package static let audience = ControlAudience.user
    package var upload: UploadID
    package init(upload: UploadID) { self.upload = upload }
  }

  package struct OpenUploadBatch: ControlOperation {
    package typealias Response = BatchOpenResponse
    package static let name = "open-upload-batch"
    package static let audience = ControlAudience.user
    package var request: BatchOpenRequest
    package init(request: BatchOpenRequest) { self.request = request }
  }

  package struct CompleteUploadBatch: ControlOperation {
    package typealias Response = BatchCompleteResponse
    package static let name = "complete-upload-batch"
    package static let audience = ControlAudience.user
    package var request: BatchCompleteRequest
    package init(request: BatchCompleteRequest) { self.request = request }
  }
}

// MARK: - The tree

extension UserOperations {
  package struct Stat: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "stat"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package init(entry: EntryReference) { self.entry = entry }
  }

  /// The children of a folder in name order. With `recursive` the whole subtree in path order, parents before children.
  package struct ListFolder: ControlOperation {
    package typealias Response = Page<FileEntry>
    package static let name = "list-folder"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var recursive: Bool
    package var limit: Int
    package var cursor: String?
    package init(entry: EntryReference, recursive: Bool, limit: Int, cursor: String?) {
      self.entry = entry
      self.recursive = recursive
      self.limit = limit
      self.cursor = cursor
    }
  }

  package struct CreateFolder: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "create-folder"
    package static let audience = ControlAudience.user
    package var path: String
    /// Makes missing parents, and takes a folder that is there already as success.
    package var parents: Bool
    package var modifiedAt: FileTime?
    /// Of the folder, not of the parents that are made with it; nil inherits.
    package var chunker: FolderChunker?
    /// Makes it an encrypted folder, with its key wrapped to the caller; then nothing may be there.
    package var key: WrappedKey?
    package init(path: String, parents: Bool, modifiedAt: FileTime?, chunker: FolderChunker? = nil, key: WrappedKey? = nil) {
      self.path = path
      self.parents = parents
      self.modifiedAt = modifiedAt
      self.chunker = chunker
      self.key = key
    }
  }

  package struct CreateSymlink: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "create-symlink"
    package static let audience = ControlAudience.user
    package var path: String
    package var target: String
    package var parents: Bool
    package var modifiedAt: FileTime?
    package init(path: String, target: String, parents: Bool, modifiedAt: FileTime?) {
      self.path = path
      self.target = target
      self.parents = parents
      self.modifiedAt = modifiedAt
    }
  }

  /// Moves, renames, or changes metadata; what is nil stays.
  package struct UpdateEntry: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "update-entry"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var newPath: String?
    package var modifiedAt: FileTime?
    package var executable: Bool?
    /// Of a folder.
    package var chunker: FolderChunker?
    package var ifVersion: Int64?
    package init(
      entry: EntryReference, newPath: String?, modifiedAt: FileTime?, executable: Bool?, chunker: FolderChunker? = nil, ifVersion: Int64?
    ) {
      self.entry = entry
      self.newPath = newPath
      self.modifiedAt = modifiedAt
      self.executable = executable
      self.chunker = chunker
      self.ifVersion = ifVersion
    }
  }

  /// To the trash, or with `forever` for good. A folder goes with what is in it only when `recursive`.
  package struct DeleteEntry: ControlOperation {
    package typealias Response = Done
    package static let name = "delete-entry"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var forever: Bool
    package var recursive: Bool
    package var ifVersion: Int64?
    package init(entry: EntryReference, forever: Bool, recursive: Bool, ifVersion: Int64?) {
      self.entry = entry
      self.forever = forever
      self.recursive = recursive
      self.ifVersion = ifVersion
    }
  }

  /// Copies without bytes: the copy refers to the same blocks. Folders with all below.
  package struct CopyEntry: ControlOperation {
    package typealias Response = FileEntry
    package static let name = "copy-entry"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var newPath: String
    /// For a file: the version of the file at `newPath`, which the copy becomes the next version of; nil when nothing may be there.
    package var replaces: Int64?
    package init(entry: EntryReference, newPath: String, replaces: Int64? = nil) {
      self.entry = entry
      self.newPath = newPath
      self.replaces = replaces
    }
  }

  package struct GetDownloadPlan: ControlOperation {
    package typealias Response = DownloadPlan
    package static let name = "get-download-plan"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var version: Int64?
    package var cursor: String?
    package var limit: Int
    package init(entry: EntryReference, version: Int64?, cursor: String?, limit: Int) {
      self.entry = entry
      self.version = version
      self.cursor = cursor
      self.limit = limit
    }
  }

  /// Plans of many small files at once, at most 256; each item has the first page only.
  package struct GetDownloadPlans: ControlOperation {
    package typealias Response = Page<ItemResult<DownloadPlan>>
    package static let name = "get-download-plans"
    package static let audience = ControlAudience.user
    package var entries: [EntryReference]
    package init(entries: [EntryReference]) { self.entries = entries }
  }

  package struct ListVersions: ControlOperation {
    package typealias Response = Page<VersionInfo>
    package static let name = "list-versions"
    package static let audience = ControlAudience.user
    package var entry: EntryReference
    package var limit: Int
    package var cursor: String?
    package init(entry: EntryReference, limit: Int, cursor: String?) {
      self.entry = entry
      self.limit = limit
      self.cursor = cursor
    }
  }

  package struct GetChanges: ControlOperation {
    package typealias Response = ChangesPage
    package static let name = "get-changes"
    package static let audience = ControlAudience.user
    package var cursor: String?
    package var limit: Int
    package init(cursor: String?, limit: Int) {
      self.cursor = cursor
      self.limit = limit
    }
  }
}

/// `GET /v1/changes`: `reset` true says that the cursor cannot be continued and the client must list anew.
package struct ChangesPage: Sendable, Codable, Equatable {
  package var changes: [Change]
  package var cursor: String
  package var hasMore: Bool
  package var reset: Bool
  /// The short numbers of the namespaces that the feed is made of; only between coordinator and gateway, which waits for hints of these.
  package var topics: [Int64]?
  package enum Follow: String, Sendable, Codable { case stream, poll }
  /// How the gateway wants the client to go on: hold the stream of hints, or ask again after `pollSeconds`.
  package var follow: Follow?
  package var pollSeconds: Int?
  package init(changes: [Change], cursor: String, hasMore: Bool, reset: Bool, topics: [Int64]? = nil) {
    self.topics = topics
    self.changes = changes
    self.cursor = cursor
    self.hasMore = hasMore
    self.reset = reset
  }
  private enum CodingKeys: String, CodingKey {
    case changes, cursor, reset, topics, follow
    case pollSeconds = "poll_seconds"
    case hasMore = "has_more"
  }
}
