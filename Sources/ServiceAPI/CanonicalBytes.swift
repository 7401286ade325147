internal import BlockModel

/// A request that says by itself, in bytes, what it asks for: equal requests have equal bytes, and different ones different ones.
package protocol CanonicallyDescribed {
  var canonicalBytes: [UInt8] { get }
}

/// Every part is preceded by its length or by whether it is there, so that no two lists of parts look alike.
struct CanonicalBytes {
  private(set) var bytes: [UInt8] = []

  mutating func add(_ number: Int64) { withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) } }

  mutating func add(_ number: Int64?) {
    bytes.append(number == nil ? 0 : 1)
    if let number { add(number) }
  }

  mutating func add(_ text: String?) {
    add(text.map { Int64($0.utf8.count) })
    if let text { bytes.append(contentsOf: text.utf8) }
  }

  mutating func add(_ flag: Bool?) { add(flag.map { $0 ? Int64(1) : 0 }) }

  mutating func add(_ blocks: [BlockRef]?) {
    add(blocks.map { Int64($0.count) })
    for block in blocks ?? [] {
      bytes.append(contentsOf: block.id.bytes)
      add(Int64(block.size))
    }
  }

  mutating func add(_ request: UploadRequest) {
    add(request.path)
    add(request.size)
    add(request.contentHash)
    add(request.blocks)
    add(request.baseVersion)
    add(request.baseEntry?.hex)
    add(request.onConflict?.rawValue)
    add(request.mimeType)
    add(request.modifiedAt?.nanoseconds)
    add(request.executable)
    add(request.chunker?.rawValue)
    add(request.parents)
    add(request.encrypted)
  }
}

extension UserOperations.OpenUploadBatch: CanonicallyDescribed {
  package var canonicalBytes: [UInt8] {
    var canonical = CanonicalBytes()
    canonical.add(Int64(request.uploads.count))
    for upload in request.uploads { canonical.add(upload) }
    return canonical.bytes
  }
}
