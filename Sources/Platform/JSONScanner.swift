/// Goes through a document once, checks its form, and notes where its values lie.
struct JSONScanner {
  enum Failure: Error { case malformed, tooDeep }

  private let bytes: UnsafeBufferPointer<UInt8>
  private let maxDepth: Int
  private var position = 0
  private(set) var nodes: [JSONNode] = []

  init(_ bytes: UnsafeBufferPointer<UInt8>, maxDepth: Int) {
    self.bytes = bytes
    self.maxDepth = maxDepth
    // A value has a dozen bytes or more in nearly all documents.
    nodes.reserveCapacity(8 + min(bytes.count / 12, 4096))
  }

  mutating func scan() throws(Failure) {
    skipSpace()
    try value(depth: 0)
    skipSpace()
    guard position == bytes.count else { throw .malformed }
  }

  private mutating func skipSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case UInt8(ascii: " "), UInt8(ascii: "\n"), UInt8(ascii: "\t"), UInt8(ascii: "\r"): position += 1
      default: return
      }
    }
  }

  /// The next byte that is no space, without taking it.
  private mutating func peek() throws(Failure) -> UInt8 {
    skipSpace()
    guard position < bytes.count else { throw .malformed }
    return bytes[position]
  }

  private mutating func value(depth: Int) throws(Failure) {
    switch try peek() {
    case UInt8(ascii: "\""): try text()
    case UInt8(ascii: "{"): try object(depth: depth + 1)
    case UInt8(ascii: "["): try array(depth: depth + 1)
    case UInt8(ascii: "t"): try word("true", .yes)
    case UInt8(ascii: "f"): try word("false", .no)
    case UInt8(ascii: "n"): try word("null", .null)
    default: try number()
    }
  }

  private mutating func note(_ kind: JSONNode.Kind, from start: Int, to end: Int) {
    nodes.append(
      JSONNode(
        kind: kind, start: UInt32(truncatingIfNeeded: start), end: UInt32(truncatingIfNeeded: end),
        next: UInt32(truncatingIfNeeded: nodes.count + 1), count: 0))
  }

  private mutating func word(_ word: StaticString, _ kind: JSONNode.Kind) throws(Failure) {
    let length = word.utf8CodeUnitCount
    guard bytes.count - position >= length, word.withUTF8Buffer({ $0.elementsEqual(bytes[position..<(position + length)]) }) else {
      throw .malformed
    }
    note(kind, from: position, to: position + length)
    position += length
  }

  // MARK: - Arrays and objects

  private mutating func array(depth: Int) throws(Failure) {
    guard depth <= maxDepth else { throw .tooDeep }
    let index = nodes.count
    note(.array, from: position, to: position)
    position += 1
    var count: UInt32 = 0
    if try peek() != UInt8(ascii: "]") {
      repeat {
        try value(depth: depth)
        count += 1
      } while try takeComma()
      guard bytes[position] == UInt8(ascii: "]") else { throw .malformed }
    }
    close(index, count)
  }

  private mutating func object(depth: Int) throws(Failure) {
    guard depth <= maxDepth else { throw .tooDeep }
    let index = nodes.count
    note(.object, from: position, to: position)
    position += 1
    var count: UInt32 = 0
    if try peek() != UInt8(ascii: "}") {
      repeat {
        guard try peek() == UInt8(ascii: "\"") else { throw .malformed }
        try text()
        guard try peek() == UInt8(ascii: ":") else { throw .malformed }
        position += 1
        try value(depth: depth)
        count += 1
      } while try takeComma()
      guard bytes[position] == UInt8(ascii: "}") else { throw .malformed }
    }
    close(index, count)
  }

  /// False when something else is next, which stays.
  private mutating func takeComma() throws(Failure) -> Bool {
    guard try peek() == UInt8(ascii: ",") else { return false }
    position += 1
    return true
  }

  private mutating func close(_ index: Int, _ count: UInt32) {
    position += 1
    nodes[index].end = UInt32(truncatingIfNeeded: position)
    nodes[index].next = UInt32(truncatingIfNeeded: nodes.count)
    nodes[index].count = count
  }

  // MARK: - Texts and numbers

  private mutating func text() throws(Failure) {
    position += 1
    let start = position
    var kind = JSONNode.Kind.text
    var all: UInt8 = 0
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        try check(UnsafeBufferPointer(rebasing: bytes[start..<position]), kind, isASCII: all < 0x80)
        note(kind, from: start, to: position)
        position += 1
        return
      }
      guard byte >= 0x20 else { throw .malformed }
      all |= byte
      position += 1
      guard byte == UInt8(ascii: "\\") else { continue }
      kind = .escapedText
      try escape()
    }
    throw .malformed
  }

  /// Text is UTF-8, and no half of a surrogate pair stands alone in it.
  private func check(_ content: UnsafeBufferPointer<UInt8>, _ kind: JSONNode.Kind, isASCII: Bool) throws(Failure) {
    if kind == .text, isASCII { return }
    let text = kind == .text ? String(validating: content, as: UTF8.self) : JSONText.unescaped(content)
    guard text != nil else { throw .malformed }
  }

  /// What follows a backslash.
  private mutating func escape() throws(Failure) {
    guard position < bytes.count else { throw .malformed }
    defer { position += 1 }
    switch bytes[position] {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
      UInt8(ascii: "r"), UInt8(ascii: "t"):
      return
    case UInt8(ascii: "u"):
      guard bytes.count - position > 4, bytes[(position + 1)...(position + 4)].allSatisfy({ JSONText.hexDigit($0) != nil }) else {
        throw .malformed
      }
      position += 4
    default: throw .malformed
    }
  }

  private mutating func number() throws(Failure) {
    let start = position
    if bytes[position] == UInt8(ascii: "-") { position += 1 }
    // A zero stands alone before the point.
    if position < bytes.count, bytes[position] == UInt8(ascii: "0") { position += 1 } else { try digits() }
    if take(UInt8(ascii: "."), or: UInt8(ascii: ".")) { try digits() }
    if take(UInt8(ascii: "e"), or: UInt8(ascii: "E")) {
      _ = take(UInt8(ascii: "+"), or: UInt8(ascii: "-"))
      try digits()
    }
    note(.number, from: start, to: position)
  }

  /// At least one.
  private mutating func digits() throws(Failure) {
    let start = position
    while position < bytes.count, bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
    guard position > start else { throw .malformed }
  }

  private mutating func take(_ one: UInt8, or other: UInt8) -> Bool {
    guard position < bytes.count, bytes[position] == one || bytes[position] == other else { return false }
    position += 1
    return true
  }
}
