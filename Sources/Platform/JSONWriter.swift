/// Writes JSON straight into bytes. For the documents with thousands of entries or signed URLs, for which a general
/// encoder is the bottleneck.
///
/// What must hold: a value is written after `member` or `element` exactly once; the closures of `object` and `array` see to the rest.
package struct JSONWriter: ~Copyable {
  package private(set) var bytes: [UInt8] = []
  /// Whether the next member or element is the first of its object or array.
  private var isFirst = true

  package init(capacity: Int) { bytes.reserveCapacity(capacity) }

  package mutating func object(_ members: (inout JSONWriter) -> Void) { enclosed(UInt8(ascii: "{"), UInt8(ascii: "}"), members) }

  package mutating func array(_ elements: (inout JSONWriter) -> Void) { enclosed(UInt8(ascii: "["), UInt8(ascii: "]"), elements) }

  private mutating func enclosed(_ open: UInt8, _ close: UInt8, _ content: (inout JSONWriter) -> Void) {
    bytes.append(open)
    isFirst = true
    content(&self)
    bytes.append(close)
    isFirst = false
  }

  package mutating func member(_ name: StaticString, _ value: (inout JSONWriter) -> Void) {
    separate()
    bytes.append(UInt8(ascii: "\""))
    name.withUTF8Buffer { bytes.append(contentsOf: $0) }
    bytes.append(UInt8(ascii: "\""))
    bytes.append(UInt8(ascii: ":"))
    value(&self)
  }

  package mutating func member(_ name: String, _ value: (inout JSONWriter) -> Void) {
    separate()
    string(name)
    bytes.append(UInt8(ascii: ":"))
    value(&self)
  }

  package mutating func element(_ value: (inout JSONWriter) -> Void) {
    separate()
    value(&self)
  }

  private mutating func separate() {
    if !isFirst { bytes.append(UInt8(ascii: ",")) }
    isFirst = false
  }

  // MARK: Values

  package mutating func integer(_ value: some BinaryInteger) { JSONText.append(value, to: &bytes) }

  package mutating func boolean(_ value: Bool) { bytes.append(contentsOf: (value ? "true" : "false").utf8) }

  /// JSON that is written already.
  package mutating func raw(_ json: [UInt8]) { bytes.append(contentsOf: json) }

  package mutating func string(_ text: String) { JSONText.append(text, to: &bytes) }
}
