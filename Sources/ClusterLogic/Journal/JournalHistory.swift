package import BlockModel

/// Finds the newest history of the metadata among what nodes have of its journal.
///
/// What must hold: with enough nodes heard (`hasHeardEnough`) the history that is found has every record that was acknowledged. Proof: a
/// coordinator begins a term with a database that has all acknowledged records, since it acknowledges nothing that its own disk lacks, and
/// a restored one has them by this very rule. So a record of a higher term follows, by its chain of hashes, on all that was acknowledged in
/// lower ones; within a term there is one chain. Hence whatever head has the highest term and number and a whole chain to a snapshot
/// includes all that is acknowledged. A head whose chain has a hole rests on a record that was never acknowledged, because of an
/// acknowledged one a copy was heard.
package struct JournalHistory: Sendable {
  /// A record somewhere.
  package struct Entry: Sendable, Equatable {
    package var term: JournalTerm
    package var sequence: UInt64
    package var hash: BlockID
    package var previous: BlockID
    /// Where the caller finds it again.
    package var place: Int
    package init(term: JournalTerm, sequence: UInt64, hash: BlockID, previous: BlockID, place: Int) {
      self.term = term
      self.sequence = sequence
      self.hash = hash
      self.previous = previous
      self.place = place
    }
  }

  /// A whole database somewhere, as it was after the record with this hash.
  package struct Base: Sendable, Equatable {
    package var term: JournalTerm
    package var sequence: UInt64
    package var hash: BlockID
    package var place: Int
    package init(term: JournalTerm, sequence: UInt64, hash: BlockID, place: Int) {
      self.term = term
      self.sequence = sequence
      self.hash = hash
      self.place = place
    }
  }

  package var base: Base
  /// In order, each following on the one before, the first on the base.
  package var records: [Entry]

  /// The newest history; nil when none has a base.
  package static func newest(_ entries: [Entry], _ bases: [Base]) -> JournalHistory? {
    let byHash = Dictionary(entries.map { ($0.hash, $0) }) { first, _ in first }
    let baseByHash = Dictionary(bases.map { ($0.hash, $0) }) { first, _ in first }
    struct Head {
      var term: JournalTerm
      var sequence: UInt64
      var hash: BlockID
    }
    let heads =
      (entries.map { Head(term: $0.term, sequence: $0.sequence, hash: $0.hash) }
      + bases.map { Head(term: $0.term, sequence: $0.sequence, hash: $0.hash) })
      .sorted { ($0.term, $0.sequence, $0.hash) > ($1.term, $1.sequence, $1.hash) }
    var hopeless: Set<BlockID> = []
    for head in heads where !hopeless.contains(head.hash) {
      var chain: [Entry] = []
      var hash = head.hash
      while baseByHash[hash] == nil, !hopeless.contains(hash), let entry = byHash[hash] {
        chain.append(entry)
        hash = entry.previous
      }
      if let base = baseByHash[hash] { return JournalHistory(base: base, records: chain.reversed()) }
      for entry in chain { hopeless.insert(entry.hash) }
    }
    return nil
  }

  /// The records that follow on the one with this hash, up to the newest that does, oldest first; empty when there is nothing newer. Nil
  /// when something newer does not follow on it: then another history went on without it. The newest head whose chain is whole decides, as
  /// for `newest`: one that goes back to a snapshot and not to this record is another history's, also when older records do follow.
  package static func continuation(
    of hash: BlockID, term: JournalTerm, sequence: UInt64, in entries: [Entry], _ bases: [Base] = []
  ) -> [Entry]? {
    let byHash = Dictionary(entries.map { ($0.hash, $0) }) { first, _ in first }
    let baseHashes = Set(bases.map(\.hash))
    let heads =
      entries.map { Base(term: $0.term, sequence: $0.sequence, hash: $0.hash, place: 0) } + bases
    let newer = heads.filter { ($0.term, $0.sequence) > (term, sequence) && $0.hash != hash }
      .sorted { ($0.term, $0.sequence, $0.hash) > ($1.term, $1.sequence, $1.hash) }
    for head in newer {
      var chain: [Entry] = []
      var next = head.hash
      var isWhole = baseHashes.contains(next)
      while next != hash, let entry = byHash[next] {
        chain.append(entry)
        next = entry.previous
        isWhole = isWhole || baseHashes.contains(next)
      }
      if next == hash { return chain.reversed() }
      if isWhole { return nil }
    }
    return newer.isEmpty ? [] : nil
  }

  /// Whether every stored record is at one of the nodes that were heard: those that were not lie in fewer zones than a record has.
  package static func hasHeardEnough(of nodes: [(node: NodeID, zone: ZoneID)], heard: [NodeID], zones: Int) -> Bool {
    var silent: [ZoneID] = []
    for (node, zone) in nodes where !heard.contains(node) && !silent.contains(zone) { silent.append(zone) }
    return silent.count < max(1, zones)
  }
}
