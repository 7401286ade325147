internal import BlockModel
internal import HTTPTransport
internal import Platform
package import ServiceAPI

/// Writes the documents that carry signed URLs; equal to what their `Codable` form says, at a fraction of its cost.
package enum TransferDocuments {
  package static func bytes(_ state: UploadState) throws(Problem) -> [UInt8] {
    let file = try state.file.map { entry throws(Problem) in try encode(entry) }
    var writer = JSONWriter(capacity: 512 + state.missing.reduce(0) { $0 + 160 + size(of: $1.put) })
    write(state, file: file, to: &writer)
    return writer.bytes
  }

  package static func bytes(_ plan: DownloadPlan) throws(Problem) -> [UInt8] {
    let file = try encode(plan.file)
    var writer = JSONWriter(capacity: 1024 + plan.blocks.reduce(0) { $0 + 160 + size(of: $1.get) })
    write(plan, file: file, to: &writer)
    return writer.bytes
  }

  /// `{"results":[{"value":…}|{"problem":…}]}`.
  package static func bytes(_ batch: BatchOpenResponse) throws(Problem) -> [UInt8] {
    try list("results", batch.results) { state throws(Problem) in try bytes(state) }
  }

  package static func bytes(_ batch: BatchCompleteResponse) throws(Problem) -> [UInt8] {
    try list("results", batch.results) { entry throws(Problem) in try encode(entry) }
  }

  package static func bytes(_ page: Page<ItemResult<DownloadPlan>>) throws(Problem) -> [UInt8] {
    try list("items", page.items) { plan throws(Problem) in try bytes(plan) }
  }

  // MARK: Parts

  private static func list<Value>(
    _ name: StaticString, _ items: [ItemResult<Value>], _ value: (Value) throws(Problem) -> [UInt8]
  ) throws(Problem) -> [UInt8] {
    var parts: [(name: StaticString, bytes: [UInt8])] = []
    for item in items {
      if let wanted = item.value {
        parts.append(("value", try value(wanted)))
      } else {
        let problem = item.problem ?? Problem(.internalError, "The coordinator did not say what became of this item.")
        parts.append(("problem", problemBytes(problem)))
      }
    }
    var writer = JSONWriter(capacity: parts.reduce(64) { $0 + $1.bytes.count + 16 })
    writer.object { writer in
      writer.member(name) { writer in
        writer.array { writer in
          for part in parts { writer.element { $0.object { $0.member(part.name) { $0.raw(part.bytes) } } } }
        }
      }
    }
    return writer.bytes
  }

  /// A problem document with the member `kind` beside it, by which the SDK reads it.
  private static func problemBytes(_ problem: Problem) -> [UInt8] {
    guard case .bytes(var bytes) = HTTPResponse.problem(problem).body, bytes.popLast() == UInt8(ascii: "}") else { return Array("{}".utf8) }
    bytes.append(contentsOf: ",\"kind\":\"\(problem.kind.rawValue)\"}".utf8)
    return bytes
  }

  private static func write(_ state: UploadState, file: [UInt8]?, to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("upload_id") { $0.string(state.uploadID.hex) }
      writer.member("status") { $0.string(state.status.rawValue) }
      writer.member("expires_at") { $0.string(state.expiresAt.rfc3339) }
      writer.member("block_count") { $0.integer(state.blockCount) }
      if let chunker = state.chunker { writer.member("chunker") { $0.string(chunker.rawValue) } }
      writer.member("missing") { writer in
        writer.array { writer in
          for block in state.missing {
            writer.element { writer in
              writer.object { writer in
                writer.member("index") { $0.integer(block.index) }
                writer.member("id") { $0.string(block.id.hex) }
                writer.member("size") { $0.integer(block.size) }
                targets("put", block.put, to: &writer)
              }
            }
          }
        }
      }
      if let next = state.next { writer.member("next") { $0.string(next) } }
      if let file { writer.member("file") { $0.raw(file) } }
    }
  }

  private static func write(_ plan: DownloadPlan, file: [UInt8], to writer: inout JSONWriter) {
    writer.object { writer in
      writer.member("file") { $0.raw(file) }
      writer.member("size") { $0.integer(plan.size) }
      writer.member("content_hash") { $0.string(plan.contentHash) }
      writer.member("version") { $0.integer(plan.version) }
      writer.member("chunker") { $0.string(plan.chunker.rawValue) }
      writer.member("blocks") { writer in
        writer.array { writer in
          for block in plan.blocks {
            writer.element { writer in
              writer.object { writer in
                writer.member("id") { $0.string(block.id.hex) }
                writer.member("offset") { $0.integer(block.offset) }
                writer.member("size") { $0.integer(block.size) }
                targets("get", block.get, to: &writer)
              }
            }
          }
        }
      }
      if let next = plan.next { writer.member("next") { $0.string(next) } }
      if let envelope = plan.envelope { writer.member("envelope") { $0.string(envelope) } }
    }
  }

  private static func targets(_ name: StaticString, _ targets: [SignedTarget], to writer: inout JSONWriter) {
    writer.member(name) { writer in
      writer.array { writer in
        for target in targets {
          writer.element { writer in
            writer.object { writer in
              writer.member("node") { $0.string(target.node.text) }
              writer.member("zone") { $0.string(target.zone.text) }
              writer.member("url") { $0.string(target.url) }
            }
          }
        }
      }
    }
  }

  private static func size(of targets: [SignedTarget]) -> Int { targets.reduce(0) { $0 + $1.url.utf8.count + 128 } }

  private static func encode(_ entry: FileEntry) throws(Problem) -> [UInt8] {
    do { return try JSONCoding.encode(entry) } catch { throw Problem(.internalError, "The answer could not be written.") }
  }
}
