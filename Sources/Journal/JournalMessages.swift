package import BlockModel
package import ClusterLogic

/// What the coordinator asks of a node's journal: `POST /v1/journal/{sha256 of the body}` with a `control` capability. `docs/protocol.md`
/// has the bytes.
package enum JournalRequest: Sendable, Equatable {
  /// What is here?
  case status
  /// Take nothing of an earlier term any more, durably.
  case promise(JournalTerm)
  /// Keep these records, durably; each follows on the one before it.
  case append(JournalTerm, [JournalRecord])
  /// A part of a snapshot: bytes that follow on the `offset` bytes that came before. The last part makes it whole, durably.
  case snapshot(JournalTerm, JournalPosition, offset: Int64, bytes: [UInt8], isLast: Bool)
  /// Drop records up to this one, and snapshots before it: enough nodes have a snapshot of it.
  case cut(JournalTerm, through: UInt64)
  /// Bytes of a file of the journal.
  case read(file: String, offset: Int64, limit: Int)
  /// What the node knows of the cluster, as JSON of a `ClusterView`.
  case view

  package static let bodyLimit = 64 << 20
  /// Bytes of a snapshot, or of a file, in one message.
  package static let partBytes = 4 << 20
  private static let magic: UInt32 = 0x314d_5243  // "CRM1"

  package var encoded: [UInt8] {
    var bytes = JournalBytes(reserving: 256)
    bytes.number(JournalRequest.magic)
    switch self {
    case .status: bytes.number(UInt8(1))
    case .promise(let term):
      bytes.number(UInt8(2))
      bytes.term(term)
    case .append(let term, let records):
      bytes.number(UInt8(3))
      bytes.term(term)
      bytes.variable(UInt64(records.count))
      for record in records { bytes.raw(record.encoded) }
    case .snapshot(let term, let position, let offset, let part, let isLast):
      bytes.number(UInt8(4))
      bytes.term(term)
      bytes.term(position.term)
      bytes.number(position.sequence)
      bytes.hash(position.hash)
      bytes.number(offset)
      bytes.number(UInt8(isLast ? 1 : 0))
      bytes.counted(part)
    case .cut(let term, let through):
      bytes.number(UInt8(5))
      bytes.term(term)
      bytes.number(through)
    case .read(let file, let offset, let limit):
      bytes.number(UInt8(6))
      bytes.counted(Array(file.utf8))
      bytes.number(offset)
      bytes.number(UInt32(limit))
    case .view: bytes.number(UInt8(7))
    }
    return bytes.bytes
  }

  /// Reads a message and checks the hashes of its records.
  /// - Throws: `.malformed`.
  package init(_ body: [UInt8]) throws(JournalError) {
    var reader = JournalReader(body)
    guard try reader.number(UInt32.self) == JournalRequest.magic else { throw JournalError(.malformed, "This is no message to a journal.") }
    switch try reader.number(UInt8.self) {
    case 1: self = .status
    case 2: self = .promise(try reader.term())
    case 3:
      let term = try reader.term()
      let count = try reader.count()
      guard count <= reader.remaining / JournalRecord.headerBytes else { throw JournalError(.malformed, "The message ends early.") }
      var records: [JournalRecord] = []
      for _ in 0..<count { records.append(try JournalRecord(&reader)) }
      self = .append(term, records)
    case 4:
      let term = try reader.term()
      let position = JournalPosition(
        term: try reader.term(), sequence: try reader.number(UInt64.self), hash: try reader.hash())
      let offset = try reader.number(Int64.self)
      let isLast = try reader.number(UInt8.self) == 1
      self = .snapshot(term, position, offset: offset, bytes: try reader.counted(), isLast: isLast)
    case 5: self = .cut(try reader.term(), through: try reader.number(UInt64.self))
    case 6:
      self = .read(file: try reader.text(), offset: try reader.number(Int64.self), limit: Int(try reader.number(UInt32.self)))
    case 7: self = .view
    default: throw JournalError(.malformed, "This journal does not know what it is asked.")
    }
    guard reader.remaining == 0 else { throw JournalError(.malformed, "The message is longer than what it says.") }
  }
}

/// A record by its place in the history.
package struct JournalPosition: Sendable, Codable, Equatable, Comparable {
  package var term: JournalTerm
  package var sequence: UInt64
  package var hash: BlockID
  package init(term: JournalTerm, sequence: UInt64, hash: BlockID) {
    self.term = term
    self.sequence = sequence
    self.hash = hash
  }

  package static func < (one: JournalPosition, other: JournalPosition) -> Bool {
    (one.term, one.sequence, one.hash) < (other.term, other.sequence, other.hash)
  }
}

/// What a node's journal answers, except to `read` and `view`.
package struct JournalStatus: Sendable, Codable, Equatable {
  package struct File: Sendable, Codable, Equatable {
    package var name: String
    package var bytes: Int64
    package init(name: String, bytes: Int64) {
      self.name = name
      self.bytes = bytes
    }
    package var isSnapshot: Bool { name.hasPrefix(JournalStore.snapshotPrefix) }
  }

  /// Nothing of an earlier term is taken.
  package var promised: JournalTerm?
  /// The newest record that is here.
  package var newest: JournalPosition?
  /// Whole snapshots and files of records; with `status` only.
  package var files: [File]?
  /// Since the writer of the promised term last spoke; nil when it has not since the node started.
  package var quietMilliseconds: Int64?
  package init(promised: JournalTerm?, newest: JournalPosition?, files: [File]? = nil, quietMilliseconds: Int64? = nil) {
    self.quietMilliseconds = quietMilliseconds
    self.promised = promised
    self.newest = newest
    self.files = files
  }
}
