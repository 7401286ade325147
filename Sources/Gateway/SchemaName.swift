internal import BlockModel
internal import ServiceAPI

/// The documents of the API, by name; `schema` says what is in each.
enum SchemaName: String, Sendable, CaseIterable {
  case problem = "Problem"
  case signUpRequest = "SignUpRequest", logInRequest = "LogInRequest", user = "User", session = "Session"
  case passwordRequest = "PasswordRequest"
  case device = "Device", devicePage = "DevicePage", usage = "Usage"
  case file = "File", filePage = "FilePage", folderRequest = "FolderRequest", symlinkRequest = "SymlinkRequest"
  case updateRequest = "UpdateRequest", copyRequest = "CopyRequest", version = "Version", versionPage = "VersionPage"
  case block = "Block", signedTarget = "SignedTarget", missingBlock = "MissingBlock"
  case uploadRequest = "UploadRequest", upload = "Upload", blocksRequest = "BlocksRequest", receiptsRequest = "ReceiptsRequest"
  case completeRequest = "CompleteRequest"
  case uploadBatchRequest = "UploadBatchRequest", uploadBatch = "UploadBatch", uploadResult = "UploadResult"
  case completeBatchRequest = "CompleteBatchRequest", completeBatch = "CompleteBatch", fileResult = "FileResult"
  case plannedBlock = "PlannedBlock", downloadPlan = "DownloadPlan"
  case downloadBatchRequest = "DownloadBatchRequest", downloadBatch = "DownloadBatch", planResult = "PlanResult"
  case rewindRequest = "RewindRequest", rewind = "Rewind", trashItem = "TrashItem", trashPage = "TrashPage", emptied = "EmptiedTrash"
  case restoreRequest = "RestoreRequest", changeSetRequest = "ChangeSetRequest", changeSetItem = "ChangeSetItem"
  case changeSet = "ChangeSet", changeSetResult = "ChangeSetResult"
  case shareRequest = "ShareRequest", share = "Share", sharePage = "SharePage", linkRequest = "LinkRequest", link = "Link"
  case linkPage = "LinkPage", linkItem = "LinkItem", linkContent = "LinkContent"
  case notification = "Notification", notificationPage = "NotificationPage"
  case keyPair = "KeyPair", keyPairRequest = "KeyPairRequest", publicKey = "PublicKey", wrappedKey = "WrappedKey"
  case folderKeyRequest = "FolderKeyRequest", folderKey = "FolderKey", folderKeyPage = "FolderKeyPage"
  case change = "Change", changesPage = "ChangesPage", readiness = "Readiness"

  var schema: Schema {
    switch self {
    case .problem: .object(problemMembers)
    case .signUpRequest, .logInRequest, .passwordRequest, .user, .session, .device, .devicePage, .usage: accountSchema
    case .uploadRequest, .upload, .blocksRequest, .receiptsRequest, .completeRequest, .uploadBatchRequest, .uploadBatch, .uploadResult,
      .completeBatchRequest, .completeBatch, .fileResult, .missingBlock:
      uploadSchema
    case .block, .signedTarget, .plannedBlock, .downloadPlan, .downloadBatchRequest, .downloadBatch, .planResult: transferSchema
    case .rewindRequest, .rewind, .trashItem, .trashPage, .emptied, .restoreRequest, .changeSetRequest, .changeSetItem, .changeSet,
      .changeSetResult:
      revisionSchema
    case .shareRequest, .share, .sharePage, .linkRequest, .link, .linkPage, .linkItem, .linkContent, .notification, .notificationPage:
      sharingSchema
    case .keyPair, .keyPairRequest, .publicKey, .wrappedKey, .folderKeyRequest, .folderKey, .folderKeyPage: keySchema
    default: fileSchema
    }
  }

  private var problemMembers: [Schema.Property] {
    [
      .must("type", .choice(Problem.Kind.allCases.map { "urn:cairn:problem:\($0.rawValue)" })),
      .must("title", .string), .must("status", .integer(minimum: 400, maximum: 599)), .must("detail", .string),
      .may("instance", .string, "The request's id."),
      .may("current", .reference(.file), "With a conflict: what is there now."),
      .may("base", .reference(.version), "With a conflict: the version that the request was based on."),
      .may("missing", .array(.hash), "With missing blocks: their ids."),
      .may("retry_after", .count, "Seconds after which trying again makes sense."),
    ]
  }

