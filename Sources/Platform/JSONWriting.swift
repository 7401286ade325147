/// Writes `Codable` values as JSON, straight into bytes.
///
/// What must hold: a value is written to its end before the next one begins, as what the compiler writes for `Codable` types does; whoever
/// goes back to a container that was left has a bug.
final class JSONOutput {
  private struct Frame {
    var isObject: Bool
    var isEmpty: Bool
    var number: Int
  }

  private(set) var bytes: [UInt8] = []
  /// Arrays and objects that are open, each inside of the one before.
  private var frames: [Frame] = []
  private var opened = 0

  init() { bytes.reserveCapacity(512) }

  /// Names a container that is open.
  struct Place {
    /// How many are around it.
    var depth: Int
    var number: Int
  }

  var depth: Int { frames.count }

  /// Opens an array or object inside of `depth` others; one that is open there already goes on.
  func open(isObject: Bool, inside depth: Int) -> Place {
    if frames.count > depth, frames[depth].isObject == isObject {
      close(to: depth + 1)
    } else {
      precondition(frames.count == depth, "a value is one array or one object")
      opened += 1
      frames.append(Frame(isObject: isObject, isEmpty: true, number: opened))
      bytes.append(isObject ? UInt8(ascii: "{") : UInt8(ascii: "["))
    }
    return Place(depth: depth, number: frames[depth].number)
  }

  /// Ends what is open inside of `depth` others.
  func close(to depth: Int) {
    while frames.count > depth {
      bytes.append(frames[frames.count - 1].isObject ? UInt8(ascii: "}") : UInt8(ascii: "]"))
      frames.removeLast()
    }
  }

  /// The next member or element of an open container begins.
  func next(in place: Place) {
    close(to: place.depth + 1)
    precondition(frames.count == place.depth + 1 && frames[place.depth].number == place.number, "a container that was left is written to")
    if !frames[place.depth].isEmpty { bytes.append(UInt8(ascii: ",")) }
    frames[place.depth].isEmpty = false
  }

  func name(_ name: String) {
    JSONText.append(name, to: &bytes)
    bytes.append(UInt8(ascii: ":"))
  }

  func null() { bytes.append(contentsOf: "null".utf8) }
  func write(_ value: Bool) { bytes.append(contentsOf: (value ? "true" : "false").utf8) }
  func write(_ value: String) { JSONText.append(value, to: &bytes) }
  func write(_ value: some BinaryInteger) { JSONText.append(value, to: &bytes) }

  /// - Throws: for what JSON has no number for.
  func write(_ value: Double) throws {
    guard value.isFinite else {
      throw EncodingError.invalidValue(value, .init(codingPath: [], debugDescription: "JSON has no number for \(value)"))
    }
    let text = value.description
    bytes.append(contentsOf: text.hasSuffix(".0") ? text.utf8.dropLast(2) : text.utf8[...])
  }

  /// Any value, whole.
  func write(any value: some Encodable) throws {
    let (depth, start) = (frames.count, bytes.count)
    try value.encode(to: JSONValueWriter(output: self, depth: depth))
    close(to: depth)
    if bytes.count == start { bytes.append(contentsOf: "{}".utf8) }
  }
}

/// Where one value is to be written.
struct JSONValueWriter: Encoder, SingleValueEncodingContainer {
  let output: JSONOutput
  let depth: Int

  var codingPath: [any CodingKey] { [] }
  var userInfo: [CodingUserInfoKey: Any] { [:] }

  func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
    KeyedEncodingContainer(JSONMemberWriter<Key>(output: output, place: output.open(isObject: true, inside: depth)))
  }
  func unkeyedContainer() -> any UnkeyedEncodingContainer {
    JSONElementWriter(output: output, place: output.open(isObject: false, inside: depth))
  }
  func singleValueContainer() -> any SingleValueEncodingContainer { self }

  func encodeNil() { output.null() }
  func encode(_ value: Bool) { output.write(value) }
  func encode(_ value: String) { output.write(value) }
  func encode(_ value: Double) throws { try output.write(value) }
  func encode(_ value: Float) throws { try output.write(Double(value.description) ?? Double(value)) }
  func encode(_ value: Int) { output.write(value) }
  func encode(_ value: Int8) { output.write(value) }
  func encode(_ value: Int16) { output.write(value) }
  func encode(_ value: Int32) { output.write(value) }
  func encode(_ value: Int64) { output.write(value) }
  func encode(_ value: UInt) { output.write(value) }
  func encode(_ value: UInt8) { output.write(value) }
  func encode(_ value: UInt16) { output.write(value) }
  func encode(_ value: UInt32) { output.write(value) }
  func encode(_ value: UInt64) { output.write(value) }
  func encode(_ value: some Encodable) throws { try value.encode(to: self) }
}

