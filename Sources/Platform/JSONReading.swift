/// Reads `Codable` values out of a `JSONTree`.
///
/// What must hold: what a document of ours says of mistakes comes from the places in these errors, which are worked out only then.
struct JSONReader: Decoder, SingleValueDecodingContainer {
  let tree: JSONTree
  /// Of the value's node.
  let index: Int

  var node: JSONNode { tree.nodes[index] }
  var codingPath: [any CodingKey] { tree.path(to: index) }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
    guard node.kind == .object else { throw mismatch([String: Any].self) }
    return KeyedDecodingContainer(JSONMembers<Key>(tree: tree, index: index))
  }

  func unkeyedContainer() throws -> any UnkeyedDecodingContainer {
    guard node.kind == .array else { throw mismatch([Any].self) }
    return JSONElements(tree: tree, index: index)
  }

  func singleValueContainer() -> any SingleValueDecodingContainer { self }

  // MARK: - One value

  func decodeNil() -> Bool { node.kind == .null }

  func decode(_ type: Bool.Type) throws -> Bool {
    switch node.kind {
    case .yes: return true
    case .no: return false
    default: throw mismatch(type)
    }
  }

  func decode(_ type: String.Type) throws -> String {
    let node = node
    guard node.kind == .text || node.kind == .escapedText else { throw mismatch(type) }
    return tree.text(node)
  }

  func decode(_ type: Double.Type) throws -> Double {
    guard node.kind == .number else { throw mismatch(type) }
    guard let number = tree.double(node) else { throw outOfRange }
    return number
  }

  func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }
  func decode(_ type: Int.Type) throws -> Int { try integer() }
  func decode(_ type: Int8.Type) throws -> Int8 { try integer() }
  func decode(_ type: Int16.Type) throws -> Int16 { try integer() }
  func decode(_ type: Int32.Type) throws -> Int32 { try integer() }
  func decode(_ type: Int64.Type) throws -> Int64 { try integer() }
  func decode(_ type: UInt.Type) throws -> UInt { try integer() }
  func decode(_ type: UInt8.Type) throws -> UInt8 { try integer() }
  func decode(_ type: UInt16.Type) throws -> UInt16 { try integer() }
  func decode(_ type: UInt32.Type) throws -> UInt32 { try integer() }
  func decode(_ type: UInt64.Type) throws -> UInt64 { try integer() }

  func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try Value(from: self) }

  private func integer<Number: FixedWidthInteger>() throws -> Number {
    guard node.kind == .number else { throw mismatch(Number.self) }
    guard let number: Number = tree.integer(node) else { throw outOfRange }
    return number
  }

  // MARK: - Mistakes

  private func mismatch(_ type: any Any.Type) -> DecodingError {
    let context = DecodingError.Context(codingPath: codingPath, debugDescription: "another kind of value is here")
    return node.kind == .null ? .valueNotFound(type, context) : .typeMismatch(type, context)
  }

  private var outOfRange: DecodingError {
    .dataCorrupted(.init(codingPath: codingPath, debugDescription: "the number is out of range"))
  }
}

/// An object. A class, because finding a member begins where the last one was found: documents have them in the order in which they are
/// asked for, more often than not. Of members with equal names any one counts.
private final class JSONMembers<Key: CodingKey>: KeyedDecodingContainerProtocol {
  private let tree: JSONTree
  private let index: Int
  /// The name's node of the member found last; behind the object when it has none.
  private var last: Int

  init(tree: JSONTree, index: Int) {
    self.tree = tree
    self.index = index
    last = index + 1
  }

  var codingPath: [any CodingKey] { tree.path(to: index) }

  var allKeys: [Key] {
    var keys: [Key] = []
    var place = index + 1
    while place < Int(tree.nodes[index].next) {
      if let key = Key(stringValue: tree.text(tree.nodes[place])) { keys.append(key) }
      place = Int(tree.nodes[place + 1].next)
    }
    return keys
  }

  func contains(_ key: Key) -> Bool { find(key.stringValue) != nil }

  /// The node of a member's value.
  private func find(_ name: String) -> Int? {
    var name = name
    return name.withUTF8 { name in
      let end = Int(tree.nodes[index].next)
      return find(name, from: last, to: end) ?? find(name, from: index + 1, to: last)
    }
  }

