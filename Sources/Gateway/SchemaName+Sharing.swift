internal import BlockModel
internal import ServiceAPI

extension SchemaName {
  /// Revisions, trash, change sets.
  var revisionSchema: Schema {
    switch self {
    case .rewindRequest: .object([.may("time", .time, "As it was then."), .may("cursor", .string, "As it was there in the feed.")])
    case .rewind:
      .object([
        .must("changed", .count, "Entries that were changed back."), .must("lost", .count, "Entries that are deleted for good."),
        .must("undo", .string, "Rewinding to this cursor undoes it."),
      ])
    case .trashItem:
      .object([
        .must("entry", .reference(.file), "`path` is where it was."), .must("removed_at", .time), .may("removed_by", .string),
        .must("expires_at", .time, "Then it is deleted for good."),
      ])
    case .trashPage: .page(of: .trashItem)
    case .emptied: .object([.must("removed", .count)])
    case .restoreRequest: .object([.may("path", .string, "Where it goes; where it was when absent.")])
    case .changeSetRequest: .object([.must("changes", .array(.reference(.changeSetItem), maximum: ChangeSetRequest.limit))])
    case .changeSetItem: .object(changeSetMembers)
    case .changeSetResult: .object([.may("entry", .reference(.file), "What the change left; absent for deletions.")])
    default: .object([.must("results", .array(.reference(.changeSetResult)))])
    }
  }

  private var changeSetMembers: [Schema.Property] {
    [
      .must("op", .choice(ChangeSetItem.Kind.allCases.map(\.rawValue))), .may("id", .identifier, "This or `path` names the entry."),
      .may("path", .string), .may("to", .string, "With update, copy and restore: the new path."),
      .may("target", .string, "A symlink's."), .may("version", .count, "With revert."), .may("if_version", .count),
      .may("replaces", .count, "With copy of a file: the version of the file at `to`, whose next version the copy is to be."),
      .may("parents", .boolean), .may("recursive", .boolean), .may("forever", .boolean), .may("modified_at", .time),
      .may("executable", .boolean), .may("chunker", .folderChunker, "With folder, and with update of one."),
      .may("upload_id", .identifier, "With complete."), .may("complete", .reference(.completeRequest)),
    ]
  }

  /// Shares, links, notifications.
  var sharingSchema: Schema {
    switch self {
    case .shareRequest: .object([.must("role", .choice(["read", "write", "admin"]))])
    case .share:
      .object([
        .must("user", .string), .must("role", .choice(["read", "write", "admin"])), .must("granted_by", .string),
        .must("granted_at", .time), .must("entry", .reference(.file)),
      ])
    case .sharePage: .page(of: .share)
    case .linkRequest:
      .object([
        .may("expires_at", .time), .may("password", .string, "8 characters or more."),
        .may("max_downloads", .integer(minimum: 1, maximum: nil)),
      ])
    case .link:
      .object([
        .must("id", .identifier), .may("token", .string, "In the answer that makes the link: it opens `/l/{token}`."),
        .must("entry", .reference(.file)), .must("created_by", .string), .must("created_at", .time), .may("expires_at", .time),
        .must("has_password", .boolean), .may("max_downloads", .count), .must("downloads", .count),
      ])
    case .linkPage: .page(of: .link)
    case .linkItem:
      .object([
        .must("path", .string, "Below what is linked."), .must("name", .string), .must("kind", .choice(["file", "folder", "symlink"])),
        .must("size", .count), .may("content_hash", .hash), .must("version", .count), .may("mime_type", .string),
        .must("modified_at", .time),
      ])
    case .linkContent:
      .object([
        .must("item", .reference(.linkItem)), .must("children", .array(.reference(.linkItem))), .may("next", .string),
        .may("expires_at", .time),
      ])
    case .notification:
      .object([
        .must("kind", .choice(["created", "edited", "moved", "deleted", "shared", "unshared", "quarantined"])), .must("at", .time),
        .must("actor", .string, "Who did it."), .must("entry", .reference(.file)),
      ])
    default: .page(of: .notification)
    }
  }
}
