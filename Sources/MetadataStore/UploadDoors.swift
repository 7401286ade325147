internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// Finding the session that a request is of, and the tree that it uploads into.
extension WriteTransaction {
  func openUpload(_ request: UploadRequest, _ principal: Principal) throws -> UploadState {
    let asked = try RemotePath.checked(request.path)
    let (view, path) = try view(of: asked, principal)
    return try edit(view, principal) { try $0.openUpload(request, asked: asked, path) }
  }

  func addBlocks(_ request: BlocksRequest, to id: UploadID, _ principal: Principal) throws -> UploadState {
    let upload = try openUpload(id, at: now, principal)
    return try edit(upload, principal) { try $0.addBlocks(request, to: upload) }
  }

  func addReceipts(_ receipts: [Receipt], to id: UploadID, _ principal: Principal) throws {
    let upload = try openUpload(id, at: now, principal)
    try edit(upload, principal) { try $0.addReceipts(receipts, to: upload) }
  }

  func complete(_ completion: Completion, _ principal: Principal) throws -> ItemResult<FileEntry> {
    guard let (upload, counters) = try uploadWithCounters(completion.upload, principal) else { throw Problem.noSuchUpload }
    return try edit(upload, principal, counters) { try $0.complete(upload, completion) }
  }

  func abortUpload(_ id: UploadID, _ principal: Principal) throws {
    guard let upload = try upload(id, principal) else { throw Problem.noSuchUpload }
    // Giving up is allowed to somebody who may do nothing else there any more.
    guard upload.namespace != principal.namespaceNumber, let owner = try ownerOf(upload.namespace) else {
      return try edit(principal) { try $0.abortUpload(upload) }
    }
    try edit(owner) { try $0.abortUpload(upload) }
  }

  /// Runs one mutation of the tree that the session uploads into.
  /// - Throws: `.notFound` when the share that the path goes through is not there any more.
  private func edit<T>(
    _ upload: UploadRow, _ principal: Principal, _ counters: NamespaceCounters? = nil, _ body: (NamespaceEditor) throws -> T
  ) throws -> T {
    if upload.namespace == principal.namespaceNumber { return try edit(principal.view, principal, counters: counters, body) }
    let view = try view(of: RemotePath.checked(upload.path), principal).view
    guard view.namespace == upload.namespace else {
      throw Problem(.conflict, "\(upload.path) is in another tree now than when the upload began: open a new one.")
    }
    return try edit(view, principal, counters: counters, body)
  }

}
