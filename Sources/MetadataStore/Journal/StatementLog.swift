internal import Journal
internal import SQLSession

/// The statements of one group commit that changed something, with their values: what the journal keeps, and what a replay runs.
///
/// What must hold: a replay on the same database gives the same database. Statements take time, ids and all that is random as values, none
/// picks rows by chance, and one writes at a time; so the statement is enough, however many rows it touches. The number of rows that each
/// changed is kept too and has to be the same again: a difference ends the replay. `docs/decisions/0009` says why it is statements.
struct StatementLog: Equatable {
  enum Kind: UInt8 {
    /// Answers nothing; `changed` is known.
    case change
    /// Changes and answers rows (`RETURNING`).
    case answering
    /// A script without values.
    case script
  }

  struct Statement: Equatable {
    var kind: Kind
    var text: Int
    var changed: Int
    var values: [SQLValue]
  }

  private static let version: UInt8 = 1

  private(set) var texts: [String] = []
  private(set) var statements: [Statement] = []
  /// Bytes of the values, roughly; texts come once each and are few.
  private(set) var approximateBytes = 0
  private var numbers: [SQLText: Int] = [:]

  init() {}

  static func == (one: StatementLog, other: StatementLog) -> Bool { one.texts == other.texts && one.statements == other.statements }

  mutating func append(_ kind: Kind, _ sql: String, _ values: [SQLValue], changed: Int = 0) {
    let text: Int
    if let known = numbers[SQLText(sql)] {
      text = known
    } else {
      text = texts.count
      numbers[SQLText(sql)] = text
      texts.append(sql)
    }
    statements.append(Statement(kind: kind, text: text, changed: changed, values: values))
    approximateBytes += 4 + values.reduce(0) { $0 + StatementLog.size($1) }
  }

  private static func size(_ value: SQLValue) -> Int {
    switch value {
    case .null, .absent: 1
    case .integer, .real: 8
    case .text(let text): 2 + text.utf8.count
    case .blob(let bytes): 2 + bytes.count
    }
  }

  /// Forgets what came after the first `count` statements: a savepoint was undone.
  mutating func cut(to count: Int) { statements.removeSubrange(count...) }

  mutating func removeAll() { self = StatementLog() }

  // MARK: Bytes

  var encoded: [UInt8] {
    var bytes = JournalBytes(reserving: approximateBytes + 8192)
    bytes.number(StatementLog.version)
    bytes.variable(UInt64(texts.count))
    for text in texts { bytes.counted(Array(text.utf8)) }
    bytes.variable(UInt64(statements.count))
    for statement in statements {
      bytes.number(statement.kind.rawValue)
      bytes.variable(UInt64(statement.text))
      bytes.variable(UInt64(max(0, statement.changed)))
      bytes.variable(UInt64(statement.values.count))
      for value in statement.values { StatementLog.write(value, to: &bytes) }
    }
    return bytes.bytes
  }

  private static func write(_ value: SQLValue, to bytes: inout JournalBytes) {
    switch value {
    case .null, .absent: bytes.number(UInt8(0))
    case .integer(let number):
      bytes.number(UInt8(1))
      bytes.variable(UInt64(bitPattern: number << 1 ^ number >> 63))
    case .real(let number):
      bytes.number(UInt8(2))
      bytes.number(number.bitPattern)
    case .text(let text):
      bytes.number(UInt8(3))
      bytes.counted(Array(text.utf8))
    case .blob(let blob):
      bytes.number(UInt8(4))
      bytes.counted(blob)
    }
  }

  /// - Throws: `JournalError` (`.malformed`).
  init(_ encoded: [UInt8]) throws(JournalError) {
    var reader = JournalReader(encoded)
    guard try reader.number(UInt8.self) == StatementLog.version else {
      throw JournalError(.malformed, "The journal was written by a newer version of this program.")
    }
    for _ in 0..<(try reader.count()) { texts.append(try reader.text()) }
    for _ in 0..<(try reader.count()) {
      guard let kind = Kind(rawValue: try reader.number(UInt8.self)) else { throw StatementLog.damaged }
      let (text, changed, count) = (try reader.count(), try reader.count(), try reader.count())
      guard texts.indices.contains(text) else { throw StatementLog.damaged }
      var values: [SQLValue] = []
      for _ in 0..<count { values.append(try StatementLog.value(&reader)) }
      statements.append(Statement(kind: kind, text: text, changed: changed, values: values))
    }
    guard reader.remaining == 0 else { throw StatementLog.damaged }
  }

  private static var damaged: JournalError { JournalError(.malformed, "The statements of a record cannot be read.") }

  private static func value(_ reader: inout JournalReader) throws(JournalError) -> SQLValue {
    switch try reader.number(UInt8.self) {
    case 0: return .null
    case 1:
      let number = try reader.variable()
      return .integer(Int64(bitPattern: number >> 1) ^ -Int64(bitPattern: number & 1))
    case 2: return .real(Double(bitPattern: try reader.number(UInt64.self)))
    case 3: return .text(try reader.text())
    case 4: return .blob(try reader.counted())
    default: throw damaged
    }
  }
}
