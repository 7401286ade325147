/// What a capability lets its bearer do. Each is its own value in the signature, so none can be replayed as another.
package enum CapabilityOperation: String, Sendable, Codable, CaseIterable {
  /// A client stores a block: the node hashes it and forwards the record.
  case put
  /// A node stores a sealed record that another node forwards.
  case replicate
  /// A client reads a block's bytes (GET and HEAD).
  case get
  /// A node reads a block's sealed record from another node.
  case record
  /// The coordinator asks a node something; `block` is the SHA-256 of the request's body, so the body is bound too.
  case control

  /// Who may sign it. The two have roots of their own, so a gateway's keys give no command.
  package enum Authority: Sendable {
    /// Clients' transfers: gateways, and the coordinator.
    case transfer
    /// What one service asks of another: the coordinator alone.
    case command
  }

  package var authority: Authority {
    switch self {
    case .put, .replicate, .get: .transfer
    case .record, .control: .command
    }
  }
}

/// A signed permission for one operation on one block at one node until one moment; the query of a signed URL.
///
/// `docs/protocol.md` defines the text that is signed and gives test vectors. This type is the value; `Credentials` signs and verifies.
package struct Capability: Sendable, Equatable {
  /// One further copy that the first node may make: the replica and the signature of the replica's own `replicate` capability.
  package struct Forward: Sendable, Equatable {
    package var node: NodeID
    /// HMAC-SHA256, 64 hexadecimal digits.
    package var signature: String
    package init(node: NodeID, signature: String) {
      self.node = node
      self.signature = signature
    }
  }

  package static let version = 1

  package var operation: CapabilityOperation
  package var block: BlockID
  package var node: NodeID
  /// Plain bytes of the block; for `control` the body's bytes.
  package var size: Int
  package var layoutVersion: UInt64
  package var gcEpoch: UInt64
  /// The upload that a receipt will be bound to; all zeros where there is none.
  package var upload: UploadID
  /// Durable copies, in as many zones, that make a PUT successful.
  package var writeQuorum: Int
  /// Replicas in the order of the layout, then spares. Empty except for `put`.
  package var forwards: [Forward]
  /// Seconds since 1970; the request must start before.
  package var expires: Int64
  package var keyEpoch: UInt32

  package init(
    operation: CapabilityOperation, block: BlockID, node: NodeID, size: Int, layoutVersion: UInt64, gcEpoch: UInt64, upload: UploadID,
    writeQuorum: Int, forwards: [Forward], expires: Int64, keyEpoch: UInt32
  ) {
    self.operation = operation
    self.block = block
    self.node = node
    self.size = size
    self.layoutVersion = layoutVersion
    self.gcEpoch = gcEpoch
    self.upload = upload
    self.writeQuorum = writeQuorum
    self.forwards = forwards
    self.expires = expires
    self.keyEpoch = keyEpoch
  }

  /// The capability that forward `node` holds for the same block: what `put`'s forward list carries the signature of.
  package func replica(at node: NodeID) -> Capability {
    var copy = self
    copy.operation = .replicate
    copy.node = node
    copy.forwards = []
    return copy
  }

  /// The bytes that are signed: a header line, then one line a field in the order of the URL.
  package var signedBytes: [UInt8] {
    var text = writer
    text.append(contentsOf: "cairn-capability\n".utf8)
    appendFields(to: &text, separator: UInt8(ascii: "\n"), withBlock: true)
    text.append(UInt8(ascii: "\n"))
    return text
  }

  /// The path and query of the signed URL; every value is free of characters that would need escaping.
  package func pathAndQuery(signature: String) -> String {
    var text = writer
    text.append(contentsOf: (operation == .control ? "/v1/control/" : "/v1/blocks/").utf8)
    block.appendHex(to: &text)
    text.append(UInt8(ascii: "?"))
    appendFields(to: &text, separator: UInt8(ascii: "&"), withBlock: false)
    text.append(contentsOf: "&sig=".utf8)
    text.append(contentsOf: signature.utf8)
    return String(decoding: text, as: UTF8.self)
  }

  /// Bytes and not interpolation: a gateway writes eight of these texts for each block of an upload.
  private var writer: [UInt8] {
    var text: [UInt8] = []
    text.reserveCapacity(400 + forwards.count * 130)
    return text
  }

  private func appendFields(to text: inout [UInt8], separator: UInt8, withBlock: Bool) {
    func name(_ name: StaticString) { name.withUTF8Buffer { text.append(contentsOf: $0) } }
    func next(_ field: StaticString) {
      text.append(separator)
      name(field)
    }
    func number(_ value: UInt64) { text.append(contentsOf: String(value).utf8) }
    name("v=")
    number(UInt64(Capability.version))
    next("op=")
    text.append(contentsOf: operation.rawValue.utf8)
    if withBlock {
      next("id=")
      block.appendHex(to: &text)
    }
    next("node=")
    text.append(contentsOf: node.text.utf8)
    next("size=")
    number(UInt64(size))
    next("lv=")
    number(layoutVersion)
    next("ge=")
    number(gcEpoch)
    next("up=")
    upload.appendHex(to: &text)
    next("w=")
    number(UInt64(writeQuorum))
    next("fwd=")
    appendForwards(to: &text)
    next("exp=")
    number(UInt64(expires))
    next("kid=")
    number(UInt64(keyEpoch))
  }

  private func appendForwards(to text: inout [UInt8]) {
    for (index, forward) in forwards.enumerated() {
      if index > 0 { text.append(UInt8(ascii: ",")) }
      text.append(contentsOf: forward.node.text.utf8)
      text.append(UInt8(ascii: ":"))
      text.append(contentsOf: forward.signature.utf8)
    }
  }
}
