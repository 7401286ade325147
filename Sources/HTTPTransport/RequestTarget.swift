package import BlockModel

/// The target of a request line, taken apart and percent-decoded. Pure; every byte sequence is either parsed or refused.
///
/// What must hold: each part is a range of `text`, which is the target itself when nothing in it is escaped, as in signed URLs, and
/// else the decoded parts back to back. Strings are made for who asks for them: most requests ask for few.
package struct RequestTarget: Sendable {
  /// What the ranges below point into; UTF-8 within each.
  package let text: [UInt8]
  /// Decoded components of the path. `/` is no component at all, `/a/` is `a` and an empty one.
  package let components: [Range<Int>]
  /// Decoded parameters of the query, in order, repeats kept. A pair without `=` has an empty value; `+` stands for a space, as browsers
  /// write it.
  package let parameters: [QueryParameter]
  /// As sent, without the query.
  private let rawPathBytes: ArraySlice<UInt8>

  package struct QueryItem: Sendable, Equatable {
    package var name: String
    package var value: String
  }

  /// As sent, without the query; printable ASCII and UTF-8 only.
  package var rawPath: String { String(decoding: rawPathBytes, as: UTF8.self) }
  package var path: [String] { components.map { string($0) } }
  package var query: [QueryItem] { parameters.map { QueryItem(name: string($0.name), value: string($0.value)) } }

  package func string(_ range: Range<Int>) -> String { String(decoding: text[range], as: UTF8.self) }

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

  /// The target of a request that was refused before its target was looked at.
  static let unread = RequestTarget()

  private init() {
    text = []
    components = []
    parameters = []
    rawPathBytes = []
  }

  /// Parses origin form (`/a/b?c=d`) and absolute form (`http://host/a`); `*` parses as a path without components.
  package init(parsing bytes: [UInt8]) throws(Malformed) {
    let target = try RequestTarget.originForm(bytes)
    let isEscaped = try RequestTarget.scan(target)
    let mark = target.firstIndex(of: UInt8(ascii: "?")) ?? target.endIndex
    rawPathBytes = target[..<mark]
    if isEscaped { _ = try RequestTarget.validated(rawPathBytes) }
    var parts = Parts(target, isEscaped: isEscaped)
    components = try RequestTarget.components(&parts, end: mark)
    parameters = mark == target.endIndex ? [] : try RequestTarget.parameters(&parts, from: mark + 1)
    text = parts.text
  }

  /// Whether something has to be decoded or checked to be UTF-8; refuses what stands in no target.
  private static func scan(_ target: [UInt8]) throws(Malformed) -> Bool {
    var isEscaped = false
    for byte in target {
      if byte <= 0x20 || byte == 0x7f || byte == UInt8(ascii: "#") { throw .forbiddenByte }
      if byte >= 0x80 || byte == UInt8(ascii: "%") || byte == UInt8(ascii: "+") { isEscaped = true }
    }
    return isEscaped
  }

  private static func originForm(_ bytes: [UInt8]) throws(Malformed) -> [UInt8] {
    guard let first = bytes.first else { throw .empty }
    if first == UInt8(ascii: "/") { return bytes }
    if bytes.elementsEqual("*".utf8) { return bytes }
    for scheme in ["http://", "https://"] where startsWithoutCase(bytes, scheme) {
      let rest = bytes.dropFirst(scheme.utf8.count)
      guard let slash = rest.firstIndex(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "?") }) else { return [UInt8(ascii: "/")] }
      return (rest[slash] == UInt8(ascii: "?") ? [UInt8(ascii: "/")] : []) + rest[slash...]
    }
    throw .notAPath
  }

  private static func startsWithoutCase(_ bytes: [UInt8], _ prefix: String) -> Bool {
    bytes.count >= prefix.utf8.count && zip(bytes, prefix.utf8).allSatisfy { $0 == $1 || $0 | 0x20 == $1 }
  }

  private static func components(_ parts: inout Parts, end: Int) throws(Malformed) -> [Range<Int>] {
    guard end > 1, parts.target[0] == UInt8(ascii: "/") else { return [] }
    var components: [Range<Int>] = []
    components.reserveCapacity(4)
    var start = 1
    while true {
      guard components.count < componentLimit else { throw .tooManyComponents }
      let slash = parts.first(UInt8(ascii: "/"), in: start..<end)
      components.append(try parts.decoded(start..<slash, plusIsSpace: false))
      if slash == end { return components }
      start = slash + 1
    }
  }

  private static func parameters(_ parts: inout Parts, from first: Int) throws(Malformed) -> [QueryParameter] {
    let end = parts.target.count
    var parameters: [QueryParameter] = []
    parameters.reserveCapacity(12)
    var start = first
    while start < end {
      let ampersand = parts.first(UInt8(ascii: "&"), in: start..<end)
      if start < ampersand {
        guard parameters.count < queryItemLimit else { throw .tooManyQueryItems }
        let equals = parts.first(UInt8(ascii: "="), in: start..<ampersand)
        let name = try parts.decoded(start..<equals, plusIsSpace: true)
        let value = try parts.decoded(min(equals + 1, ampersand)..<ampersand, plusIsSpace: true)
        parameters.append(QueryParameter(name: name, value: value))
      }
      start = ampersand + 1
    }
    return parameters
  }

  /// A target and, when it has escapes, the text of the parts decoded so far.
  private struct Parts {
    let target: [UInt8]
    let isEscaped: Bool
    private var decodedText: [UInt8] = []

    init(_ target: [UInt8], isEscaped: Bool) {
      self.target = target
      self.isEscaped = isEscaped
    }

    var text: [UInt8] { isEscaped ? decodedText : target }

    /// Where `byte` first stands in `range`, or the range's end.
    func first(_ byte: UInt8, in range: Range<Int>) -> Int {
      var index = range.lowerBound
      while index < range.upperBound, target[index] != byte { index += 1 }
      return index
    }

    /// The range of `text` where a part of the target stands decoded.
    mutating func decoded(_ range: Range<Int>, plusIsSpace: Bool) throws(Malformed) -> Range<Int> {
      guard isEscaped else { return range }
      let start = decodedText.count
      var index = range.lowerBound
      while index < range.upperBound {
        let byte = target[index]
        if byte == UInt8(ascii: "%") {
          guard range.upperBound - index > 2, let high = RequestTarget.nibble(target[index + 1]),
            let low = RequestTarget.nibble(target[index + 2])
          else { throw .badPercentEncoding }
          guard high | low != 0 else { throw .zeroByte }
          decodedText.append(high << 4 | low)
          index += 3
        } else {
          decodedText.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
          index += 1
        }
      }
      _ = try RequestTarget.validated(decodedText[start...])
      return start..<decodedText.count
    }
  }

  private static func nibble(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
  }

  private static func validated(_ bytes: ArraySlice<UInt8>) throws(Malformed) -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw .invalidUTF8 }
    return text
  }
}
