/// Under whom a record of the metadata's journal was written. A coordinator begins a term with each start; an attempt is a part of it that
/// ends when a record was sent and its own commit failed.
///
/// What must hold: no two writers share a term (the writer's number is random), and of two records with the same number the one of the
/// higher term counts.
package struct JournalTerm: Sendable, Hashable, Codable, Comparable {
  package var generation: UInt64
  package var attempt: UInt32
  package var writer: UInt64

  package init(generation: UInt64, attempt: UInt32 = 0, writer: UInt64) {
    self.generation = generation
    self.attempt = attempt
    self.writer = writer
  }

  package static func < (one: JournalTerm, other: JournalTerm) -> Bool {
    (one.generation, one.attempt, one.writer) < (other.generation, other.attempt, other.writer)
  }

  /// Whether a node that has promised this term takes something of `other`: an equal generation is one writer's only.
  package func admits(_ other: JournalTerm) -> Bool {
    other.generation > generation || other.generation == generation && other.writer == writer
  }
}
