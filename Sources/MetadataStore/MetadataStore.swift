package import BlockModel
package import ServiceAPI

/// All that the coordinator remembers: the cluster's keeping (`ClusterMetadata`) and what users store. One method, one transaction.
///
/// What must hold, whatever the engine: what a mutation acknowledged is durable; operations on one namespace are linearizable; a refused
/// operation changed nothing; the change feed of a namespace is gapless and in commit order. `Tests/MetadataStoreTests` states these over
/// this protocol.
package protocol MetadataStore: ClusterMetadata, GarbageMetadata, ScanMetadata {
  // MARK: Accounts

  /// - Parameter once: a key of this name's own; with one that made this user before, the answer is that user.
  /// - Throws: `.refused` with `.alreadyExists` when the name is taken, whatever its case.
  func createUser(name: String, password: String, quota: Int64?, once: IdempotencyKey?) async throws(MetadataError) -> UserInfo
  /// What to check a password against; nil when there is no such user.
  func passwordRecord(ofUserNamed name: String) async throws(MetadataError) -> PasswordRecord?
  /// Replaces the password and, with `keeping`, revokes the tokens of all other devices.
  /// - Throws: `.refused` with `.notFound` when there is no such user any more.
  func setPassword(_ password: String, of user: UserID, revokingAllBut keeping: DeviceID?) async throws(MetadataError)
  /// With a key that made a device before, that device gets the new token instead: its former one was answered and perhaps never arrived.
  /// - Throws: `.refused` with `.keyReused` when the device that the key made was revoked since.
  func createDevice(_ device: NewDevice, once: IdempotencyKey?) async throws(MetadataError)
  /// Who holds the token of this hash; nil when nobody does or the user is disabled. Expiry is the caller's to check.
  func principal(tokenHash: [UInt8]) async throws(MetadataError) -> Principal?
  /// Notes that a device was seen, for people's lists; losing this loses nothing.
  func noteSeen(_ device: DeviceID) async throws(MetadataError)
  func devices(of principal: Principal) async throws(MetadataError) -> [DeviceInfo]
  /// - Throws: `.refused` with `.notFound` when the user has no such device.
  func revokeDevice(_ device: DeviceID, of principal: Principal) async throws(MetadataError)
  /// `used` counts each distinct block that the user's versions and trash refer to once.
  func usage(of principal: Principal) async throws(MetadataError) -> Usage

  // MARK: Uploads

  func openUpload(_ request: UploadRequest, for principal: Principal, once: IdempotencyKey?) async throws(MetadataError) -> UploadState
  func openUploads(
    _ requests: [UploadRequest], for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> [ItemResult<UploadState>]
  /// Announces a run of the block list; runs come in any order and may be repeated. `missing` answers for this run alone.
  func addBlocks(_ request: BlocksRequest, to upload: UploadID, for principal: Principal) async throws(MetadataError) -> UploadState
  /// Renews the lease.
  func uploadState(_ upload: UploadID, cursor: String?, for principal: Principal) async throws(MetadataError) -> UploadState
  /// - Parameter receipts: their signatures are verified already.
  func addReceipts(_ receipts: [Receipt], to upload: UploadID, for principal: Principal) async throws(MetadataError)
  func completeUpload(_ completion: Completion, for principal: Principal) async throws(MetadataError) -> FileEntry
  func completeUploads(_ completions: [Completion], for principal: Principal) async throws(MetadataError) -> [ItemResult<FileEntry>]
  func abortUpload(_ upload: UploadID, for principal: Principal) async throws(MetadataError)
  /// Ends sessions whose lease ran out, forgets what is too old to matter, and goes on with deletions that were too large to do at once.
  /// Call it every few seconds. Answers how many rows went; 0 when there was nothing to do.
  func expire() async throws(MetadataError) -> Int

  // MARK: The tree

  func stat(_ entry: EntryReference, for principal: Principal) async throws(MetadataError) -> FileEntry
  func list(
    _ entry: EntryReference, recursive: Bool, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<FileEntry>
  func createFolder(
    _ operation: UserOperations.CreateFolder, for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry
  func createSymlink(
    _ operation: UserOperations.CreateSymlink, for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry
  func updateEntry(_ operation: UserOperations.UpdateEntry, for principal: Principal) async throws(MetadataError) -> FileEntry
  func deleteEntry(_ operation: UserOperations.DeleteEntry, for principal: Principal) async throws(MetadataError)
  func copyEntry(
    _ operation: UserOperations.CopyEntry, for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry
  func downloadPlan(
    _ entry: EntryReference, version: Int64?, cursor: String?, limit: Int, for principal: Principal
  ) async throws(MetadataError) -> DownloadPlan
  func downloadPlans(_ entries: [EntryReference], for principal: Principal) async throws(MetadataError) -> [ItemResult<DownloadPlan>]
  /// Newest first.
  func versions(
    of entry: EntryReference, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<VersionInfo>

  // MARK: Revisions and trash

  func restoreVersion(
    _ operation: UserOperations.RestoreVersion, for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry
  /// What was removed last first.
  func trash(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<TrashItem>
  func restoreFromTrash(
    _ operation: UserOperations.RestoreFromTrash, for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry
  /// Deletes for good one entry of the trash, or all of it; answers how many.
  func emptyTrash(_ entry: EntryID?, for principal: Principal) async throws(MetadataError) -> Int
  func rewind(
    _ operation: UserOperations.Rewind, for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> RewindResult
  /// All or nothing.
  /// - Parameter completions: one for each step, nil but for those that complete an upload.
  func apply(
    _ request: ChangeSetRequest, completions: [Completion?], for principal: Principal, once: IdempotencyKey?
  ) async throws(MetadataError) -> ChangeSetResponse

  // MARK: Shares and links

  func share(_ operation: UserOperations.Share, for principal: Principal) async throws(MetadataError) -> ShareInfo
  func unshare(_ operation: UserOperations.Unshare, for principal: Principal) async throws(MetadataError)
  func shares(
    of entry: EntryReference, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<ShareInfo>
  func shared(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<ShareInfo>
  /// The answer has no token: the caller made it.
  func createLink(_ link: NewLink, for principal: Principal, once: IdempotencyKey?) async throws(MetadataError) -> LinkInfo
  func links(
    of entry: EntryReference?, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<LinkInfo>
  func revokeLink(_ link: LinkID, for principal: Principal) async throws(MetadataError)
  /// - Throws: `.notFound` for a link that opens nothing.
  func linkPassword(tokenHash: [UInt8]) async throws(MetadataError) -> LinkPassword
  /// The password is checked already.
  func linkContent(tokenHash: [UInt8], path: String, limit: Int, cursor: String?) async throws(MetadataError) -> LinkContent
  /// The password is checked already.
  /// - Parameter counts: whether the first page counts as a download, which happens before it is answered.
  func linkPlan(
    tokenHash: [UInt8], path: String, version: Int64?, cursor: String?, limit: Int, counts: Bool
  ) async throws(MetadataError) -> DownloadPlan

  // MARK: Keys

  /// - Throws: `.refused` with `.notFound` when the user has no key pair.
  func keyPair(of principal: Principal) async throws(MetadataError) -> KeyPairInfo
  func putKeyPair(_ operation: UserOperations.PutKeyPair, for principal: Principal) async throws(MetadataError) -> KeyPairInfo
  func publicKey(ofUserNamed name: String) async throws(MetadataError) -> PublicKeyInfo
  func folderKeys(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<FolderKeyInfo>
  func putFolderKey(_ operation: UserOperations.PutFolderKey, for principal: Principal) async throws(MetadataError)

  // MARK: The feed

  func changes(since cursor: String?, limit: Int, for principal: Principal) async throws(MetadataError) -> ChangesPage
  /// What others did, the newest first.
  func notifications(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<Notification>
  /// Says which namespaces change, when they do.
  var hub: ChangeHub { get }

  // MARK: Operators

  func users(limit: Int, cursor: String?) async throws(MetadataError) -> Page<UserAccount>
  /// - Throws: `.refused` with `.notFound` when there is no such user.
  func administer(_ user: String, _ change: UserChange) async throws(MetadataError)

  /// Writes a line of the audit log by itself; what changes metadata writes its own in the same transaction.
  func note(actor: String, action: String, subject: String) async throws(MetadataError)
  /// The newest first.
  /// - Parameter actor: of this one alone.
  func auditLog(of actor: String?, limit: Int, cursor: String?) async throws(MetadataError) -> Page<AuditEntry>

  // MARK: Keeping

  /// Writes a consistent copy of the whole database to a file, while work goes on.
  func backUp(to path: String) async throws(MetadataError)
  /// Lets what was begun finish and closes the database; later calls answer `.unavailable`.
  func close() async
}

extension MetadataStore {
  package func createUser(name: String, password: String, quota: Int64?) async throws(MetadataError) -> UserInfo {
    try await createUser(name: name, password: password, quota: quota, once: nil)
  }

  package func createDevice(_ device: NewDevice) async throws(MetadataError) { try await createDevice(device, once: nil) }
}

/// Whom a token stands for, and where that user's tree is.
package struct Principal: Sendable, Equatable {
  package var user: UserID
  package var userName: String
  package var device: DeviceID
  package var deviceName: String
  package var expiresAt: WallTime
  package var lastSeenAt: WallTime?
  package var namespace: NamespaceID
  /// The engine's own short numbers for the user and the namespace.
  package var userNumber: Int64
  package var namespaceNumber: Int64
  package var root: EntryID

  package init(
    user: UserID, userName: String, device: DeviceID, deviceName: String, expiresAt: WallTime, lastSeenAt: WallTime?,
    namespace: NamespaceID, userNumber: Int64, namespaceNumber: Int64, root: EntryID
  ) {
    self.user = user
    self.userName = userName
    self.device = device
    self.deviceName = deviceName
    self.expiresAt = expiresAt
    self.lastSeenAt = lastSeenAt
    self.namespace = namespace
    self.userNumber = userNumber
    self.namespaceNumber = namespaceNumber
    self.root = root
  }
}

package struct PasswordRecord: Sendable, Equatable {
  package var user: UserID
  package var name: String
  /// As `createUser` was given it.
  package var password: String
  package var isDisabled: Bool
  package init(user: UserID, name: String, password: String, isDisabled: Bool) {
    self.user = user
    self.name = name
    self.password = password
    self.isDisabled = isDisabled
  }
}

package struct NewDevice: Sendable {
  package var id: DeviceID
  package var user: UserID
  package var name: String
  /// SHA-256 of the token; the token itself is kept nowhere.
  package var tokenHash: [UInt8]
  package var expiresAt: WallTime
  package init(id: DeviceID, user: UserID, name: String, tokenHash: [UInt8], expiresAt: WallTime) {
    self.id = id
    self.user = user
    self.name = name
    self.tokenHash = tokenHash
    self.expiresAt = expiresAt
  }
}

package enum UserChange: Sendable, Equatable {
  /// Bytes; nil is unlimited.
  case quota(Int64?)
  case disabled(Bool)
  /// As `createUser` takes it; all devices are logged out.
  case password(String)
}

/// A link to be made.
package struct NewLink: Sendable, Equatable {
  package var id: LinkID
  package var entry: EntryReference
  package var tokenHash: [UInt8]
  /// Hashed already.
  package var password: String?
  package var expiresAt: WallTime?
  package var maxDownloads: Int64?
  package init(
    id: LinkID, entry: EntryReference, tokenHash: [UInt8], password: String? = nil, expiresAt: WallTime? = nil, maxDownloads: Int64? = nil
  ) {
    self.id = id
    self.entry = entry
    self.tokenHash = tokenHash
    self.password = password
    self.expiresAt = expiresAt
    self.maxDownloads = maxDownloads
  }
}

/// What opens a link beside its token.
package enum LinkPassword: Sendable, Equatable {
  case none
  /// As `NewLink` had it.
  case record(String)
}

/// Makes a repeated request take effect once: the key that the client chose, and a hash of what it asked.
package struct IdempotencyKey: Sendable, Equatable {
  package static let longest = 255
  package var key: String
  package var operation: String
  package var requestHash: [UInt8]
  package init(key: String, operation: String, requestHash: [UInt8]) {
    self.key = key
    self.operation = operation
    self.requestHash = requestHash
  }
}

/// A request to commit an upload. The signatures of `receipts` are verified already.
package struct Completion: Sendable {
  package var upload: UploadID
  package var size: Int64?
  package var contentHash: String?
  package var receipts: [Receipt]
  /// The version that the file has to be at; 0 that nothing may be there. Whatever the upload's policy says.
  package var ifVersion: Int64?
  /// In an encrypted folder: what the client says of the version.
  package var envelope: String?
  package init(
    upload: UploadID, size: Int64? = nil, contentHash: String? = nil, receipts: [Receipt] = [], ifVersion: Int64? = nil,
    envelope: String? = nil
  ) {
    self.ifVersion = ifVersion
    self.envelope = envelope
    self.upload = upload
    self.size = size
    self.contentHash = contentHash
    self.receipts = receipts
  }
}
