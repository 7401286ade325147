internal import BlockModel
internal import Journal
internal import SQLiteDatabase
internal import ServiceAPI

/// The writer's end of the journal: makes a record of each group commit. Used on the writer's thread only.
///
/// What must hold: before the first layout there is no node that could keep anything, so there are no records. The group that commits the
/// first layout begins the journal: its record 1 says nothing, and nobody is answered before a snapshot with that layout is safe. So
/// whatever was acknowledged before, sign-ups for instance, is safe from the first layout on; until then it is on the coordinator's disk
/// alone.
final class JournalFeed {
  let sink: any JournalSink
  let recorder = StatementRecorder()
  private var newest: (sequence: UInt64, hash: BlockID)?
  private let schema: Int

  /// - Parameter position: of the database.
  init(sink: any JournalSink, position: JournalPosition?, schema: Int) {
    self.sink = sink
    self.schema = schema
    newest = position.map { ($0.sequence, $0.hash) }
  }

  /// The newest record that was committed; nil before the journal began.
  var sequence: UInt64? { newest?.sequence }

  /// Makes the record of what the recorder has, and notes it in the database, inside of the transaction. Nil when there is nothing to
  /// record.
  func prepare(_ connection: SQLiteConnection, hasLayout: Bool) throws -> JournalRecord? {
    let isBeginning = newest == nil
    guard isBeginning ? hasLayout : !recorder.log.statements.isEmpty else { return nil }
    let sequence = (newest?.sequence ?? 0) + 1
    let plain = isBeginning ? StatementLog().encoded : recorder.log.encoded
    guard plain.count <= JournalCipher.pieceLimit else { throw JournalFeed.tooLarge }
    let payload = try sink.seal(plain, sequence: sequence)
    guard payload.count <= JournalRecord.payloadLimit else { throw JournalFeed.tooLarge }
    let record = JournalRecord(
      term: sink.term, sequence: sequence, previous: newest?.hash ?? BlockID(words: (0, 0, 0, 0)), payload: payload)
    try JournalTables.advance(connection, to: record, stored: sink.stored, schema: schema, needsBase: !sink.hasBase)
    return record
  }

  func committed(_ record: JournalRecord) { newest = (record.sequence, record.hash) }

  private static var tooLarge: Problem {
    Problem(.tooLarge, "This changes too much at once for the metadata's journal: do it in parts.")
  }
}
