internal import BlockModel

/// How a copy of the database lies on the nodes: a head, then pieces, each sealed under its number and whether it is the last, so that none
/// can be left out, moved or added.
///
/// Head: magic (4 bytes), term (20), number (8) and hash (32) of the record that the copy is after, bytes of the database (8). Each piece:
/// its length (4 bytes), and what `JournalCipher` made of it.
package enum SnapshotFormat {
  package static let pieceBytes = 3 << 20
  private static let magic: UInt32 = 0x3153_5243  // "CRS1"
  package static let headBytes = 72

  package static func head(_ position: JournalPosition, databaseBytes: Int64) -> [UInt8] {
    var bytes = JournalBytes()
    bytes.number(magic)
    bytes.term(position.term)
    bytes.number(position.sequence)
    bytes.hash(position.hash)
    bytes.number(databaseBytes)
    return bytes.bytes
  }

  /// - Throws: `.malformed`.
  package static func readHead(_ bytes: [UInt8]) throws(JournalError) -> (position: JournalPosition, databaseBytes: Int64) {
    var reader = JournalReader(bytes)
    guard try reader.number(UInt32.self) == magic else { throw JournalError(.malformed, "This is no snapshot of the metadata.") }
    let term = try reader.term()
    let position = JournalPosition(term: term, sequence: try reader.number(UInt64.self), hash: try reader.hash())
    return (position, try reader.number(Int64.self))
  }

  package static func piece(
    _ plain: [UInt8], number: Int, isLast: Bool, of position: JournalPosition, _ cipher: JournalCipher
  ) throws(JournalError) -> [UInt8] {
    let sealed = try cipher.seal(plain, as: name(number, isLast, position))
    var bytes = JournalBytes(reserving: sealed.count + 4)
    bytes.number(UInt32(sealed.count))
    bytes.raw(sealed)
    return bytes.bytes
  }

  /// What the payload of a record is sealed as.
  package static func recordName(_ sequence: UInt64) -> [UInt8] {
    var bytes = JournalBytes()
    bytes.raw(Array("record".utf8))
    bytes.number(sequence)
    return bytes.bytes
  }

  private static func name(_ number: Int, _ isLast: Bool, _ position: JournalPosition) -> [UInt8] {
    var bytes = JournalBytes()
    bytes.raw(Array("snapshot".utf8))
    bytes.hash(position.hash)
    bytes.number(UInt32(number))
    bytes.number(UInt8(isLast ? 1 : 0))
    return bytes.bytes
  }

  /// Takes a snapshot's bytes as they come and gives the database's back.
  package struct Reader {
    private let cipher: JournalCipher
    private var buffer: [UInt8] = []
    private var number = 0
    private var given: Int64 = 0
    package private(set) var position: JournalPosition?
    private var databaseBytes: Int64 = 0
    package private(set) var isWhole = false

    package init(_ cipher: JournalCipher) { self.cipher = cipher }

    /// - Throws: `.malformed`, `.unreadable`.
    package mutating func take(_ bytes: [UInt8], _ write: ([UInt8]) throws -> Void) throws {
      buffer += bytes
      if position == nil, buffer.count >= headBytes {
        (position, databaseBytes) = try SnapshotFormat.readHead(buffer)
        buffer.removeFirst(headBytes)
      }
      guard let position else { return }
      var start = 0
      while buffer.count - start >= 4 {
        let count = Int(buffer.withUnsafeBytes { UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: start, as: UInt32.self)) })
        guard count <= JournalRequest.bodyLimit, !isWhole else { throw JournalError(.malformed, "A snapshot is longer than it says.") }
        guard buffer.count - start - 4 >= count else { break }
        let sealed = Array(buffer[(start + 4)..<(start + 4 + count)])
        start += 4 + count
        // Which piece is the last one shows when all of the database is here.
        let plain: [UInt8]
        if let opened = try? cipher.open(sealed, as: SnapshotFormat.name(number, false, position)) {
          plain = opened
        } else {
          plain = try cipher.open(sealed, as: SnapshotFormat.name(number, true, position))
          isWhole = true
        }
        number += 1
        given += Int64(plain.count)
        try write(plain)
      }
      buffer.removeFirst(start)
      if isWhole, given != databaseBytes { throw JournalError(.malformed, "A snapshot has not the bytes that it says.") }
    }
  }
}
