internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// A row of `uploads`.
struct UploadRow {
  static let columns = """
    number, id, status, expires_at, path, declared_size, content_hash, base_version, on_conflict, mime_type,
    modified_at, executable, chunker,
    parents, announced_bytes, position_count, lacking_bytes, reserved, entry, version, ns, base_entry
    """

  static let columnCount: Int32 = 22

  var number: Int64
  var id: UploadID
  /// Whose quota it counts against.
  var namespace: Int64
  var status: UploadStatus
  var expiresAt: WallTime
  /// As the caller said it.
  var path: String
  var declaredSize: Int64?
  var contentHash: [UInt8]?
  var baseVersion: Int64?
  /// The entry that `baseVersion` is a version of; nil is whichever is at the path.
  var baseEntry: EntryID?
  var policy: ConflictPolicy
  var mimeType: String?
  var modifiedAt: FileTime?
  var executable: Bool?
  var chunker: Chunker
  /// The request named none, so it is the folder's.
  var isFoldersChunker: Bool
  var parents: Bool
  /// Sizes of all positions announced.
  var announcedBytes: Int64
  var positionCount: Int
  /// Sizes of the distinct blocks that the caller did not have when they were announced.
  var lackingBytes: Int64
  var reserved: Int64
  var entry: EntryID?
  var version: Int64?

  init(_ row: any SQLRow) {
    number = row.int64(0)
    id = row.id(1)
    status = UploadStatus(number: row.int(2))
    expiresAt = row.time(3)
    path = row.text(4)
    declaredSize = row.optionalInt64(5)
    contentHash = row.optionalBlob(6)
    baseVersion = row.optionalInt64(7)
    policy = ConflictPolicy(number: row.int(8))
    mimeType = row.optionalText(9)
    modifiedAt = row.optionalInt64(10).map { FileTime(nanoseconds: $0) }
    executable = row.optionalInt64(11).map { $0 != 0 }
    let chunkerNumber = row.int(12)
    isFoldersChunker = chunkerNumber == UploadRow.foldersChunker
    chunker = isFoldersChunker ? .cdc : Chunker(number: chunkerNumber)
    parents = row.bool(13)
    announcedBytes = row.int64(14)
    positionCount = row.int(15)
    lackingBytes = row.int64(16)
    reserved = row.int64(17)
    entry = row.isNull(18) ? nil : row.id(18)
    version = row.optionalInt64(19)
    namespace = row.int64(20)
    baseEntry = row.isNull(21) ? nil : row.id(21)
  }

  /// Checks what a client says of its file.
  /// - Throws: `.malformed`, `.tooLarge`.
  init(_ request: UploadRequest, id: UploadID, namespace: Int64, path: RemotePath, expiresAt: WallTime) throws(Problem) {
    number = 0
    self.namespace = namespace
    self.id = id
    status = .uploading
    self.expiresAt = expiresAt
    self.path = path.text
    declaredSize = try UploadRow.checked(size: request.size)
    contentHash = try UploadRow.checked(contentHash: request.contentHash)
    baseVersion = request.baseVersion
    baseEntry = request.baseEntry
    policy = request.onConflict ?? .fail
    mimeType = request.mimeType
    modifiedAt = request.modifiedAt
    executable = request.executable
    chunker = request.chunker ?? .fixed
    isFoldersChunker = false
    parents = request.parents ?? false
    announcedBytes = 0
    positionCount = 0
    lackingBytes = 0
    reserved = 0
    guard baseVersion ?? 0 >= 0 else { throw Problem(.malformed, "base_version is a version's number, or 0 for a file that is new.") }
    guard baseEntry == nil || baseVersion ?? 0 > 0 else { throw Problem(.malformed, "base_entry goes with the base_version that it has.") }
    if let mimeType {
      guard (1...255).contains(mimeType.utf8.count), mimeType.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else {
        throw Problem(.malformed, "mime_type is 1 to 255 printable ASCII characters.")
      }
    }
  }

