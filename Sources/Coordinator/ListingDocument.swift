internal import BlockModel
internal import Platform
package import ServiceAPI

/// Writes a page of a folder; equal to what its `Codable` form says, at a fraction of its cost: a page has up to a thousand entries.
package enum ListingDocument {
  /// Bytes of an entry beside its path, roughly.
  private static let entryBytes = 320

  @Sendable package static func bytes(_ page: Page<FileEntry>) -> [UInt8] {
    var writer = JSONWriter(capacity: page.items.reduce(128) { $0 + entryBytes + $1.path.utf8.count + $1.name.utf8.count })
    writer.object { writer in
      if let next = page.next { writer.member("next") { $0.string(next) } }
      writer.member("items") { writer in
        writer.array { writer in
          for entry in page.items { writer.element { write(entry, to: &$0) } }
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
    }
  }
}
