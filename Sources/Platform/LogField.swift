package import BlockModel

/// A value in a log line.
package enum LogField: Sendable, ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral
{
  case string(String)
  case int(Int64)
  case double(Double)
  case bool(Bool)
  /// Written in seconds.
  case duration(Duration)
  case time(WallTime)
  /// Written as `«redacted»`, whatever it holds.
  case secret(SecretBytes)

  package init(stringLiteral value: String) { self = .string(value) }
  package init(integerLiteral value: Int64) { self = .int(value) }
  package init(floatLiteral value: Double) { self = .double(value) }
  package init(booleanLiteral value: Bool) { self = .bool(value) }

  package static func int(_ value: some BinaryInteger) -> LogField { .int(Int64(clamping: value)) }
  /// An error in its own words.
  package static func error(_ error: any Error) -> LogField { .string(String(describing: error)) }

  func append(to line: inout [UInt8]) {
    switch self {
    case .string(let text): JSONText.append(text, to: &line)
    case .int(let value): line.append(contentsOf: String(value).utf8)
    case .double(let value): LogField.append(value, to: &line)
    case .bool(let value): line.append(contentsOf: (value ? "true" : "false").utf8)
    case .duration(let value): LogField.append(value.inSeconds, to: &line)
    case .time(let value): JSONText.append(value.rfc3339, to: &line)
    case .secret(let value): JSONText.append(value.description, to: &line)
    }
  }

  /// JSON has no infinities and no NaN.
  private static func append(_ value: Double, to line: inout [UInt8]) {
    line.append(contentsOf: (value.isFinite ? String(value) : "null").utf8)
  }
}

/// Fields of a log line, in order.
package struct LogFields: Sendable, ExpressibleByDictionaryLiteral {
  package private(set) var fields: [(name: String, value: LogField)]

  package init(dictionaryLiteral elements: (String, LogField)...) {
    fields = elements.map { (name: $0.0, value: $0.1) }
  }

  package mutating func append(_ name: String, _ value: LogField) { fields.append((name, value)) }

  package static func + (a: LogFields, b: LogFields) -> LogFields {
    var sum = a
    sum.fields += b.fields
    return sum
  }
}

/// The strings of JSON, for writers that need no encoder.
enum JSONText {
  static func append(_ text: String, to line: inout [UInt8]) {
    let digits = Array("0123456789abcdef".utf8)
    line.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): line.append(contentsOf: "\\\"".utf8)
      case UInt8(ascii: "\\"): line.append(contentsOf: "\\\\".utf8)
      case UInt8(ascii: "\n"): line.append(contentsOf: "\\n".utf8)
      case UInt8(ascii: "\t"): line.append(contentsOf: "\\t".utf8)
      case 0..<0x20, 0x7f: line.append(contentsOf: "\\u00".utf8 + [digits[Int(byte >> 4)], digits[Int(byte & 15)]])
      default: line.append(byte)
      }
    }
    line.append(UInt8(ascii: "\""))
  }
}