private struct JSONMemberWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
  let output: JSONOutput
  let place: JSONOutput.Place

  var codingPath: [any CodingKey] { [] }

  /// Begins a member; what is written through the answer is its value.
  private func member(_ key: Key) -> JSONOutput {
    output.next(in: place)
    output.name(key.stringValue)
    return output
  }

  func encodeNil(forKey key: Key) { member(key).null() }
  func encode(_ value: Bool, forKey key: Key) { member(key).write(value) }
  func encode(_ value: String, forKey key: Key) { member(key).write(value) }
  func encode(_ value: Double, forKey key: Key) throws { try member(key).write(value) }
  func encode(_ value: Float, forKey key: Key) throws {
    try JSONValueWriter(output: member(key), depth: place.depth + 1).encode(value)
  }
  func encode(_ value: Int, forKey key: Key) { member(key).write(value) }
  func encode(_ value: Int8, forKey key: Key) { member(key).write(value) }
  func encode(_ value: Int16, forKey key: Key) { member(key).write(value) }
  func encode(_ value: Int32, forKey key: Key) { member(key).write(value) }
  func encode(_ value: Int64, forKey key: Key) { member(key).write(value) }
  func encode(_ value: UInt, forKey key: Key) { member(key).write(value) }
  func encode(_ value: UInt8, forKey key: Key) { member(key).write(value) }
  func encode(_ value: UInt16, forKey key: Key) { member(key).write(value) }
  func encode(_ value: UInt32, forKey key: Key) { member(key).write(value) }
  func encode(_ value: UInt64, forKey key: Key) { member(key).write(value) }
  func encode(_ value: some Encodable, forKey key: Key) throws {
    try member(key).write(any: value)
  }

  func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
    superEncoder(forKey: key).container(keyedBy: type)
  }
  func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { superEncoder(forKey: key).unkeyedContainer() }
  func superEncoder() -> any Encoder {
    output.next(in: place)
    output.name("super")
    return JSONValueWriter(output: output, depth: place.depth + 1)
  }
  func superEncoder(forKey key: Key) -> any Encoder { JSONValueWriter(output: member(key), depth: place.depth + 1) }
}

private struct JSONElementWriter: UnkeyedEncodingContainer {
  let output: JSONOutput
  let place: JSONOutput.Place
  private(set) var count = 0

  init(output: JSONOutput, place: JSONOutput.Place) {
    self.output = output
    self.place = place
  }

  var codingPath: [any CodingKey] { [] }

  private mutating func element() -> JSONOutput {
    output.next(in: place)
    count += 1
    return output
  }

  mutating func encodeNil() { element().null() }
  mutating func encode(_ value: Bool) { element().write(value) }
  mutating func encode(_ value: String) { element().write(value) }
  mutating func encode(_ value: Double) throws { try element().write(value) }
  mutating func encode(_ value: Float) throws { try JSONValueWriter(output: element(), depth: place.depth + 1).encode(value) }
  mutating func encode(_ value: Int) { element().write(value) }
  mutating func encode(_ value: Int8) { element().write(value) }
  mutating func encode(_ value: Int16) { element().write(value) }
  mutating func encode(_ value: Int32) { element().write(value) }
  mutating func encode(_ value: Int64) { element().write(value) }
  mutating func encode(_ value: UInt) { element().write(value) }
  mutating func encode(_ value: UInt8) { element().write(value) }
  mutating func encode(_ value: UInt16) { element().write(value) }
  mutating func encode(_ value: UInt32) { element().write(value) }
  mutating func encode(_ value: UInt64) { element().write(value) }
  mutating func encode(_ value: some Encodable) throws { try element().write(any: value) }

  mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
    superEncoder().container(keyedBy: type)
  }
  mutating func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { superEncoder().unkeyedContainer() }
  mutating func superEncoder() -> any Encoder { JSONValueWriter(output: element(), depth: place.depth + 1) }
}
