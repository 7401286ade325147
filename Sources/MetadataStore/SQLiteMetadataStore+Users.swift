package import BlockModel
internal import Platform
internal import SQLiteDatabase
package import ServiceAPI

/// The users' operations: each is one call of the writer or of a reader.
extension SQLiteMetadataStore {
  // MARK: - Accounts

  package func createUser(
    name: String, password: String, quota: Int64?, once key: IdempotencyKey?
  ) async throws(MetadataError) -> UserInfo {
    try await writer.write { transaction in
      try transaction.once(key, user: 0) { try transaction.createUser(name: name, password: password, quota: quota) }.value
    }
  }

  package func setPassword(_ password: String, of user: UserID, revokingAllBut keeping: DeviceID?) async throws(MetadataError) {
    try await writer.write { try $0.setPassword(password, of: user, revokingAllBut: keeping) }
  }

  package func passwordRecord(ofUserNamed name: String) async throws(MetadataError) -> PasswordRecord? {
    try await readers.read { try $0.passwordRecord(ofUserNamed: name) }
  }

  package func createDevice(_ device: NewDevice, once key: IdempotencyKey?) async throws(MetadataError) {
    try await writer.write { try $0.createDevice(device, once: key) }
  }

  package func principal(tokenHash: [UInt8]) async throws(MetadataError) -> Principal? {
    try await readers.read { try $0.principal(tokenHash: tokenHash) }
  }

  package func noteSeen(_ device: DeviceID) async throws(MetadataError) {
    try await writer.write { try $0.noteSeen(device) }
  }

  package func devices(of principal: Principal) async throws(MetadataError) -> [DeviceInfo] {
    try await readers.read { try $0.devices(of: principal) }
  }

  package func revokeDevice(_ device: DeviceID, of principal: Principal) async throws(MetadataError) {
    try await writer.write { try $0.revokeDevice(device, of: principal) }
  }

  package func usage(of principal: Principal) async throws(MetadataError) -> Usage {
    try await readers.read { try $0.usage(of: principal) }
  }

  // MARK: - Uploads

