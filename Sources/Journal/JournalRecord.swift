package import BlockModel
package import ClusterLogic
internal import Platform

/// One group commit of the metadata on its way to the nodes and on their disks. `docs/formats.md` has the bytes.
///
/// What must hold: `hash` is the SHA-256 of all else, so it names the record, tells damage, and, because `previous` is the hash of the
/// record before, names the whole history up to here.
package struct JournalRecord: Sendable, Equatable {
  package static let magic: UInt32 = 0x314a_5243  // "CRJ1"
  package static let headerBytes = 104
  /// What one record may have at most, so that it fits into a request.
  package static let payloadLimit = 60 << 20

  package let term: JournalTerm
  package let sequence: UInt64
  package let previous: BlockID
  package let payload: [UInt8]
  package let hash: BlockID

  package init(term: JournalTerm, sequence: UInt64, previous: BlockID, payload: [UInt8]) {
    self.term = term
    self.sequence = sequence
    self.previous = previous
    self.payload = payload
    hash = JournalRecord.hash(term, sequence, previous, payload)
  }

  private static func hash(_ term: JournalTerm, _ sequence: UInt64, _ previous: BlockID, _ payload: [UInt8]) -> BlockID {
    var hasher = SHA256Hasher()
    var head = JournalBytes(reserving: headerBytes)
    write(term, sequence, previous, payload.count, to: &head)
    hasher.update(head.bytes)
    hasher.update(payload)
    return BlockID(words: hasher.finalize())
  }

  private static func write(
    _ term: JournalTerm, _ sequence: UInt64, _ previous: BlockID, _ count: Int, to bytes: inout JournalBytes
  ) {
    bytes.number(magic)
    bytes.number(UInt32(count))
    bytes.number(sequence)
    bytes.term(term)
    bytes.hash(previous)
    // Room for what later versions need; zero.
    bytes.number(UInt32(0))
  }

  package var encodedBytes: Int { JournalRecord.headerBytes + payload.count }

  package var encoded: [UInt8] {
    var bytes = JournalBytes(reserving: encodedBytes)
    JournalRecord.write(term, sequence, previous, payload.count, to: &bytes)
    bytes.hash(hash)
    bytes.raw(payload)
    return bytes.bytes
  }

  /// The head of a record, before its payload was read.
  package struct Header: Sendable, Equatable {
    package var term: JournalTerm
    package var sequence: UInt64
    package var previous: BlockID
    package var hash: BlockID
    package var payloadBytes: Int
  }

  /// - Throws: `.malformed`.
  package static func header(_ reader: inout JournalReader) throws(JournalError) -> Header {
    guard try reader.number(UInt32.self) == magic else { throw JournalError(.malformed, "This is no record of the journal.") }
    let count = Int(try reader.number(UInt32.self))
    guard count <= payloadLimit else { throw JournalError(.malformed, "A record of the journal is longer than any can be.") }
    let sequence = try reader.number(UInt64.self)
    let term = try reader.term()
    let previous = try reader.hash()
    _ = try reader.number(UInt32.self)
    return Header(term: term, sequence: sequence, previous: previous, hash: try reader.hash(), payloadBytes: count)
  }

  /// Reads one record and checks its hash.
  /// - Throws: `.malformed`.
  package init(_ reader: inout JournalReader) throws(JournalError) {
    let header = try JournalRecord.header(&reader)
    self.init(
      term: header.term, sequence: header.sequence, previous: header.previous, payload: try reader.raw(header.payloadBytes))
    guard hash == header.hash else { throw JournalError(.malformed, "A record of the journal is damaged.") }
  }
}

extension JournalStore {
  /// The records that the bytes of one of its files begin with, up to where they are no record that follows on the one before.
  package static func records(in bytes: [UInt8]) -> [JournalRecord] {
    var reader = JournalReader(bytes)
    var records: [JournalRecord] = []
    while reader.remaining > 0, let record = try? JournalRecord(&reader) {
      guard records.last.map({ $0.hash == record.previous }) ?? true else { break }
      records.append(record)
    }
    return records
  }
}
