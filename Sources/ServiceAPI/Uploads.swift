package import BlockModel

/// What a client says of a file that it wants to upload; the body of `POST /v1/uploads`.
package struct UploadRequest: Sendable, Codable, Equatable {
  package var path: String
  /// Bytes; may come with complete when not known yet (standard input).
  package var size: Int64?
  package var contentHash: String?
  /// The first blocks, at most 1,000; more by `POST /v1/uploads/{id}/blocks`.
  package var blocks: [BlockRef]?
  /// True when `blocks` are all of them; nil is true when their sizes add up to `size`.
  package var baseVersion: Int64?
  /// The entry whose `baseVersion` is meant. Versions are counted by entry, so a path and a version alone do not say which file.
  package var baseEntry: EntryID?
  package var onConflict: ConflictPolicy?
  package var mimeType: String?
  package var modifiedAt: FileTime?
  package var executable: Bool?
  /// Nil is the one of the folder that the file goes to.
  package var chunker: Chunker?
  /// Makes missing parent folders.
  package var parents: Bool?
  /// Says that path and contents are sealed, as they have to be in an encrypted folder and nowhere else.
  package var encrypted: Bool?

  package init(
    path: String, size: Int64? = nil, contentHash: String? = nil, blocks: [BlockRef]? = nil, baseVersion: Int64? = nil,
    baseEntry: EntryID? = nil, onConflict: ConflictPolicy? = nil, mimeType: String? = nil, modifiedAt: FileTime? = nil,
    executable: Bool? = nil, chunker: Chunker? = nil, parents: Bool? = nil, encrypted: Bool? = nil
  ) {
    self.path = path
    self.size = size
    self.contentHash = contentHash
    self.blocks = blocks
    self.baseVersion = baseVersion
    self.baseEntry = baseEntry
    self.onConflict = onConflict
    self.mimeType = mimeType
    self.modifiedAt = modifiedAt
    self.executable = executable
    self.chunker = chunker
    self.parents = parents
    self.encrypted = encrypted
  }

  private enum CodingKeys: String, CodingKey {
    case path, size, blocks, executable, chunker, parents, encrypted
    case contentHash = "content_hash"
    case baseVersion = "base_version"
    case baseEntry = "base_entry"
    case onConflict = "on_conflict"
    case mimeType = "mime_type"
    case modifiedAt = "modified_at"
  }
}

/// A block that an upload still lacks: its place in the file, and where it may be put. `put` is empty between coordinator and gateway,
/// which signs.
package struct MissingBlock: Sendable, Codable, Equatable {
  package var index: Int
  package var id: BlockID
  package var size: Int
  package var put: [SignedTarget]
  package init(index: Int, id: BlockID, size: Int, put: [SignedTarget] = []) {
    self.index = index
    self.id = id
    self.size = size
    self.put = put
  }
}

/// One signed URL and where it leads.
package struct SignedTarget: Sendable, Codable, Equatable {
  package var node: NodeID
  package var zone: ZoneID
  package var url: String
  package init(node: NodeID, zone: ZoneID, url: String) {
    self.node = node
    self.zone = zone
    self.url = url
  }
}

package enum UploadStatus: String, Sendable, Codable { case uploading, uploaded, aborted, expired }

/// An upload session as `POST /v1/uploads` and `GET /v1/uploads/{id}` answer it.
package struct UploadState: Sendable, Codable, Equatable {
  package var uploadID: UploadID
  package var status: UploadStatus
  package var expiresAt: WallTime
  /// Blocks announced so far.
  package var blockCount: Int
  /// Lacking blocks, in file order, at most 1,000; each id once, at its first index.
  package var missing: [MissingBlock]
  /// Opaque; further lacking blocks.
  package var next: String?
  /// With `uploaded`: the file.
  package var file: FileEntry?
  /// How the file is to be cut, by the request or by its folder; nil from a gateway of a former release, which knew the request's only.
  package var chunker: Chunker?
  package init(
    uploadID: UploadID, status: UploadStatus, expiresAt: WallTime, blockCount: Int, missing: [MissingBlock], next: String?,
    file: FileEntry? = nil, chunker: Chunker? = nil
  ) {
    self.uploadID = uploadID
    self.status = status
    self.expiresAt = expiresAt
    self.blockCount = blockCount
    self.missing = missing
    self.next = next
    self.file = file
    self.chunker = chunker
  }
  private enum CodingKeys: String, CodingKey {
    case status, missing, next, file, chunker
    case uploadID = "upload_id"
    case expiresAt = "expires_at"
    case blockCount = "block_count"
  }
}

