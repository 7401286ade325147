/// Where one value of a document lies in its bytes.
struct JSONNode {
  enum Kind: UInt8 { case null, no, yes, number, text, escapedText, array, object }

  var kind: Kind
  /// Its bytes; those of a text without the quotes.
  var start: UInt32
  var end: UInt32
  /// The first node after it and all that is in it.
  var next: UInt32
  /// Elements of an array, members of an object.
  var count: UInt32
}

/// A document that was read: its values in their order, each before what is in it.
///
/// What must hold: the whole document is well-formed by RFC 8259. An object's members are two nodes each, name and value. Texts are decoded
/// when they are asked for, and only then.
final class JSONTree {
  let bytes: [UInt8]
  let nodes: [JSONNode]

  /// - Parameter maxDepth: arrays and objects inside of each other.
  init(_ bytes: [UInt8], maxDepth: Int) throws(JSONScanner.Failure) {
    precondition(bytes.count <= Int(UInt32.max), "the limits of documents are far below this")
    let result = bytes.withUnsafeBufferPointer { bytes -> Result<[JSONNode], JSONScanner.Failure> in
      var scanner = JSONScanner(bytes, maxDepth: maxDepth)
      do throws(JSONScanner.Failure) {
        try scanner.scan()
        return .success(scanner.nodes)
      } catch { return .failure(error) }
    }
    nodes = try result.get()
    self.bytes = bytes
  }

  // MARK: - Values

  /// The text of a node that is one.
  func text(_ node: JSONNode) -> String {
    bytes.withUnsafeBufferPointer { bytes in
      let content = UnsafeBufferPointer(rebasing: bytes[Int(node.start)..<Int(node.end)])
      // The scanner saw that escapes make sense.
      return node.kind == .text ? String(decoding: content, as: UTF8.self) : JSONText.unescaped(content) ?? ""
    }
  }

  /// Whether the node is this name.
  func isNamed(_ name: UnsafeBufferPointer<UInt8>, _ node: JSONNode) -> Bool {
    guard node.kind == .text else { return text(node).utf8.elementsEqual(name) }
    let count = Int(node.end - node.start)
    guard count == name.count else { return false }
    return bytes.withUnsafeBufferPointer { bytes in
      for offset in 0..<count where bytes[Int(node.start) + offset] != name[offset] { return false }
      return true
    }
  }

  /// A whole number that fits; nil for any other. A fraction of nothing but zeros is none.
  func integer<Number: FixedWidthInteger>(_ node: JSONNode) -> Number? {
    var position = Int(node.start)
    let isNegative = bytes[position] == UInt8(ascii: "-")
    if isNegative { position += 1 }
    var number: Number = 0
    while position < Int(node.end) {
      let digit = bytes[position] &- UInt8(ascii: "0")
      guard digit < 10 else { return double(node).flatMap { Number(exactly: $0) } }
      let (tens, first) = number.multipliedReportingOverflow(by: 10)
      let (sum, second) =
        isNegative ? tens.subtractingReportingOverflow(Number(digit)) : tens.addingReportingOverflow(Number(digit))
      guard !first, !second else { return nil }
      number = sum
      position += 1
    }
    return number
  }

  /// Nil for what is beyond all doubles.
  func double(_ node: JSONNode) -> Double? {
    Double(String(decoding: bytes[Int(node.start)..<Int(node.end)], as: UTF8.self)).flatMap { $0.isFinite ? $0 : nil }
  }

  // MARK: - Places, for what is said of mistakes

  /// The names and indices that lead from the document to a value.
  func path(to index: Int) -> [any CodingKey] {
    var path: [any CodingKey] = []
    var place = 0
    while place != index {
      let isObject = nodes[place].kind == .object
      var child = place + 1
      var number = 0
      while true {
        let value = isObject ? child + 1 : child
        guard index >= Int(nodes[value].next) else {
          path.append(isObject ? JSONPlace(stringValue: text(nodes[child])) : JSONPlace(intValue: number))
          place = value
          break
        }
        child = Int(nodes[value].next)
        number += 1
      }
    }
    return path
  }
}

/// A member's name or an element's index.
struct JSONPlace: CodingKey {
  var stringValue: String
  var intValue: Int?
  init(stringValue: String) { self.stringValue = stringValue }
  init(intValue: Int) {
    stringValue = String(intValue)
    self.intValue = intValue
  }
}
