/// A value of an extension member of a problem document.
package enum ProblemValue: Sendable {
  case text(String)
  case number(Int)
  case flag(Bool)
  /// A JSON text as it is.
  case json(String)
}

extension HTTPResponse {
  /// A problem document (RFC 9457) as a response.
  ///
  /// The server adds `instance`, the request's id, on the way out.
  /// - Parameters:
  ///   - type: stable; short names become `urn:cairn:problem:NAME`, anything with a colon stays as it is.
  ///   - title: the same for every occurrence of the type.
  ///   - detail: one sentence: what happened and what to do.
  ///   - extra: further members, in this order.
  package static func problem(
    status: Int, type: String, title: String, detail: String, extra: [(String, ProblemValue)] = [], headers: HTTPHeaders = [:]
  ) -> HTTPResponse {
    var json = JSONText()
    json.open()
    json.member("type", .text(type.contains(":") ? type : "urn:cairn:problem:" + type))
    json.member("title", .text(title))
    json.member("status", .number(status))
    json.member("detail", .text(detail))
    for (name, value) in extra { json.member(name, value) }
    json.close()
    var headers = headers
    headers["Content-Type"] = ProblemDocument.contentType
    return HTTPResponse(status: status, headers: headers, body: .bytes(json.bytes))
  }
}

enum ProblemDocument {
  static let contentType = "application/problem+json"

  /// Puts the request's id into a problem document that has none.
  static func withInstance(_ response: consuming HTTPResponse, requestID: String) -> HTTPResponse {
    guard response.status >= 400, case .bytes(var bytes) = response.body, bytes.count < 1 << 20, bytes.count > 2,
      bytes.last == UInt8(ascii: "}"), response.headers["Content-Type"]?.hasPrefix(contentType) == true,
      !contains(bytes, "\"instance\"")
    else { return response }
    bytes.removeLast()
    var json = JSONText(continuing: bytes)
    json.member("instance", .text(requestID))
    json.close()
    var response = response
    response.body = .bytes(json.bytes)
    return response
  }

  private static func contains(_ bytes: [UInt8], _ text: String) -> Bool {
    let needle = Array(text.utf8)
    guard bytes.count >= needle.count else { return false }
    return (0...(bytes.count - needle.count)).contains { bytes[$0] == needle[0] && bytes[$0..<($0 + needle.count)].elementsEqual(needle) }
  }
}

/// Writes one flat JSON object. Own, because problem documents are also made on network threads, where Foundation is too slow.
struct JSONText {
  private(set) var bytes: [UInt8]
  private var isFirst: Bool

  init() {
    bytes = []
    isFirst = true
  }

  /// Goes on with an object whose closing brace was taken off and that has at least one member.
  init(continuing bytes: [UInt8]) {
    self.bytes = bytes
    isFirst = false
  }

  mutating func open() { bytes.append(UInt8(ascii: "{")) }
  mutating func close() { bytes.append(UInt8(ascii: "}")) }

  mutating func member(_ name: String, _ value: ProblemValue) {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    isFirst = false
    string(name)
    bytes.append(UInt8(ascii: ":"))
    switch value {
    case .text(let text): string(text)
    case .number(let number): bytes.append(contentsOf: String(number).utf8)
    case .flag(let flag): bytes.append(contentsOf: (flag ? "true" : "false").utf8)
    case .json(let text): bytes.append(contentsOf: text.utf8)
    }
  }

  private mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"):
        bytes.append(UInt8(ascii: "\\"))
        bytes.append(byte)
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        bytes.append(contentsOf: "\\u00".utf8)
        bytes.append(digits[Int(byte >> 4)])
        bytes.append(digits[Int(byte & 15)])
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
