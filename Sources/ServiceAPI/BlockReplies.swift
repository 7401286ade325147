/// The body of a node's 201 to a PUT.
package struct PutReply: Sendable, Codable, Equatable {
  /// One per durable copy, to be given to the gateway verbatim.
  package var receipts: [String]
  package init(receipts: [String]) { self.receipts = receipts }
}

extension PutReply {
  private static let beginning = Array(#"{"receipts":["#.utf8)
  private static let end = Array("]}".utf8)

  /// The reply in the JSON that nodes write, without a general encoder: each small block costs three of these. Nil when a receipt has a
  /// character that would need escaping, which no genuine one has.
  package var plainJSON: [UInt8]? {
    var json = PutReply.beginning
    json.reserveCapacity(receipts.reduce(16) { $0 + $1.utf8.count + 3 })
    for (index, receipt) in receipts.enumerated() {
      guard receipt.utf8.allSatisfy(PutReply.isPlain) else { return nil }
      if index > 0 { json.append(UInt8(ascii: ",")) }
      json.append(UInt8(ascii: "\""))
      json.append(contentsOf: receipt.utf8)
      json.append(UInt8(ascii: "\""))
    }
    return json + PutReply.end
  }

  /// Reads exactly what `plainJSON` writes; nil for everything else, which may be the same in another spelling.
  package init?(plainJSON json: [UInt8]) {
    guard json.starts(with: PutReply.beginning), json.suffix(2).elementsEqual(PutReply.end) else { return nil }
    let list = json[PutReply.beginning.count..<(json.count - PutReply.end.count)]
    self.init(receipts: [])
    if list.isEmpty { return }
    for part in list.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      let receipt = part.dropFirst().dropLast()
      guard part.count >= 2, part.first == UInt8(ascii: "\""), part.last == UInt8(ascii: "\""), receipt.allSatisfy(PutReply.isPlain) else {
        return nil
      }
      receipts.append(String(decoding: receipt, as: UTF8.self))
    }
  }

  /// Printable ASCII without quotes, backslashes and commas.
  private static func isPlain(_ byte: UInt8) -> Bool {
    (0x20...0x7e).contains(byte) && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") && byte != UInt8(ascii: ",")
  }
}

/// The body of a node's 200 to `POST /v1/blocks/batch`: one outcome per item, in the order of asking.
package struct BatchPutReply: Sendable, Codable, Equatable {
  package struct Item: Sendable, Codable, Equatable {
    /// What the item would have been answered as a request of its own; 201 is success.
    package var status: Int
    package var receipts: [String]?
    /// With a status from 400 on.
    package var problem: Problem?
    package init(status: Int, receipts: [String]? = nil, problem: Problem? = nil) {
      self.status = status
      self.receipts = receipts
      self.problem = problem
    }
  }
  package var items: [Item]
  package init(items: [Item]) { self.items = items }
}
