package import BlockModel

/// Decides whether a coordinator that starts may take the metadata's journal over from whoever wrote it before.
///
/// What must hold: a journal that another coordinator writes now is left alone. Nodes say how long ago its writer last spoke to them, and a
/// writer speaks at least every `greeting`, also when it has nothing to write. The starting coordinator has its data folder for itself, so
/// its own former process is dead: whoever goes on speaking after the start is another one, with a copy of the database or a restored one.
/// A single word may be the dead one's, from a queue of a node that stood still. This is for courtesy alone; that two never both make
/// something safe is the promise's part (`JournalTerm`).
package struct JournalTakeover: Sendable {
  /// What a node said.
  package struct Report: Sendable {
    package var node: NodeID
    package var zone: ZoneID
    /// Since the writer that the node has promised last spoke to it; nil when it has not since the node started.
    package var quietFor: Duration?
    package init(node: NodeID, zone: ZoneID, quietFor: Duration?) {
      self.node = node
      self.zone = zone
      self.quietFor = quietFor
    }
  }

  package enum Decision: Sendable, Equatable {
    /// Too few nodes answer.
    case waitForNodes
    /// The writer spoke a moment ago: it may have ended since.
    case waitForQuiet
    /// Another coordinator writes the journal.
    case isInUse
    /// Go on. Some nodes that are silent may know more when it is not complete.
    case compare(isComplete: Bool)
  }

  /// How often a writer speaks to its nodes at the least.
  package static let greeting: Duration = .milliseconds(500)
  /// After so long without a word the writer is taken for gone.
  package static let quiet: Duration = .seconds(2)
  /// What a dead process has sent may arrive so long after its end.
  package static let flight: Duration = .seconds(1)
  /// How long to wait for so many nodes that none that is silent can know more, when enough to go on are there.
  package static let patience: Duration = .seconds(10)

  private let zones: Int
  private let quiet: Duration
  private let began: MonotonicTime
  /// When somebody was first heard of after the start.
  private var firstWord: MonotonicTime?

  /// - Parameters:
  ///   - zones: that a record has to be in.
  ///   - began: when this coordinator had its data folder for itself.
  package init(zones: Int, quiet: Duration = JournalTakeover.quiet, began: MonotonicTime) {
    self.zones = zones
    self.quiet = quiet
    self.began = began
  }

  /// - Parameters:
  ///   - known: nodes that may have something of the journal.
  ///   - reports: of those that answered.
  ///   - asked: when they were asked.
  package mutating func decide(known: [(node: NodeID, zone: ZoneID)], reports: [Report], asked: MonotonicTime) -> Decision {
    for quietFor in reports.compactMap(\.quietFor) where asked - began > JournalTakeover.flight + quietFor {
      let spoken = asked + (.zero - quietFor)
      let first = min(firstWord ?? spoken, spoken)
      firstWord = first
      // Two words with the most part of a greeting's interval between them come from two moments.
      if spoken - first >= JournalTakeover.greeting * 4 / 5 { return .isInUse }
    }
    guard Set(reports.map(\.zone)).count >= zones else { return .waitForNodes }
    let isComplete = JournalHistory.hasHeardEnough(of: known, heard: reports.map(\.node), zones: zones)
    guard isComplete || asked - began > JournalTakeover.patience else { return .waitForNodes }
    guard reports.allSatisfy({ $0.quietFor.map { $0 >= quiet } ?? true }) else { return .waitForQuiet }
    return .compare(isComplete: isComplete)
  }
}
