import BlockModel
import HTTPTransport
import Platform
import ServiceAPI
import StorageNode
import TestSupport
import Testing

/// Frames made by hand around a thousand letters: each would decode to the block, but for the one rule that it breaks.
@Suite("Compressed bodies from strangers") struct HostileFrameTests {
  private static let plain = [UInt8](repeating: UInt8(ascii: "a"), count: 1000)
  private static let magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]

  /// A last block that repeats one letter (RFC 8878, section 3.1.1.2).
  private static func letters(_ count: Int, isLast: Bool = true) -> [UInt8] {
    let header = count << 3 | 1 << 1 | (isLast ? 1 : 0)
    return [UInt8(header & 255), UInt8(header >> 8 & 255), UInt8(header >> 16), UInt8(ascii: "a")]
  }

  /// The content size in two bytes.
  private static func size(_ count: Int) -> [UInt8] { [UInt8((count - 256) & 255), UInt8((count - 256) >> 8)] }

  private static let good = magic + [0x60] + size(1000) + letters(1000)
  private static let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2]

  static let frames: [(name: String, body: [UInt8], status: Int)] = [
    ("one segment", good, 201),
    ("a window of 4 MiB", magic + [0x40, 12 << 3] + size(1000) + letters(1000), 201),
    ("two blocks in one frame", magic + [0x60] + size(1000) + letters(400, isLast: false) + letters(600), 201),
    ("a window of 4.5 MiB", magic + [0x40, 12 << 3 | 1] + size(1000) + letters(1000), 422),
    ("a window of 8 MiB", magic + [0x40, 13 << 3] + size(1000) + letters(1000), 422),
    ("the largest window that can be written", magic + [0x40, 255] + size(1000) + letters(1000), 422),
    ("no content size", magic + [0x00, 0x50] + letters(1000), 422),
    ("a byte too few in the content size", magic + [0x60] + size(999) + letters(1000), 422),
    ("a byte too many in the content size", magic + [0x60] + size(1001) + letters(1000), 422),
    ("more content than was said", magic + [0x60] + size(1000) + letters(100_000), 422),
    ("less content than was said", magic + [0x60] + size(1000) + letters(999), 422),
    ("a dictionary", magic + [0x61, 7] + size(1000) + letters(1000), 422),
    ("a dictionary of no number", magic + [0x61, 0] + size(1000) + letters(1000), 422),
    ("a reserved bit", magic + [0x68] + size(1000) + letters(1000), 422),
    ("a checksum that is wrong", magic + [0x64] + size(1000) + letters(1000) + [1, 2, 3, 4], 422),
    ("a skippable frame before", skippable + good, 422),
    ("a skippable frame behind", good + skippable, 422),
    ("a skippable frame alone", skippable, 422),
    ("two frames that make the block", magic + [0x60] + size(500) + letters(500) + magic + [0x60] + size(500) + letters(500), 422),
    ("an empty frame behind", good + magic + [0x20, 0, 1, 0, 0], 422),
    ("a byte behind", good + [0], 422), ("the last byte missing", Array(good.dropLast()), 422),
    ("no last block", magic + [0x60] + size(1000) + letters(1000, isLast: false), 422),
    ("a block of a reserved kind", magic + [0x60] + size(1000) + [0x07, 0, 0, 0], 422),
    ("an older magic", [0x27] + good.dropFirst(), 422), ("the magic alone", magic, 422), ("one byte", [0x28], 422),
    ("other letters", magic + [0x60] + size(1000) + letters(1000).dropLast() + [UInt8(ascii: "b")], 422),
    ("as long as the block", good + [UInt8](repeating: 0, count: 1000 - good.count), 409),
  ]

  @Test("what is not exactly one frame under the rules is refused, on its own and in a batch, and kept nowhere")
  func table() async throws {
    let name = TestCluster.name(Self.plain)
    for (what, body, status) in Self.frames {
      try await withCluster { cluster in
        let alone = try await cluster.put(body, to: cluster.putURL(Self.plain), headers: ["Content-Encoding": "zstd"])
        #expect(alone.status == status, "\(what)")
        #expect(cluster.holders(name) == (status == 201 ? [0, 1, 2] : []), "\(what)")
        let url = cluster.putURL(Self.plain)
        var batch = BlockBatch.begin()
        BlockBatch.append(to: &batch, encoding: .zstd, text: String(url[url.firstRange(of: "/v1/")!.lowerBound...]), data: body)
        let answer = try await cluster.client.send(
          HTTPClientRequest(method: .post, url: cluster.nodes[0].address + "/v1/blocks/batch", body: .bytes(batch)))
        #expect(try JSONCoding.decode(BatchPutReply.self, from: answer.bytes).items.map(\.status) == [status], "\(what), in a batch")
        if status == 201 {
          // Kept as it was sent.
          let kept = try await cluster.get(cluster.getURL(Self.plain, at: 2), headers: ["Accept-Encoding": "zstd"])
          #expect(kept.bytes == body && kept.headers["Content-Encoding"] == "zstd", "\(what)")
          #expect(try await cluster.get(cluster.getURL(Self.plain, at: 1)).bytes == Self.plain, "\(what)")
        }
      }
    }
  }
}
