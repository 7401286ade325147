/// The rule that node and zone names share: 1 to 63 of `a–z`, `0–9` and `-`, beginning with a letter or digit.
/// They stand in URLs, metrics and file names, so nothing in them ever needs escaping.
package enum NameRule {
  package static func accepts(_ text: String) -> Bool {
    let bytes = text.utf8
    guard (1...63).contains(bytes.count), bytes.first != UInt8(ascii: "-") else { return false }
    return bytes.allSatisfy {
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
        || $0 == UInt8(ascii: "-")
    }
  }
}

/// A name under `NameRule`, told apart by what it names.
package struct Name<Kind>: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let text: String

  package init?(_ text: String) {
    guard NameRule.accepts(text) else { return nil }
    self.text = text
  }

  package var description: String { text }

  package static func < (a: Name, b: Name) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }
}

extension Name: Codable {
  package init(from decoder: any Decoder) throws {
    guard let name = Name(try decoder.singleValueContainer().decode(String.self)) else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "a name is 1 to 63 of a–z, 0–9 and -, not beginning with -"))
    }
    self = name
  }

  package func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(text)
  }
}

package enum NodeKind {}
/// A storage node's name: one process, one machine, one zone.
package typealias NodeID = Name<NodeKind>

package enum ZoneKind {}
/// A failure domain's name.
package typealias ZoneID = Name<ZoneKind>

package enum RegionKind {}
/// The name of several zones that may fail together.
package typealias RegionID = Name<RegionKind>
