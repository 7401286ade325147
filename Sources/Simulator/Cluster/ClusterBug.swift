/// Mistakes that a cluster could make, switched on in tests only. The simulator has to find every one of them.
package enum ClusterBug: String, CaseIterable, Sendable {
  /// A former replica gives its copies up before those that took its place were read back, or were even there.
  case retiresBeforeVerifying
  /// A commit is content with any one hashed copy.
  case commitsBelowQuorum
  /// A commit counts receipts of a disk that was lost since.
  case countsRetiredIncarnations
  /// A commit counts receipts of copies that their nodes gave up.
  case countsGivenUpCopies
  /// A node gives up what it acknowledged after it was listed.
  case ignoresMarks
  /// A replica vouches for others by its digest although it set bad copies aside.
  case comparesDespiteAsides
  /// A node takes writes and retirements of layouts that it handed partitions on under.
  case ignoresSeals
  /// A node answers that a partition is sealed before that is on its disk.
  case forgetsSeals
  /// Collection deletes a copy that a newer upload made new.
  case deletesWithoutEpochTest
  /// Repair believes what it saw although a delete that was sent before may still take it.
  case forgetsLateDeletes
  /// No answer to a question about blocks counts as “missing”.
  case takesSilenceForMissing
  /// A node that is silent for a moment is taken for out.
  case declaresOutAtOnce
  /// “You already have this block” does not keep it.
  case forgetsToPin
  /// Collection takes what open uploads announced.
  case ignoresLeases
  /// A node acknowledges a copy that was there before without a look at it.
  case trustsWhatIsThere
  /// A node acknowledges a copy that is not on its disk yet.
  case acknowledgesBeforeSync
  /// A replica counts as filled without being asked.
  case marksFilledUnseen
  /// A change of layout leaves nothing to be done.
  case forgetsTransitions
  /// A node tells nobody which bad copies it set aside.
  case hidesRot
  /// A lost disk is taken off the record and nothing more.
  case forgetsLostDisks
  /// Copies off the layout are not noted at commit.
  case forgetsRepairRows
  /// A repeated completion commits once more.
  case ignoresIdempotency
  /// Have or need is answered over everybody's blocks.
  case deduplicatesGlobally
  /// A node serves what its check refuses, and the client does not look either.
  case servesRot
  /// An expired upload keeps its share of the quota.
  case leaksReservations
  /// A page of the change feed leaves out its last entry and says it was there.
  case skipsChanges
}

extension ClusterBug {
  /// The mood of clusters in which the mistake matters most; nil where any will do.
  package var mood: ClusterScenario.Mood? {
    switch self {
    case .deletesWithoutEpochTest, .forgetsLateDeletes: .recycling
    case .ignoresMarks: .restless
    case .comparesDespiteAsides, .trustsWhatIsThere: .rotten
    default: nil
    }
  }
}
