/// The body of a node's 201 to a PUT.
package struct PutReply: Sendable, Codable, Equatable {
  /// One per durable copy, to be given to the gateway verbatim.
  package var receipts: [String]
  package init(receipts: [String]) { self.receipts = receipts }
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
