internal import BlockModel
internal import ServiceAPI

extension SchemaName {
  private static let base64 = "In base 64 for URLs, without padding."

  /// Keys of users and folders.
  var keySchema: Schema {
    switch self {
    case .keyPair:
      .object([
        .must("public_key", .string, "X25519. " + SchemaName.base64),
        .must("wrapped_private_key", .string, "Under the user's recovery phrase. " + SchemaName.base64),
        .must("generation", .count, "Counts the user's pairs, from 1."), .must("created_at", .time),
      ])
    case .keyPairRequest:
      .object([
        .must("public_key", .string, "32 bytes. " + SchemaName.base64),
        .must("wrapped_private_key", .string, "40 bytes. " + SchemaName.base64),
        .may("replaces", .count, "The generation that this pair takes the place of; 0 for the first."),
      ])
    case .publicKey: .object([.must("user", .string), .must("public_key", .string, SchemaName.base64), .must("generation", .count)])
    case .wrappedKey:
      .object([
        .must("wrapped_key", .string, "105 bytes. " + SchemaName.base64),
        .must("generation", .count, "Of the key pair that it is wrapped to."),
      ])
    case .folderKeyRequest:
      .object([
        .must("user", .string, "Who gets it."), .must("wrapped_key", .string, "105 bytes. " + SchemaName.base64),
        .must("generation", .count, "Of the user's key pair that it is wrapped to."),
      ])
    case .folderKey:
      .object([
        .must("folder", .reference(.file)), .may("key", .reference(.wrappedKey), "Absent while nobody gave the caller the key."),
        .may("granted_by", .string, "Who gave it."),
      ])
    default: .page(of: .folderKey)
    }
  }
}
