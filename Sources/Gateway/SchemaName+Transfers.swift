internal import BlockModel

extension SchemaName {
  var uploadSchema: Schema {
    switch self {
    case .uploadRequest: .object(uploadRequestMembers)
    case .upload:
      .object([
        .must("upload_id", .identifier), .must("status", .choice(["uploading", "uploaded", "aborted", "expired"])),
        .must("expires_at", .time), .must("block_count", .count, "Blocks announced so far."),
        .must("missing", .array(.reference(.missingBlock), maximum: Limits.blocksPerRequest)), .may("next", .string),
        .may("file", .reference(.file), "With `uploaded`."), .may("chunker", .chunker, "How the file is to be cut."),
      ])
    case .missingBlock:
      .object([
        .must("index", .count), .must("id", .hash), .must("size", .count),
        .must("put", .array(.reference(.signedTarget)), "Where it may be put, best first; one is enough."),
      ])
    case .blocksRequest:
      .object([
        .must("start", .count, "Index of the first block given here."),
        .must("blocks", .array(.reference(.block), maximum: Limits.blocksPerRequest)),
      ])
    case .receiptsRequest: .object([.must("receipts", .array(.string), "Verbatim as the nodes gave them.")])
    case .completeRequest:
      .object([
        .may("size", .count), .may("content_hash", .hash), .may("receipts", .array(.string)),
        .may("envelope", .string, "In an encrypted folder: the plain size and content hash, sealed."),
      ])
    case .uploadBatchRequest: .object([.must("uploads", .array(.reference(.uploadRequest), maximum: GatewayLimits.batch))])
    case .uploadBatch: .object([.must("results", .array(.reference(.uploadResult)), "In the order of the request.")])
    case .uploadResult: .result(of: .upload)
    case .completeBatchRequest:
      .object([
        .must(
          "uploads",
          .array(
            .object([.must("upload_id", .identifier), .must("complete", .reference(.completeRequest))]), maximum: GatewayLimits.batch))
      ])
    case .completeBatch: .object([.must("results", .array(.reference(.fileResult)), "In the order of the request.")])
    default: .result(of: .file)
    }
  }

  private var uploadRequestMembers: [Schema.Property] {
    [
      .must("path", .string), .may("size", .count, "Bytes; may come with complete."), .may("content_hash", .hash),
      .may("blocks", .array(.reference(.block), maximum: Limits.blocksPerRequest), "The first blocks, in file order."),
      .may("base_version", .count, "The version that this upload replaces; 0 for none."),
      .may("base_entry", .identifier, "The entry that base_version is of; another one at the path is a conflict."),
      .may("on_conflict", .choice(["fail", "copy", "overwrite"])), .may("mime_type", .string), .may("modified_at", .time),
      .may("executable", .boolean),
      .may("chunker", .chunker, "How the file is cut; when absent as its folder says, and the answer tells."),
      .may("parents", .boolean, "Make missing parent folders."),
      .may("encrypted", .boolean, "The path and the contents are sealed, as they have to be in an encrypted folder."),
    ]
  }

  var transferSchema: Schema {
    switch self {
    case .block:
      .object([.must("id", .hash, "SHA-256 of the plain bytes."), .must("size", .integer(minimum: 0, maximum: Limits.blockBytes))])
    case .signedTarget: .object([.must("node", .string), .must("zone", .string), .must("url", .format("uri"))])
    case .plannedBlock:
      .object([
        .must("id", .hash), .must("offset", .count), .must("size", .count),
        .must("get", .array(.reference(.signedTarget)), "Where it is, best first."),
      ])
    case .downloadPlan:
      .object([
        .must("file", .reference(.file)), .must("size", .count), .must("content_hash", .hash), .must("version", .count),
        .must("chunker", .chunker), .must("blocks", .array(.reference(.plannedBlock))), .may("next", .string),
        .may("envelope", .string, "In an encrypted folder: the version's plain size and content hash, sealed."),
      ])
    case .downloadBatchRequest:
      .object([
        .must(
          "entries", .array(.object([.may("id", .identifier), .may("path", .string)]), maximum: GatewayLimits.batch), "Each by id or path.")
      ])
    case .downloadBatch: .object([.must("items", .array(.reference(.planResult)), "In the order of the request.")])
    default: .result(of: .downloadPlan)
    }
  }
}

/// What one request may ask of the gateway.
enum GatewayLimits {
  /// Items of a batch.
  static let batch = 256
  /// Receipts of one request.
  static let receipts = 4096
  /// Bytes of a request's document where it carries lists of blocks or receipts.
  static let listBytes = 4 << 20
}
