/// One parameter of a request's query: where in a text its decoded name and value stand.
package struct QueryParameter: Sendable, Equatable {
  package var name: Range<Int>
  package var value: Range<Int>
  package init(name: Range<Int>, value: Range<Int>) {
    self.name = name
    self.value = value
  }
}

/// Reads the query of a signed URL.
///
/// What must hold: each parameter stands there exactly once, no other does, and each value has one spelling, so that what is signed can be
/// written again from the values alone. Works on the bytes where they are, because a node does this for every request.
extension Capability {
  /// Why a query is no capability.
  package struct Malformed: Error, Sendable, Equatable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
  }

  /// In the order of the URL; `Field` counts them.
  private static let names = ["v", "op", "node", "size", "lv", "ge", "up", "w", "fwd", "exp", "kid", "sig"].map { Array($0.utf8) }

  private enum Field: Int {
    case version, operation, node, size, layoutVersion, gcEpoch, upload, writeQuorum, forwards, expires, keyEpoch, signature
  }

  /// Reads a decoded query.
  ///
  /// - Parameter block: the last component of the path.
  /// - Returns: the capability and the 32 bytes of its signature, which is still to be verified.
  package static func parse(
    block: String, query: [(name: String, value: String)]
  ) throws(Malformed) -> (capability: Capability, signature: [UInt8]) {
    var text = Array(block.utf8)
    let block = 0..<text.count
    func append(_ part: String) -> Range<Int> {
      let start = text.count
      text.append(contentsOf: part.utf8)
      return start..<text.count
    }
    let parameters = query.map { QueryParameter(name: append($0.name), value: append($0.value)) }
    return try parse(block: block, parameters: parameters, of: text)
  }

  /// As `parse(block:query:)`, for a block's name and parameters that stand in `text`.
  package static func parse(
    block: Range<Int>, parameters: [QueryParameter], of text: [UInt8]
  ) throws(Malformed) -> (capability: Capability, signature: [UInt8]) {
    let result = text.withUnsafeBytes { text in
      Result { () throws(Malformed) in try parse(block: text.part(block), parameters: parameters, of: text) }
    }
    return try result.get()
  }

  private static func parse(
    block: UnsafeRawBufferPointer, parameters: [QueryParameter], of text: UnsafeRawBufferPointer
  ) throws(Malformed) -> (capability: Capability, signature: [UInt8]) {
    guard let block = BlockID(hexDigits: block) else { throw Malformed("the block's name is not 64 lower-case hexadecimal digits") }
    let places = try places(of: parameters, in: text)
    func value(_ field: Field) -> UnsafeRawBufferPointer { text.part(places[field.rawValue]) }
    guard value(.version).elementsEqual("1".utf8) else { throw Malformed("format version v is not 1") }
    guard let operation = operation(value(.operation)) else { throw Malformed("unknown operation op") }
    guard let node = NodeID(String(decoding: value(.node), as: UTF8.self)) else { throw Malformed("node is not a node's name") }
    guard let upload = UploadID(hexDigits: value(.upload)) else { throw Malformed("up is not 32 hexadecimal digits") }
    guard let signature = signature(value(.signature)) else { throw Malformed("sig is not 64 lower-case hexadecimal digits") }
    let sizeLimit = UInt64(operation == .control ? 64 << 20 : Limits.blockBytes)
    let capability = Capability(
      operation: operation, block: block, node: node, size: Int(try number(value(.size), "size", atMost: sizeLimit)),
      layoutVersion: try number(value(.layoutVersion), "lv", atMost: .max), gcEpoch: try number(value(.gcEpoch), "ge", atMost: .max),
      upload: upload, writeQuorum: Int(try number(value(.writeQuorum), "w", atMost: 16)), forwards: try forwards(value(.forwards)),
      expires: Int64(try number(value(.expires), "exp", atMost: 1 << 53)),
      keyEpoch: UInt32(try number(value(.keyEpoch), "kid", atMost: UInt64(UInt32.max))))
    guard capability.forwards.isEmpty || operation == .put else { throw Malformed("only a put forwards") }
    return (capability, signature)
  }

  /// The value of each field, in the order of `names`.
  private static func places(
    of parameters: [QueryParameter], in text: UnsafeRawBufferPointer
  ) throws(Malformed) -> InlineArray<12, Range<Int>> {
    var places = InlineArray<12, Range<Int>>(repeating: 0..<0)
    var found: UInt16 = 0
    for (position, parameter) in parameters.enumerated() {
      guard let index = index(of: text.part(parameter.name), guess: position) else { throw Malformed("unknown parameter") }
      guard found & 1 << index == 0 else { throw Malformed("parameter \(name(index)) is repeated") }
      found |= 1 << index
      places[index] = parameter.value
    }
    for index in names.indices where found & 1 << index == 0 { throw Malformed("parameter \(name(index)) is missing") }
    return places
  }

  /// URLs come in the order in which they were written, so the name at a position is looked for there first.
  private static func index(of name: UnsafeRawBufferPointer, guess: Int) -> Int? {
    if guess < names.count, name.elementsEqual(names[guess]) { return guess }
    return names.firstIndex { name.elementsEqual($0) }
  }

  private static func name(_ index: Int) -> String { String(decoding: names[index], as: UTF8.self) }

  private static func operation(_ text: UnsafeRawBufferPointer) -> CapabilityOperation? {
    CapabilityOperation(rawValue: String(decoding: text, as: UTF8.self))
  }

  /// A decimal number in its one spelling: no sign, no leading zero.
  private static func number(_ text: UnsafeRawBufferPointer, _ name: StaticString, atMost limit: UInt64) throws(Malformed) -> UInt64 {
    guard let value = text.decimal, value <= limit else { throw Malformed("\(name) is not a number in its range") }
    return value
  }

  private static func forwards(_ text: UnsafeRawBufferPointer) throws(Malformed) -> [Forward] {
    if text.isEmpty { return [] }
    var list: [Forward] = []
    var rest = text
    var isLast = false
    while !isLast {
      guard list.count < Limits.forwards else { throw Malformed("fwd names too many nodes") }
      let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
      isLast = end == rest.count
      guard let forward = forward(rest.part(0..<end)) else { throw Malformed("fwd is not a list of node:signature") }
      guard !list.contains(where: { $0.node == forward.node }) else { throw Malformed("fwd names a node twice") }
      list.append(forward)
      rest = rest.part(min(end + 1, rest.count)..<rest.count)
    }
    return list
  }

  private static func forward(_ text: UnsafeRawBufferPointer) -> Forward? {
    guard let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return nil }
    let mac = text.part((colon + 1)..<text.count)
    guard let node = NodeID(String(decoding: text.part(0..<colon), as: UTF8.self)), signature(mac) != nil else { return nil }
    return Forward(node: node, signature: String(decoding: mac, as: UTF8.self))
  }

  private static func signature(_ text: UnsafeRawBufferPointer) -> [UInt8]? { text.count == 64 ? HexDigits.decode(text) : nil }
}

extension UnsafeRawBufferPointer {
  /// The bytes in `range`, counted from the start.
  func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self[range]) }

  /// The number that these digits are the one spelling of; nil for signs, leading zeros, other characters, and more than 64 bits.
  var decimal: UInt64? {
    guard let first, first != UInt8(ascii: "0") || count == 1 else { return nil }
    var value: UInt64 = 0
    for byte in self {
      let digit = byte &- UInt8(ascii: "0")
      let (shifted, tooLarge) = value.multipliedReportingOverflow(by: 10)
      let (next, stillTooLarge) = shifted.addingReportingOverflow(UInt64(digit))
      guard digit < 10, !tooLarge, !stillTooLarge else { return nil }
      value = next
    }
    return value
  }
}
