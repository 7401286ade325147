/// Building URLs without Foundation.
enum URLText {
  private static let digits = Array("0123456789ABCDEF".utf8)

  /// Percent-encodes all but the unreserved characters of RFC 3986 and `/`.
  static func encode(_ text: String) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
        UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "/"):
        bytes.append(byte)
      default: bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// `?a=1&b=2` of what is not nil; empty when nothing is.
  static func query(_ items: [(name: String, value: String?)]) -> String {
    let parts = items.compactMap { item in item.value.map { "\(item.name)=\(encode($0))" } }
    return parts.isEmpty ? "" : "?" + parts.joined(separator: "&")
  }

  /// The value of a query parameter, as it stands; signed URLs need no decoding.
  static func parameter(_ name: String, of url: String) -> Substring? {
    guard let mark = url.firstIndex(of: "?") else { return nil }
    for part in url[url.index(after: mark)...].split(separator: "&") where part.hasPrefix(name + "=") {
      return part.dropFirst(name.count + 1)
    }
    return nil
  }
}