  package func openUpload(
    _ request: UploadRequest, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> UploadState {
    try await writer.write { transaction in
      try transaction.once(key, principal) { try transaction.edit(principal) { try $0.openUpload(request) } }
    }
  }

  package func openUploads(
    _ requests: [UploadRequest], for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> [ItemResult<UploadState>] {
    try await writer.write { transaction in
      try transaction.once(key, principal) {
        try transaction.edit(principal) { editor in
          try requests.map { request in try editor.item { try editor.openUpload(request) } }
        }
      }
    }
  }

  package func addBlocks(
    _ request: BlocksRequest, to upload: UploadID, for principal: Principal
  ) async throws(MetadataError) -> UploadState {
    try await writer.write { try $0.edit(principal) { try $0.addBlocks(request, to: upload) } }
  }

  package func uploadState(
    _ upload: UploadID, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> UploadState {
    let now = time.wall()
    var state = try await readers.read { try $0.uploadState(upload, cursor: cursor, at: now, principal) }
    // Renewing is a write; once in an eighth of the lease is often enough.
    guard state.status == .uploading, state.expiresAt - now < options.uploadLease * 7 / 8 else { return state }
    state.expiresAt = try await writer.write { try $0.renew(upload, principal) }
    return state
  }

  package func addReceipts(_ receipts: [Receipt], to upload: UploadID, for principal: Principal) async throws(MetadataError) {
    try await writer.write { try $0.edit(principal) { try $0.addReceipts(receipts, to: upload) } }
  }

  package func completeUpload(_ completion: Completion, for principal: Principal) async throws(MetadataError) -> FileEntry {
    let result = try await writer.write { try $0.edit(principal) { try $0.complete(completion) } }
    if let file = result.value { return file }
    let problem = result.problem ?? Problem(.internalError, "A commit had no outcome.")
    throw MetadataError(mapping: problem)
  }

  package func completeUploads(
    _ completions: [Completion], for principal: Principal
  ) async throws(MetadataError) -> [ItemResult<FileEntry>] {
    try await writer.write { transaction in
      try transaction.edit(principal) { editor in
        try completions.map { completion in
          let result = try editor.item { try editor.complete(completion) }
          return result.value ?? result.problem.map { ItemResult(problem: $0) }
            ?? ItemResult(problem: Problem(.internalError, "A commit had no outcome."))
        }
      }
    }
  }

  package func abortUpload(_ upload: UploadID, for principal: Principal) async throws(MetadataError) {
    try await writer.write { try $0.edit(principal) { try $0.abortUpload(upload) } }
  }

  package func expire() async throws(MetadataError) -> Int {
    try await writer.write { try $0.expire() }
  }

  // MARK: - The tree

  package func stat(_ entry: EntryReference, for principal: Principal) async throws(MetadataError) -> FileEntry {
    try await readers.read { transaction in
      let found = try transaction.locate(entry, principal)
      return found.row.document(path: found.path, owner: principal.userName)
    }
  }

  package func list(
    _ entry: EntryReference, recursive: Bool, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<FileEntry> {
    try await readers.read { transaction in
      if recursive { return try transaction.listRecursively(entry, limit: limit, cursor: cursor, principal) }
      return try transaction.list(entry, limit: limit, cursor: cursor, principal)
    }
  }

  package func createFolder(
    _ operation: UserOperations.CreateFolder, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write { transaction in
      try transaction.once(key, principal) { try transaction.edit(principal) { try $0.createFolder(operation) } }
    }
  }

  package func createSymlink(
    _ operation: UserOperations.CreateSymlink, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write { transaction in
      try transaction.once(key, principal) { try transaction.edit(principal) { try $0.createSymlink(operation) } }
    }
  }

  package func updateEntry(
    _ operation: UserOperations.UpdateEntry, for principal: Principal
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write { try $0.edit(principal) { try $0.updateEntry(operation) } }
  }

  package func deleteEntry(_ operation: UserOperations.DeleteEntry, for principal: Principal) async throws(MetadataError) {
    try await writer.write { try $0.edit(principal) { try $0.deleteEntry(operation) } }
  }

  package func copyEntry(
    _ operation: UserOperations.CopyEntry, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write { transaction in
      try transaction.once(key, principal) { try transaction.edit(principal) { try $0.copyEntry(operation) } }
    }
  }

  package func downloadPlan(
    _ entry: EntryReference, version: Int64?, cursor: String?, limit: Int, for principal: Principal
  ) async throws(MetadataError) -> DownloadPlan {
    try await readers.read { try $0.downloadPlan(entry, version: version, cursor: cursor, limit: limit, principal) }
  }

  package func downloadPlans(
    _ entries: [EntryReference], for principal: Principal
  ) async throws(MetadataError) -> [ItemResult<DownloadPlan>] {
    try await readers.read { transaction in
      try entries.map { entry in
        do {
          return ItemResult(
            value: try transaction.downloadPlan(entry, version: nil, cursor: nil, limit: ReadTransaction.planLimit, principal))
        } catch let problem as Problem {
          return ItemResult(problem: problem)
        }
      }
    }
  }

  package func versions(
    of entry: EntryReference, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<VersionInfo> {
    try await readers.read { try $0.versions(of: entry, limit: limit, cursor: cursor, principal) }
  }

  package func changes(since cursor: String?, limit: Int, for principal: Principal) async throws(MetadataError) -> ChangesPage {
    let feedEpoch = feedEpoch
    return try await readers.read { try $0.changes(since: cursor, limit: limit, feedEpoch: feedEpoch, principal) }
  }
}

extension WriteTransaction {
  /// A fresh lease for an open session; answers when it ends.
  func renew(_ id: UploadID, _ principal: Principal) throws -> WallTime {
    let upload = try openUpload(id, at: now, principal)
    let end = now + context.options.uploadLease
    try db.run("UPDATE uploads SET expires_at = ? WHERE number = ?", .time(end), .integer(upload.number))
    return end
  }
}
