internal import BlockModel
internal import Platform
package import ServiceAPI

/// Writes pages of a folder and of shares; equal to what their `Codable` form says, at a fraction of its cost: a page has up to a thousand
/// entries.
package enum ListingDocument {
  /// Bytes of an entry beside its path, roughly.
  private static let entryBytes = 320

  @Sendable package static func bytes(_ page: Page<FileEntry>) -> [UInt8] {
    bytes(page, itemBytes: { entryBytes(of: $0) }, write)
  }

  @Sendable package static func bytes(_ page: Page<ShareInfo>) -> [UInt8] {
    bytes(page, itemBytes: { entryBytes(of: $0.entry) + 128 }) { share, writer in
      writer.object { writer in
        writer.member("user") { $0.string(share.user) }
        writer.member("role") { $0.string(share.role.rawValue) }
        writer.member("granted_by") { $0.string(share.grantedBy) }
        writer.member("granted_at") { $0.string(share.grantedAt.rfc3339) }
        writer.member("entry") { write(share.entry, to: &$0) }
      }
    }
  }

  private static func entryBytes(of entry: FileEntry) -> Int { entryBytes + entry.path.utf8.count + entry.name.utf8.count }

  private static func bytes<Item>(
    _ page: Page<Item>, itemBytes: (Item) -> Int, _ write: (Item, inout JSONWriter) -> Void
  ) -> [UInt8] {
    var writer = JSONWriter(capacity: page.items.reduce(128) { $0 + itemBytes($1) })
    writer.object { writer in
      if let next = page.next { writer.member("next") { $0.string(next) } }
      writer.member("items") { writer in
        writer.array { writer in
          for item in page.items { writer.element { write(item, &$0) } }
        }
      }
    }
    return writer.bytes
  }

  private static func write(_ entry: FileEntry, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("id") { $0.string(entry.id.hex) }
      writer.member("path") { $0.string(entry.path) }
      writer.member("name") { $0.string(entry.name) }
      writer.member("kind") { $0.string(entry.kind.rawValue) }
      writer.member("size") { $0.integer(entry.size) }
      if let hash = entry.contentHash { writer.member("content_hash") { $0.string(hash) } }
      writer.member("version") { $0.integer(entry.version) }
      if let type = entry.mimeType { writer.member("mime_type") { $0.string(type) } }
      writer.member("modified_at") { $0.string(entry.modifiedAt.rfc3339) }
      writer.member("executable") { $0.boolean(entry.executable) }
      if let target = entry.target { writer.member("target") { $0.string(target) } }
      writer.member("owner") { $0.string(entry.owner) }
      writer.member("role") { $0.string(entry.role.rawValue) }
      if let finding = entry.quarantine { writer.member("quarantine") { $0.string(finding) } }
      if let clash = entry.caseClash { writer.member("case_clash") { $0.boolean(clash) } }
      if let encrypted = entry.encrypted { writer.member("encrypted") { $0.boolean(encrypted) } }
      if let folder = entry.keyFolder { writer.member("key_folder") { $0.string(folder.hex) } }
      if let envelope = entry.envelope { writer.member("envelope") { $0.string(envelope) } }
    }
  }
}