  private func find(_ name: UnsafeBufferPointer<UInt8>, from start: Int, to end: Int) -> Int? {
    var place = start
    while place < end {
      if tree.isNamed(name, tree.nodes[place]) {
        last = place
        return place + 1
      }
      place = Int(tree.nodes[place + 1].next)
    }
    return nil
  }

  private func value(_ key: Key) throws -> JSONReader {
    guard let found = find(key.stringValue) else {
      throw DecodingError.keyNotFound(key, .init(codingPath: codingPath, debugDescription: "the member is not there"))
    }
    return JSONReader(tree: tree, index: found)
  }

  /// Nil also for null.
  private func present(_ key: Key) -> JSONReader? {
    guard let found = find(key.stringValue), tree.nodes[found].kind != .null else { return nil }
    return JSONReader(tree: tree, index: found)
  }

  func decodeNil(forKey key: Key) throws -> Bool { try value(key).decodeNil() }
  func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try value(key).decode(type) }
  func decode(_ type: String.Type, forKey key: Key) throws -> String { try value(key).decode(type) }
  func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try value(key).decode(type) }
  func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try value(key).decode(type) }
  func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try value(key).decode(type) }
  func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try value(key).decode(type) }
  func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try value(key).decode(type) }
  func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try value(key).decode(type) }
  func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try value(key).decode(type) }
  func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try value(key).decode(type) }
  func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try value(key).decode(type) }
  func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try value(key).decode(type) }
  func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try value(key).decode(type) }
  func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try value(key).decode(type) }
  func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try Value(from: value(key)) }

  // What has no method here is put together from the above by the protocol.
  func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? { try present(key)?.decode(type) }
  func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { try present(key)?.decode(type) }
  func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try present(key)?.decode(type) }
  func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? { try present(key)?.decode(type) }
  func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
    try present(key).map { try Value(from: $0) }
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
    try value(key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try value(key).unkeyedContainer() }
  func superDecoder() throws -> any Decoder { try superDecoder(named: "super") }
  func superDecoder(forKey key: Key) throws -> any Decoder { try superDecoder(named: key.stringValue) }

  private func superDecoder(named name: String) throws -> any Decoder {
    guard let found = find(name) else {
      throw DecodingError.keyNotFound(
        JSONPlace(stringValue: name), .init(codingPath: codingPath, debugDescription: "the member is not there"))
    }
    return JSONReader(tree: tree, index: found)
  }
}

/// An array.
private struct JSONElements: UnkeyedDecodingContainer {
  private let tree: JSONTree
  private let index: Int
  private var place: Int
  private(set) var currentIndex = 0

  init(tree: JSONTree, index: Int) {
    self.tree = tree
    self.index = index
    place = index + 1
  }

  var codingPath: [any CodingKey] { tree.path(to: index) }
  var count: Int? { Int(tree.nodes[index].count) }
  var isAtEnd: Bool { place >= Int(tree.nodes[index].next) }

  /// The next element, which is not taken when `read` throws.
  private mutating func take<Value>(_ type: Value.Type, _ read: (JSONReader) throws -> Value) throws -> Value {
    guard !isAtEnd else {
      throw DecodingError.valueNotFound(
        type, .init(codingPath: codingPath + [JSONPlace(intValue: currentIndex)], debugDescription: "the array has no more elements"))
    }
    let value = try read(JSONReader(tree: tree, index: place))
    place = Int(tree.nodes[place].next)
    currentIndex += 1
    return value
  }

  mutating func decodeNil() throws -> Bool {
    guard !isAtEnd, tree.nodes[place].kind == .null else { return false }
    return try take(Bool.self) { $0.decodeNil() }
  }

  mutating func decode(_ type: Bool.Type) throws -> Bool { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: String.Type) throws -> String { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Double.Type) throws -> Double { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Float.Type) throws -> Float { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Int.Type) throws -> Int { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Int8.Type) throws -> Int8 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Int16.Type) throws -> Int16 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Int32.Type) throws -> Int32 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: Int64.Type) throws -> Int64 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: UInt.Type) throws -> UInt { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try take(type) { try $0.decode(type) } }
  mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try take(type) { try $0.decode(type) } }
  mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try take(type) { try Value(from: $0) } }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
    try take(KeyedDecodingContainer<Nested>.self) { try $0.container(keyedBy: type) }
  }
  mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer {
    try take((any UnkeyedDecodingContainer).self) { try $0.unkeyedContainer() }
  }
  mutating func superDecoder() throws -> any Decoder { try take((any Decoder).self) { $0 } }
}
