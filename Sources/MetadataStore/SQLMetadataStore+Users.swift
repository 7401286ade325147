package import BlockModel
internal import Platform
internal import SQLSession
package import ServiceAPI

/// The users' operations: each is one call of the writer or of a reader.
extension SQLMetadataStore {
  // MARK: - Accounts

  package func createUser(
    name: String, password: String, quota: Int64?, once key: IdempotencyKey?
  ) async throws(MetadataError) -> UserInfo {
    try await writer.write(repeatable: key != nil) { transaction in
      try transaction.once(key, user: 0) { try transaction.createUser(name: name, password: password, quota: quota) }.value
    }
  }

  package func setPassword(_ password: String, of user: UserID, revokingAllBut keeping: DeviceID?) async throws(MetadataError) {
    try await writer.write(repeatable: true) { try $0.setPassword(password, of: user, revokingAllBut: keeping) }
  }

  package func passwordRecord(ofUserNamed name: String) async throws(MetadataError) -> PasswordRecord? {
    try await readers.read { try $0.passwordRecord(ofUserNamed: name) }
  }

  package func createDevice(_ device: NewDevice, once key: IdempotencyKey?) async throws(MetadataError) {
    try await writer.write(repeatable: key != nil) { try $0.createDevice(device, once: key) }
  }

  package func principal(tokenHash: [UInt8]) async throws(MetadataError) -> Principal? {
    try await readers.read { try $0.principal(tokenHash: tokenHash) }
  }

  package func noteSeen(_ device: DeviceID) async throws(MetadataError) {
    try await writer.write(repeatable: true) { try $0.noteSeen(device) }
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
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.openUpload(request, principal) }
    }
  }

  package func openUploads(
    _ requests: [UploadRequest], for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> [ItemResult<UploadState>] {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) {
        try transaction.batch {
          try requests.map { request in try transaction.item { try transaction.openUpload(request, principal) } }
        }
      }
    }
  }

  package func addBlocks(
    _ request: BlocksRequest, to upload: UploadID, for principal: Principal
  ) async throws(MetadataError) -> UploadState {
    try await writer.write(for: principal, repeatable: true) { try $0.addBlocks(request, to: upload, principal) }
  }

  package func uploadState(
    _ upload: UploadID, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> UploadState {
    let now = time.wall()
    var state = try await readers.read { try $0.uploadState(upload, cursor: cursor, at: now, principal) }
    // Renewing is a write; once in an eighth of the lease is often enough.
    guard state.status == .uploading, state.expiresAt - now < options.uploadLease * 7 / 8 else { return state }
    state.expiresAt = try await writer.write(for: principal, repeatable: true) { try $0.renew(upload, principal) }
    return state
  }

  package func addReceipts(_ receipts: [Receipt], to upload: UploadID, for principal: Principal) async throws(MetadataError) {
    try await writer.write(for: principal, repeatable: true) { try $0.addReceipts(receipts, to: upload, principal) }
  }

  package func completeUpload(_ completion: Completion, for principal: Principal) async throws(MetadataError) -> FileEntry {
    let result = try await writer.write(for: principal, repeatable: true) { try $0.complete(completion, principal) }
    if let file = result.value { return file }
    let problem = result.problem ?? Problem(.internalError, "A commit had no outcome.")
    throw MetadataError(mapping: problem)
  }

  package func completeUploads(
    _ completions: [Completion], for principal: Principal
  ) async throws(MetadataError) -> [ItemResult<FileEntry>] {
    try await writer.write(for: principal, repeatable: true) { transaction in
      try transaction.batch {
        try completions.map { completion in
          let result = try transaction.item { try transaction.complete(completion, principal) }
          return result.value ?? result.problem.map { ItemResult(problem: $0) }
            ?? ItemResult(problem: Problem(.internalError, "A commit had no outcome."))
        }
      }
    }
  }

  package func abortUpload(_ upload: UploadID, for principal: Principal) async throws(MetadataError) {
    try await writer.write(for: principal, repeatable: true) { try $0.abortUpload(upload, principal) }
  }

  package func expire() async throws(MetadataError) -> Int {
    try await writer.write(repeatable: true) { try $0.expire() }
  }

  // MARK: - The tree

  package func stat(_ entry: EntryReference, for principal: Principal) async throws(MetadataError) -> FileEntry {
    try await readers.read { transaction in
      if SharedFolder.isNamed(by: entry) { return SharedFolder.document(principal) }
      return try transaction.fullDocument(transaction.locate(entry, for: .stat, principal))
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
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.createFolder(operation, principal) }
    }
  }

  package func createSymlink(
    _ operation: UserOperations.CreateSymlink, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.createSymlink(operation, principal) }
    }
  }

  package func updateEntry(
    _ operation: UserOperations.UpdateEntry, for principal: Principal
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write(for: principal) { try $0.updateEntry(operation, principal) }
  }

  package func deleteEntry(_ operation: UserOperations.DeleteEntry, for principal: Principal) async throws(MetadataError) {
    try await writer.write(for: principal) { try $0.edit(operation.entry, principal) { try $0.deleteEntry(operation) } }
  }

  package func copyEntry(
    _ operation: UserOperations.CopyEntry, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.copyEntry(operation, principal) }
    }
  }

  package func downloadPlan(
    _ entry: EntryReference, version: Int64?, cursor: String?, limit: Int, for principal: Principal
  ) async throws(MetadataError) -> DownloadPlan {
    let scanning = options.scanning
    return try await readers.read { try $0.downloadPlan(entry, version: version, cursor: cursor, limit: limit, scanning, principal) }
  }

  package func downloadPlans(
    _ entries: [EntryReference], for principal: Principal
  ) async throws(MetadataError) -> [ItemResult<DownloadPlan>] {
    let scanning = options.scanning
    return try await readers.read { transaction in
      let transaction = ReadTransaction(db: transaction.db, memory: ReadMemory())
      return try entries.map { entry in
        do {
          return ItemResult(
            value: try transaction.downloadPlan(entry, version: nil, cursor: nil, limit: ReadTransaction.planLimit, scanning, principal))
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
    try db.send("UPDATE uploads SET expires_at = ? WHERE number = ?", .time(end), .integer(upload.number))
    return end
  }
}
