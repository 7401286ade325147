/// The target of a request line, taken apart and percent-decoded. Pure; every byte sequence is either parsed or refused.
package struct RequestTarget: Sendable, Equatable {
  /// As sent, without the query; printable ASCII and UTF-8 only.
  package var rawPath: String
  /// Decoded components between slashes. `/` is no component at all, `/a/` is `a` and an empty one.
  package var path: [String]
  /// In order, repeats kept. A pair without `=` has an empty value; `+` stands for a space, as browsers write it.
  package var query: [QueryItem]

  package struct QueryItem: Sendable, Equatable {
    package var name: String
    package var value: String
  }

  /// Why a target was refused; each is a sentence for the problem document.
  package enum Malformed: Error, Sendable, Equatable {
    case empty, notAPath, forbiddenByte, badPercentEncoding, invalidUTF8, zeroByte, tooManyComponents, tooManyQueryItems

    package var sentence: String {
      switch self {
      case .empty: "The request target is empty."
      case .notAPath: "The request target must be a path that begins with a slash, or an http URL."
      case .forbiddenByte: "The request target has a space, a control character or a fragment in it; percent-encode it."
      case .badPercentEncoding: "A percent sign in the request target is not followed by two hexadecimal digits."
      case .invalidUTF8: "The request target does not decode to UTF-8."
      case .zeroByte: "The request target has a zero byte in it."
      case .tooManyComponents: "The path has more than \(RequestTarget.componentLimit) components."
      case .tooManyQueryItems: "The query has more than \(RequestTarget.queryItemLimit) parameters."
      }
    }
  }

  package static let componentLimit = 64
  package static let queryItemLimit = 256

  /// Parses origin form (`/a/b?c=d`) and absolute form (`http://host/a`); `*` parses as a path without components.
  package init(parsing bytes: [UInt8]) throws(Malformed) {
    let target = try RequestTarget.originForm(bytes[...])
    for byte in target where byte <= 0x20 || byte == 0x7f || byte == UInt8(ascii: "#") { throw .forbiddenByte }
    let mark = target.firstIndex(of: UInt8(ascii: "?")) ?? target.endIndex
    rawPath = try RequestTarget.text(target[..<mark])
    path = try RequestTarget.components(target[..<mark])
    query = mark == target.endIndex ? [] : try RequestTarget.items(target[(mark + 1)...])
  }

  private static func originForm(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> ArraySlice<UInt8> {
    guard let first = bytes.first else { throw .empty }
    if first == UInt8(ascii: "/") { return bytes }
    if bytes.elementsEqual("*".utf8) { return bytes }
    for scheme in ["http://", "https://"] where startsWithoutCase(bytes, scheme) {
      let rest = bytes.dropFirst(scheme.utf8.count)
      guard let slash = rest.firstIndex(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") }) else { return [UInt8(ascii: "/")] }
      if rest[slash] == UInt8(ascii: "?") { return [UInt8(ascii: "/")] + rest[slash...] }
      return rest[slash...]
    }
    throw .notAPath
  }

  private static func startsWithoutCase(_ bytes: ArraySlice<UInt8>, _ prefix: String) -> Bool {
    bytes.count >= prefix.utf8.count && zip(bytes, prefix.utf8).allSatisfy { $0 == $1 || $0 | 0x20 == $1 }
  }

  private static func components(_ path: ArraySlice<UInt8>) throws(Malformed) -> [String] {
    guard path.count > 1, path.first == UInt8(ascii: "/") else { return [] }
    var components: [String] = []
    var rest = path.dropFirst()
    while true {
      guard components.count < componentLimit else { throw .tooManyComponents }
      let slash = rest.firstIndex(of: UInt8(ascii: "/")) ?? rest.endIndex
      components.append(try decoded(rest[..<slash], plusIsSpace: false))
      if slash == rest.endIndex { return components }
      rest = rest[(slash + 1)...]
    }
  }

  private static func items(_ query: ArraySlice<UInt8>) throws(Malformed) -> [QueryItem] {
    var items: [QueryItem] = []
    var rest = query
    while !rest.isEmpty {
      let end = rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.endIndex
      let item = rest[..<end]
      if !item.isEmpty {
        guard items.count < queryItemLimit else { throw .tooManyQueryItems }
        let equals = item.firstIndex(of: UInt8(ascii: "=")) ?? item.endIndex
        let name = try decoded(item[..<equals], plusIsSpace: true)
        let value = equals == item.endIndex ? "" : try decoded(item[(equals + 1)...], plusIsSpace: true)
        items.append(QueryItem(name: name, value: value))
      }
      rest = end == rest.endIndex ? [] : rest[(end + 1)...]
    }
    return items
  }

  private static func decoded(_ bytes: ArraySlice<UInt8>, plusIsSpace: Bool) throws(Malformed) -> String {
    guard bytes.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return try text(bytes) }
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count)
    var index = bytes.startIndex
    while index < bytes.endIndex {
      let byte = bytes[index]
      if byte == UInt8(ascii: "%") {
        guard bytes.endIndex - index > 2, let high = nibble(bytes[index + 1]), let low = nibble(bytes[index + 2]) else {
          throw .badPercentEncoding
        }
        guard high | low != 0 else { throw .zeroByte }
        out.append(high << 4 | low)
        index += 3
      } else {
        out.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
        index += 1
      }
    }
    return try text(out[...])
  }

  private static func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  private static func text(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .invalidUTF8 }
    return text
  }
}