  private var accountSchema: Schema {
    switch self {
    case .signUpRequest: .object([.must("name", .string), .must("password", .string, "8 characters or more.")])
    case .logInRequest: .object([.must("name", .string), .must("password", .string), .may("device", .string)])
    case .passwordRequest:
      .object([
        .must("password", .string, "The present one."), .must("new_password", .string, "8 characters or more."),
        .may("keep_devices", .boolean, "Whether other devices stay logged in."),
      ])
    case .user: .object([.must("id", .identifier), .must("name", .string), .may("device", .string)])
    case .session: .object([.must("token", .string), .must("expires_at", .time)])
    case .device:
      .object([
        .must("id", .identifier), .must("name", .string), .must("created_at", .time), .may("last_seen_at", .time),
        .must("current", .boolean, "Whether this request came from it."),
      ])
    case .devicePage: .page(of: .device)
    default:
      .object([
        .must("used", .count, "Bytes."), .must("reserved", .count, "Bytes of uploads that are under way."),
        .may("quota", .count, "Bytes; absent when unlimited."), .must("files", .count),
      ])
    }
  }

  private var fileSchema: Schema {
    switch self {
    case .file: .object(fileMembers)
    case .filePage: .page(of: .file)
    case .folderRequest:
      .object([
        .must("path", .string), .may("parents", .boolean, "Make missing parents."), .may("modified_at", .time),
        .may("chunker", .folderChunker, "How files in it are cut whose uploads do not say; a folder that is there keeps its own."),
        .may("encrypted", .reference(.wrappedKey), "Makes it an encrypted folder, its key wrapped to the caller."),
      ])
    case .symlinkRequest:
      .object([.must("path", .string), .must("target", .string), .may("parents", .boolean), .may("modified_at", .time)])
    case .updateRequest:
      .object([
        .may("path", .string, "Where it moves to."), .may("modified_at", .time), .may("executable", .boolean),
        .may("chunker", .folderChunker, "A folder's: how files in it are cut whose uploads do not say."),
      ])
    case .copyRequest:
      .object([
        .must("path", .string, "Where the copy goes."),
        .may("replaces", .count, "Of a file: the version of the file at `path`, whose next version the copy is to be."),
      ])
    case .version:
      .object([
        .must("version", .count), .must("size", .count), .must("content_hash", .hash),
        .must("chunker", .chunker, "With cdc the content hash is what the client claimed."), .must("modified_at", .time),
        .must("committed_at", .time), .must("author", .string), .may("device", .string),
        .may("quarantine", .string, "What a malware scanner found in it; it is not served then."),
        .may("envelope", .string, "In an encrypted folder: its plain size and content hash, sealed."),
      ])
    case .versionPage: .page(of: .version)
    case .change:
      .object([
        .must("sequence", .count), .must("action", .choice(["created", "modified", "moved", "deleted", "entered", "left"])),
        .must("entry", .reference(.file)), .may("old_path", .string), .must("at", .time),
        .may("actor", .string, "Who did it, when it was not the owner."), .may("share", .identifier, "The shared entry it happened in."),
      ])
    case .changesPage:
      .object([
        .must("changes", .array(.reference(.change))), .must("cursor", .string, "Where to go on; keep it after applying the page."),
        .must("has_more", .boolean), .must("reset", .boolean, "The cursor cannot be continued: list everything anew."),
        .may("follow", .choice(["stream", "poll"]), "How to go on: hold the stream of hints, or ask again later."),
        .may("poll_seconds", .count, "How much later."),
      ])
    default: .object([.must("ready", .boolean), .may("reason", .string)])
    }
  }

  private var fileMembers: [Schema.Property] {
    [
      .must("id", .identifier), .must("path", .string), .must("name", .string), .must("kind", .choice(["file", "folder", "symlink"])),
      .must("size", .count, "Bytes."), .may("content_hash", .hash), .must("version", .count, "Also the entity tag."),
      .may("mime_type", .string),
      .must("modified_at", .time), .must("executable", .boolean), .may("target", .string, "A symlink's."), .must("owner", .string),
      .must("role", .choice(["read", "write", "admin", "owner"])),
      .may("quarantine", .string, "What a malware scanner found in this version, whose content is not served."),
      .may("chunker", .chunker, "A folder's own, in answers about one folder; absent when it inherits."),
      .may("effective_chunker", .chunker, "The folder's own, or that of the nearest folder above which has one."),
      .may("case_clash", .boolean, "In listings: a neighbour has the same name but for upper and lower case."),
      .may("encrypted", .boolean, "It is an encrypted folder, or lies in one: names, targets and contents are sealed by clients."),
      .may("key_folder", .identifier, "That folder."),
      .may("envelope", .string, "Of a file there: its plain size and content hash, sealed."),
    ]
  }
}

extension Schema {
  static let chunker = Schema.choice(Chunker.allCases.map(\.rawValue))
  static let folderChunker = Schema.choice(FolderChunker.allCases.map(\.rawValue))

  static func page(of name: SchemaName) -> Schema {
    .object([.must("items", .array(.reference(name))), .may("next", .string, "The cursor of the page after this.")])
  }

  /// Either `value` or `problem`.
  static func result(of name: SchemaName) -> Schema { .object([.may("value", .reference(name)), .may("problem", .reference(.problem))]) }
}
