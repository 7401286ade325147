internal import BlockModel
internal import ServiceAPI

/// What the gateway refuses of an upload without asking the coordinator.
extension GatewayService {
  /// The request with its path in the form that is stored.
  static func checked(_ request: UploadRequest) throws(Problem) -> UploadRequest {
    var request = request
    request.path = try GatewayCall.path(request.path)
    guard request.path != "/" else { throw Problem(.invalidName, "`/` is a folder; a file needs a name.") }
    if let blocks = request.blocks { try check(blocks) }
    if let size = request.size { try check(size: size) }
    if let hash = request.contentHash { try check(contentHash: hash) }
    if let base = request.baseVersion, base < 0 { throw Problem(.malformed, "`base_version` is a version, or 0 for none.") }
    if let type = request.mimeType, !MediaType.isWellFormed(type) {
      throw Problem(.malformed, "`mime_type` has to be a media type such as `text/plain`.")
    }
    return request
  }

  static func check(_ blocks: [BlockRef]) throws(Problem) {
    guard blocks.count <= Limits.blocksPerRequest else {
      throw Problem(.tooLarge, "One request may announce \(Limits.blocksPerRequest) blocks; send the rest to /v1/uploads/{id}/blocks.")
    }
    guard blocks.allSatisfy({ (1...Limits.blockBytes).contains($0.size) }) else {
      throw Problem(.malformed, "A block has 1 to \(Limits.blockBytes) bytes; an empty file has no block.")
    }
  }

  static func check(_ request: CompleteRequest) throws(Problem) {
    if let size = request.size { try check(size: size) }
    if let hash = request.contentHash { try check(contentHash: hash) }
    if let receipts = request.receipts { try check(receipts: receipts) }
  }

  /// Length only: what a receipt is worth, the coordinator decides.
  static func check(receipts: [String]) throws(Problem) {
    guard receipts.count <= GatewayLimits.receipts else {
      throw Problem(.tooLarge, "One request may carry \(GatewayLimits.receipts) receipts; send them in parts.")
    }
    guard receipts.allSatisfy({ $0.utf8.count <= Limits.receiptCharacters }) else {
      throw Problem(
        .invalidReceipt, "A receipt has at most \(Limits.receiptCharacters) characters; send them verbatim as the nodes gave them.")
    }
  }

  static func check(batch count: Int) throws(Problem) {
    guard (1...GatewayLimits.batch).contains(count) else {
      throw Problem(count == 0 ? .malformed : .tooLarge, "A batch has 1 to \(GatewayLimits.batch) items.")
    }
  }

  private static func check(size: Int64) throws(Problem) {
    guard size >= 0 else { throw Problem(.malformed, "`size` cannot be negative.") }
    guard size <= Limits.fileBytes else { throw Problem(.tooLarge, "A file may have at most \(Limits.fileBytes) bytes.") }
  }

  private static func check(contentHash: String) throws(Problem) {
    guard BlockID(hex: contentHash) != nil else { throw Problem(.malformed, "`content_hash` has to be 64 lower-case hexadecimal digits.") }
  }
}
