internal import Platform

/// A JSON document in memory whose members keep their order; for the API's description.
indirect enum JSONValue: Sendable, Equatable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  case string(String)
  case integer(Int)
  case boolean(Bool)
  case array([JSONValue])
  case object([Member])

  struct Member: Sendable, Equatable {
    var name: String
    var value: JSONValue
    init(_ name: String, _ value: JSONValue) {
      self.name = name
      self.value = value
    }
  }

  init(stringLiteral value: String) { self = .string(value) }
  init(integerLiteral value: Int) { self = .integer(value) }
  init(booleanLiteral value: Bool) { self = .boolean(value) }
  init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(elements.map { Member($0.0, $0.1) }) }

  func write(to writer: inout JSONWriter) {
    switch self {
    case .string(let text): writer.string(text)
    case .integer(let number): writer.integer(number)
    case .boolean(let value): writer.boolean(value)
    case .array(let elements): writer.array { writer in for element in elements { writer.element { element.write(to: &$0) } } }
    case .object(let members):
      writer.object { writer in for member in members { writer.member(member.name) { member.value.write(to: &$0) } } }
    }
  }

  var bytes: [UInt8] {
    var writer = JSONWriter(capacity: 64 << 10)
    write(to: &writer)
    return writer.bytes
  }
}
