/// The framed body that carries many small blocks in one request or answer.
///
/// Eight bytes `cairnbb1`, then items back to back until the body ends. Numbers are big-endian.
///
///     offset  bytes
///     0       2      status: 0 in a request, an HTTP status in an answer
///     2       1      encoding of the data: a `ContentEncoding`
///     3       1      zero
///     4       4      T, bytes of the text
///     8       4      D, bytes of the data
///     12      T      text, UTF-8: in a request the path and query of the item's signed URL; in an answer empty, or the problem's kind
///     12+T    D      data: the block, or in an answer without it a problem's sentence
///
/// Used by `POST /v1/blocks/batch` (request: `put` URLs with data), `POST /v1/blocks/batch/get` (request: `get` URLs without data;
/// answer: blocks), and between nodes by `POST /v1/blocks/batch/replicate` (request: `replicate` URLs with wire records).
/// Items are answered in the order of asking, each with a status of its own.
///
/// What must hold: a body is parsed whole or refused; lengths are checked before anything is made of them.
package enum BlockBatch {
  package static let contentType = "application/vnd.cairn.blocks"
  package static let magic = Array("cairnbb1".utf8)
  package static let itemHeaderBytes = 12
  /// Bytes of a whole body, at most; for `batch/get` also of the answer.
  package static let bodyBytes = 4 << 20
  /// Items of one body, at most.
  package static let items = 1024
  /// Bytes of one item's data, at most: larger blocks go in requests of their own, which stream.
  package static let itemDataBytes = 128 << 10

  /// One item of a parsed body; `data` says where in the body its bytes are.
  package struct Item: Sendable, Equatable {
    package var status: Int
    package var encoding: ContentEncoding
    package var text: String
    package var data: Range<Int>
    package init(status: Int, encoding: ContentEncoding, text: String, data: Range<Int>) {
      self.status = status
      self.encoding = encoding
      self.text = text
      self.data = data
    }
  }

  /// Why bytes are no batch.
  package struct Malformed: Error, Sendable, Equatable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
  }

  /// Begins a body; items are appended to it.
  package static func begin(reserving bytes: Int = 0) -> [UInt8] {
    var body: [UInt8] = []
    body.reserveCapacity(magic.count + bytes)
    body += magic
    return body
  }

  /// Bytes that an item takes in a body.
  package static func itemBytes(text: Int, data: Int) -> Int { itemHeaderBytes + text + data }

  /// Appends one item.
  package static func append(
    to body: inout [UInt8], status: Int = 0, encoding: ContentEncoding = .plain, text: String, data: UnsafeRawBufferPointer
  ) {
    precondition((0...999).contains(status), "a status has three digits")
    body.append(UInt8(status >> 8))
    body.append(UInt8(status & 255))
    body.append(encoding.rawValue)
    body.append(0)
    append(to: &body, text.utf8.count)
    append(to: &body, data.count)
    body.append(contentsOf: text.utf8)
    body.append(contentsOf: data)
  }

  package static func append(to body: inout [UInt8], status: Int = 0, encoding: ContentEncoding = .plain, text: String, data: [UInt8] = [])
  {
    data.withUnsafeBytes { append(to: &body, status: status, encoding: encoding, text: text, data: $0) }
  }

  private static func append(to body: inout [UInt8], _ count: Int) {
    precondition(count <= bodyBytes, "an item fits a body")
    for shift in [24, 16, 8, 0] { body.append(UInt8(truncatingIfNeeded: count >> shift)) }
  }

  /// All items of a body, or why it is none.
  package static func parse(_ body: UnsafeRawBufferPointer) throws(Malformed) -> [Item] {
    guard body.count <= bodyBytes else { throw Malformed("the batch has more than \(bodyBytes) bytes") }
    guard body.count >= magic.count, body[..<magic.count].elementsEqual(magic) else {
      throw Malformed("the body does not begin with \(String(decoding: magic, as: UTF8.self))")
    }
    var list: [Item] = []
    var position = magic.count
    while position < body.count {
      guard list.count < items else { throw Malformed("the batch has more than \(items) items") }
      let item = try item(in: body, at: position)
      list.append(item)
      position = item.data.upperBound
    }
    return list
  }

  package static func parse(_ body: [UInt8]) throws(Malformed) -> [Item] {
    let result = body.withUnsafeBytes { body in Result { () throws(Malformed) in try parse(body) } }
    return try result.get()
  }

  /// The first item's text, as soon as it is there: who sent the batch is known before all of it was read. Nil when there is no item.
  package static func firstText(of beginning: UnsafeRawBufferPointer) throws(Malformed) -> String? {
    guard beginning.count > magic.count else { return nil }
    guard beginning[..<magic.count].elementsEqual(magic), beginning.count >= magic.count + itemHeaderBytes else {
      throw Malformed("the body does not begin with \(String(decoding: magic, as: UTF8.self)) and an item")
    }
    let textBytes = number(in: beginning, at: magic.count + 4)
    let start = magic.count + itemHeaderBytes
    guard textBytes <= Limits.capabilityCharacters, textBytes <= beginning.count - start,
      let text = String(validating: beginning[start..<(start + textBytes)], as: UTF8.self)
    else { throw Malformed("the first item's text is too long or not UTF-8") }
    return text
  }

  /// The item that begins at `position`.
  private static func item(in body: UnsafeRawBufferPointer, at position: Int) throws(Malformed) -> Item {
    guard body.count - position >= itemHeaderBytes else { throw Malformed("the batch ends inside of an item's header") }
    let status = Int(body[position]) << 8 | Int(body[position + 1])
    guard status <= 999 else { throw Malformed("an item's status is not one") }
    guard let encoding = ContentEncoding(rawValue: body[position + 2]), body[position + 3] == 0 else {
      throw Malformed("an item's encoding is unknown")
    }
    let textBytes = number(in: body, at: position + 4)
    let dataBytes = number(in: body, at: position + 8)
    let left = body.count - position - itemHeaderBytes
    guard textBytes <= Limits.capabilityCharacters, textBytes <= left, dataBytes <= left - textBytes else {
      throw Malformed("an item is longer than the batch, or its text than \(Limits.capabilityCharacters) bytes")
    }
    let start = position + itemHeaderBytes
    guard let text = String(validating: body[start..<(start + textBytes)], as: UTF8.self) else {
      throw Malformed("an item's text is not UTF-8")
    }
    let data = (start + textBytes)..<(start + textBytes + dataBytes)
    return Item(status: status, encoding: encoding, text: text, data: data)
  }

  private static func number(in body: UnsafeRawBufferPointer, at position: Int) -> Int {
    (0..<4).reduce(0) { $0 << 8 | Int(body[position + $1]) }
  }
}
