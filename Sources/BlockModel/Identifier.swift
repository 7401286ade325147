/// A random 128-bit identifier, told apart by what it names: an upload's id does not fit where a disk's is asked for.
package struct Identifier<Kind>: Hashable, Comparable, Sendable {
  package let high: UInt64
  package let low: UInt64

  package static var byteCount: Int { 16 }

  package init(high: UInt64, low: UInt64) {
    self.high = high
    self.low = low
  }

  /// A new one from the given source of randomness.
  package init(using generator: inout some RandomNumberGenerator) {
    high = generator.next()
    low = generator.next()
  }

  /// A new one from the system's randomness.
  package static func random() -> Identifier {
    var generator = SystemRandomNumberGenerator()
    return Identifier(using: &generator)
  }

  /// From 32 lower-case hexadecimal digits; nil for anything else.
  package init?(hex: String) {
    var hex = hex
    guard let id = hex.withUTF8({ Identifier(hexDigits: UnsafeRawBufferPointer($0)) }) else { return nil }
    self = id
  }

  init?(hexDigits text: UnsafeRawBufferPointer) {
    guard text.count == 2 * Identifier.byteCount, let high = HexDigits.word(text, at: 0), let low = HexDigits.word(text, at: 16) else {
      return nil
    }
    self.init(high: high, low: low)
  }

  package var bytes: [UInt8] {
    [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(56 - 8 * $0)) } }
  }

  package var hex: String {
    var text: [UInt8] = []
    text.reserveCapacity(32)
    appendHex(to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  func appendHex(to text: inout [UInt8]) {
    HexDigits.append(high, to: &text)
    HexDigits.append(low, to: &text)
  }

  package static func < (a: Identifier, b: Identifier) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

extension Identifier: CustomStringConvertible {
  package var description: String { hex }
}

extension Identifier: Codable {
  package init(from decoder: any Decoder) throws {
    guard let id = Identifier(hex: try decoder.singleValueContainer().decode(String.self)) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "an identifier is 32 lower-case hexadecimal digits"))
    }
    self = id
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(hex)
  }
}

package enum ClusterKind {}
/// Names a cluster; every node, receipt and capability belongs to one.
package typealias ClusterID = Identifier<ClusterKind>

package enum UploadKind {}
/// Names an upload session.
package typealias UploadID = Identifier<UploadKind>

package enum DiskKind {}
/// Names one incarnation of a disk: a disk that was wiped comes back under a new one.
package typealias DiskID = Identifier<DiskKind>

package enum SegmentKind {}
/// Names one life of a segment file; a recycled file gets a new one, so that its stale bytes never count.
package typealias SegmentID = Identifier<SegmentKind>

package enum EntryKind {}
/// Names a file, folder or symlink for its whole life, through renames and moves.
package typealias EntryID = Identifier<EntryKind>

package enum UserKind {}
package typealias UserID = Identifier<UserKind>

package enum DeviceKind {}
package typealias DeviceID = Identifier<DeviceKind>

package enum NamespaceKind {}
/// Names a tree of entries with a change sequence of its own.
package typealias NamespaceID = Identifier<NamespaceKind>