/// The body of `POST /v1/uploads/{id}/blocks`: a run of the block list, `start` being the index of its first.
package struct BlocksRequest: Sendable, Codable, Equatable {
  package var start: Int
  package var blocks: [BlockRef]
  package init(start: Int, blocks: [BlockRef]) {
    self.start = start
    self.blocks = blocks
  }
}

/// The body of `POST /v1/uploads/{id}/receipts`.
package struct ReceiptsRequest: Sendable, Codable, Equatable {
  package var receipts: [String]
  package init(receipts: [String]) { self.receipts = receipts }
}

/// The body of `POST /v1/uploads/{id}/complete`; receipts not sent before may come along.
package struct CompleteRequest: Sendable, Codable, Equatable {
  package var size: Int64?
  package var contentHash: String?
  package var receipts: [String]?
  /// In an encrypted folder: the plain size and content hash, sealed.
  package var envelope: String?
  package init(size: Int64? = nil, contentHash: String? = nil, receipts: [String]? = nil, envelope: String? = nil) {
    self.size = size
    self.contentHash = contentHash
    self.receipts = receipts
    self.envelope = envelope
  }
  private enum CodingKeys: String, CodingKey {
    case size, receipts, envelope
    case contentHash = "content_hash"
  }
}

/// `POST /v1/uploads/batch`: many small files at once, at most 256 and at most 1,000 blocks in all.
package struct BatchOpenRequest: Sendable, Codable, Equatable {
  package var uploads: [UploadRequest]
  package init(uploads: [UploadRequest]) { self.uploads = uploads }
}

/// Either the thing or the problem, for one item of a batch.
package struct ItemResult<Value: Sendable & Codable & Equatable>: Sendable, Codable, Equatable {
  package var value: Value?
  package var problem: Problem?
  package init(value: Value) { self.value = value }
  package init(problem: Problem) { self.problem = problem }
}

package struct BatchOpenResponse: Sendable, Codable, Equatable {
  package var results: [ItemResult<UploadState>]
  package init(results: [ItemResult<UploadState>]) { self.results = results }
}

package struct BatchCompleteRequest: Sendable, Codable, Equatable {
  package struct Item: Sendable, Codable, Equatable {
    package var uploadID: UploadID
    package var complete: CompleteRequest
    package init(uploadID: UploadID, complete: CompleteRequest) {
      self.uploadID = uploadID
      self.complete = complete
    }
    private enum CodingKeys: String, CodingKey {
      case complete
      case uploadID = "upload_id"
    }
  }
  package var uploads: [Item]
  package init(uploads: [Item]) { self.uploads = uploads }
}

package struct BatchCompleteResponse: Sendable, Codable, Equatable {
  package var results: [ItemResult<FileEntry>]
  package init(results: [ItemResult<FileEntry>]) { self.results = results }
}

/// The plan of a download: `GET /v1/files/{id}/download`. `get` is empty between coordinator and gateway.
package struct DownloadPlan: Sendable, Codable, Equatable {
  package struct Block: Sendable, Codable, Equatable {
    package var id: BlockID
    package var offset: Int64
    package var size: Int
    package var get: [SignedTarget]
    /// Nodes that hold the block though the layout does not name them; only between coordinator and gateway.
    package var strays: [NodeID]?
    package init(id: BlockID, offset: Int64, size: Int, get: [SignedTarget] = [], strays: [NodeID]? = nil) {
      self.id = id
      self.offset = offset
      self.size = size
      self.get = get
      self.strays = strays
    }
  }
  package var file: FileEntry
  package var size: Int64
  package var contentHash: String
  package var version: Int64
  package var chunker: Chunker
  package var blocks: [Block]
  package var next: String?
  /// Of this version of a file in an encrypted folder: its plain size and content hash, sealed.
  package var envelope: String?
  package init(
    file: FileEntry, size: Int64, contentHash: String, version: Int64, chunker: Chunker, blocks: [Block], next: String?,
    envelope: String? = nil
  ) {
    self.file = file
    self.size = size
    self.contentHash = contentHash
    self.version = version
    self.chunker = chunker
    self.blocks = blocks
    self.next = next
    self.envelope = envelope
  }
  private enum CodingKeys: String, CodingKey {
    case file, size, version, chunker, blocks, next, envelope
    case contentHash = "content_hash"
  }
}