  /// Kept in place of a chunker's number for one that is content-defined by the folder's choice.
  private static let foldersChunker = 2
  /// What the column keeps. That the folder chose makes no difference where it chose what is the default anyway.
  var chunkerNumber: Int { chunker == .cdc && isFoldersChunker ? UploadRow.foldersChunker : chunker.number }

  static func checked(size: Int64?) throws(Problem) -> Int64? {
    guard let size else { return nil }
    guard size >= 0 else { throw Problem(.malformed, "A file's size is not below zero.") }
    guard size <= Limits.fileBytes else { throw Problem(.tooLarge, "A file has at most \(Limits.fileBytes) bytes.") }
    return size
  }

  static func checked(contentHash: String?) throws(Problem) -> [UInt8]? {
    guard let contentHash else { return nil }
    guard let bytes = HexDigits.decode(contentHash), bytes.count == 32 else {
      throw Problem(.malformed, "content_hash is 64 lower-case hexadecimal digits.")
    }
    return bytes
  }

  /// With the counters that it has when these are all that is announced and the caller had none of them, as most sessions go.
  func expecting(_ blocks: [BlockRef]) -> UploadRow {
    var row = self
    row.announcedBytes = blocks.reduce(0) { $0 + Int64($1.size) }
    row.positionCount = blocks.count
    row.lackingBytes = row.announcedBytes
    row.reserved = row.neededReservation
    return row
  }

  func hasCounters(of other: UploadRow) -> Bool {
    (announcedBytes, positionCount, lackingBytes, reserved)
      == (other.announcedBytes, other.positionCount, other.lackingBytes, other.reserved)
  }

  /// What the session holds of the quota: what it lacks of the blocks announced, and all of what is still to be announced.
  var neededReservation: Int64 { lackingBytes + max(0, (declaredSize ?? 0) - announcedBytes) }
}

extension MetadataReading {
  /// The session of this id of this user; nil for anybody else's.
  func upload(_ id: UploadID, _ principal: Principal) throws -> UploadRow? {
    try db.first(
      "SELECT \(UploadRow.columns) FROM uploads WHERE id = ? AND user = ?", .id(id), .integer(principal.userNumber)
    ) { UploadRow($0) }
  }

  /// With the counters of the namespace that it counts against, for who is about to edit that.
  func uploadWithCounters(_ id: UploadID, _ principal: Principal) throws -> (upload: UploadRow, counters: NamespaceCounters)? {
    try db.first(
      """
      SELECT u.*, \(NamespaceCounters.columns) FROM (SELECT \(UploadRow.columns) FROM uploads WHERE id = ? AND user = ?) u
        JOIN namespaces n ON n.number = u.ns JOIN users o ON o.number = n.owner
      """, .id(id), .integer(principal.userNumber)
    ) { (UploadRow($0), NamespaceCounters($0, from: UploadRow.columnCount)) }
  }

  /// - Throws: `.uploadNotFound` for a session that is not there or no longer open.
  func openUpload(_ id: UploadID, at now: WallTime, _ principal: Principal) throws -> UploadRow {
    guard let upload = try upload(id, principal) else { throw Problem.noSuchUpload }
    try upload.checkOpen(at: now)
    return upload
  }
}

extension UploadRow {
  /// Whether what is at the path is the very version that the upload was made from.
  func isBased(on row: EntryRow) -> Bool { row.version == baseVersion && (baseEntry ?? row.id) == row.id }

  func checkOpen(at now: WallTime) throws(Problem) {
    guard status == .uploading, expiresAt > now else {
      let state: UploadStatus = status == .uploading ? .expired : status
      throw Problem(.uploadNotFound, "This upload is \(state.rawValue): open a new one.")
    }
  }
}

extension Problem {
  static let noSuchUpload = Problem(.uploadNotFound, "There is no such upload.")
  static let rootIsNoFile = Problem(.wrongKindOfEntry, "The root is a folder and not a file.")
}
