package import BlockModel

/// What the copies of one referenced block say about the invariants. A node that is down is no failure by itself.
package struct CopyJudgement: Sendable, Equatable {
  /// What a node said of its copy.
  package enum Answer: Sendable, Equatable {
    case valid, missing
    /// Rotten, or not to be read.
    case damaged
    /// No answer: neither there nor missing.
    case silent
  }

  package struct Copy: Sendable, Equatable {
    package var node: NodeID
    package var answer: Answer
    /// On the layout, as opposed to strays and former holders.
    package var isReplica: Bool
    /// The cluster knows that this replica is still being filled.
    package var isFilling: Bool
    package init(node: NodeID, answer: Answer, isReplica: Bool, isFilling: Bool) {
      self.node = node
      self.answer = answer
      self.isReplica = isReplica
      self.isFilling = isFilling
    }
  }

  package struct Violation: Sendable, Equatable {
    package var invariant: Invariant
    package var sentence: String
  }

  /// To be repaired: a live replica has no whole copy.
  package private(set) var needsRepair = false
  package private(set) var violations: [Violation] = []

  /// - Parameters:
  ///   - writeQuorum: copies that the commit needed, lowered to what the layout can have.
  ///   - isKnown: the block has a repair row: the cluster knows that it lacks copies.
  package init(block: BlockID, copies: [Copy], writeQuorum: Int, isKnown: Bool) {
    let valid = copies.count { $0.answer == .valid }
    let silent = copies.count { $0.answer == .silent }
    if valid == 0 {
      let rest = silent > 0 ? "; \(silent) that may have one do not answer" : ""
      violations.append(Violation(invariant: .readsBack, sentence: "Block \(block.hex) has no valid copy on a live node\(rest)."))
    }
    if valid + silent < writeQuorum && !isKnown {
      violations.append(
        Violation(
          invariant: .committedAtQuorum,
          sentence: "Block \(block.hex) has \(valid) valid copies where a commit needs \(writeQuorum), and no repair is noted."))
    }
    for copy in copies where copy.answer == .damaged {
      needsRepair = true
      violations.append(
        Violation(
          invariant: .fullyReplicated, sentence: "The copy of block \(block.hex) on \(copy.node) is damaged; it is being replaced."))
    }
    for copy in copies where copy.answer == .missing && copy.isReplica {
      needsRepair = true
      guard !copy.isFilling && !isKnown else { continue }
      violations.append(
        Violation(
          invariant: .fullyReplicated, sentence: "Block \(block.hex) is missing on its replica \(copy.node), and no repair was noted."))
    }
  }
}
