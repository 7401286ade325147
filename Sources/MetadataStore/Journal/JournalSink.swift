package import ClusterLogic
package import Journal

/// Who keeps the records of an SQLite database's group commits where the loss of its disk does not reach them.
///
/// What must hold: records come in the order of their numbers, on the writer's thread; none of these calls blocks.
package protocol JournalSink: AnyObject, Sendable {
  /// Under which the next record is written.
  var term: JournalTerm { get }
  /// Up to here everything is safe.
  var stored: UInt64 { get }
  /// Why nothing can be taken now; nil when it can.
  var refusal: MetadataError? { get }
  /// Whether a snapshot is safe that all records follow on which are still kept.
  var hasBase: Bool { get }
  /// The bytes of a record's payload for what the record says.
  func seal(_ plain: [UInt8], sequence: UInt64) throws(JournalError) -> [UInt8]
  /// A record is about to be committed: it goes on its way at the same time.
  /// - Parameter zones: that have to have it.
  func send(_ record: JournalRecord, zones: Int)
  /// Its commit failed: it is not part of the history, and its number is given again under a later term.
  func retract(_ record: JournalRecord)
  /// Calls `body` when the record, which was committed, and all before it are safe; with an error when that takes too long: then it may
  /// become so later.
  func whenStored(_ sequence: UInt64, _ body: @escaping @Sendable (MetadataError?) -> Void)
}
