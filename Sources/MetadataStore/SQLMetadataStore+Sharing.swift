package import BlockModel
internal import Platform
internal import SQLSession
package import ServiceAPI

/// Revisions, trash, shares, links, the feed, and what operators do about users.
extension SQLMetadataStore {
  // MARK: - Revisions and trash

  package func restoreVersion(
    _ operation: UserOperations.RestoreVersion, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.edit(operation.entry, principal) { try $0.restoreVersion(operation) } }
    }
  }

  package func trash(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<TrashItem> {
    let retention = options.retention
    return try await readers.read { try $0.trash(limit: limit, cursor: cursor, retention: retention, principal) }
  }

  package func restoreFromTrash(
    _ operation: UserOperations.RestoreFromTrash, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> FileEntry {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.restoreFromTrash(operation.entry, to: operation.newPath, principal) }
    }
  }

  package func emptyTrash(_ entry: EntryID?, for principal: Principal) async throws(MetadataError) -> Int {
    try await writer.write(for: principal) { try $0.emptyTrash(entry, principal) }
  }

  package func rewind(
    _ operation: UserOperations.Rewind, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> RewindResult {
    let feedEpoch = feedEpoch
    return try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.rewind(operation, feedEpoch: feedEpoch, principal) }
    }
  }

  package func apply(
    _ request: ChangeSetRequest, completions: [Completion?], for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> ChangeSetResponse {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.apply(request, receipts: completions, principal) }
    }
  }

  // MARK: - Shares and links

  package func share(_ operation: UserOperations.Share, for principal: Principal) async throws(MetadataError) -> ShareInfo {
    try await writer.write(for: principal) { try $0.share(operation, principal) }
  }

  package func unshare(_ operation: UserOperations.Unshare, for principal: Principal) async throws(MetadataError) {
    try await writer.write(for: principal) { try $0.unshare(operation, principal) }
  }

  package func shares(
    of entry: EntryReference, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<ShareInfo> {
    try await readers.read { try $0.shares(of: entry, limit: limit, cursor: cursor, principal) }
  }

  package func shared(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<ShareInfo> {
    try await readers.read { try $0.shared(limit: limit, cursor: cursor, principal) }
  }

  package func createLink(
    _ link: NewLink, for principal: Principal, once key: IdempotencyKey?
  ) async throws(MetadataError) -> LinkInfo {
    try await writer.write(for: principal, repeatable: key != nil) { transaction in
      try transaction.once(key, principal) { try transaction.createLink(link, principal) }
    }
  }

  package func links(
    of entry: EntryReference?, limit: Int, cursor: String?, for principal: Principal
  ) async throws(MetadataError) -> Page<LinkInfo> {
    try await readers.read { try $0.links(of: entry, limit: limit, cursor: cursor, principal) }
  }

  package func revokeLink(_ link: LinkID, for principal: Principal) async throws(MetadataError) {
    try await writer.write(for: principal) { try $0.revokeLink(link, principal) }
  }

  package func linkPassword(tokenHash: [UInt8]) async throws(MetadataError) -> LinkPassword {
    let now = time.wall()
    let password = try await readers.read { try $0.linkPassword(tokenHash, at: now) }
    guard let password else { throw MetadataError(mapping: Problem.noSuchLink) }
    return password.map { .record($0) } ?? .none
  }

  package func linkContent(
    tokenHash: [UInt8], path: String, limit: Int, cursor: String?
  ) async throws(MetadataError) -> LinkContent {
    let now = time.wall()
    return try await readers.read { try $0.linkContent(tokenHash, path: path, limit: limit, cursor: cursor, at: now) }
  }

  package func linkPlan(
    tokenHash: [UInt8], path: String, version: Int64?, cursor: String?, limit: Int, counts: Bool
  ) async throws(MetadataError) -> DownloadPlan {
    let now = time.wall()
    let isCounted = cursor != nil
    let scanning = options.scanning
    let plan = try await readers.read {
      try $0.linkPlan(tokenHash, path: path, version: version, cursor: cursor, limit: limit, isCounted: isCounted, scanning, at: now)
    }
    // Counted when all else is known to be in order, and before anything is answered.
    if counts, !isCounted { try await writer.write { try $0.countDownload(tokenHash) } }
    return plan
  }

  // MARK: - The feed

  package func notifications(limit: Int, cursor: String?, for principal: Principal) async throws(MetadataError) -> Page<Notification> {
    try await readers.read { try $0.notifications(limit: limit, cursor: cursor, principal) }
  }

  // MARK: - Operators

  package func users(limit: Int, cursor: String?) async throws(MetadataError) -> Page<UserAccount> {
    try await readers.read { try $0.users(limit: limit, cursor: cursor) }
  }

  package func administer(_ user: String, _ change: UserChange) async throws(MetadataError) {
    try await writer.write(repeatable: true) { try $0.administer(user, change) }
  }

  package func note(actor: String, action: String, subject: String) async throws(MetadataError) {
    try await writer.write(repeatable: true) { try $0.log(actor: actor, action: action, subject: subject) }
  }

  package func auditLog(of actor: String?, limit: Int, cursor: String?) async throws(MetadataError) -> Page<AuditEntry> {
    try await readers.read { try $0.auditLog(of: actor, limit: limit, cursor: cursor) }
  }
}
