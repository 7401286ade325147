package import BlockModel
package import ServiceAPI

/// What a malware scanner needs of the metadata.
///
/// What must hold, whatever the engine:
/// - with scanning on, each committed version with content waits for it from the very transaction that commits it, until an outcome is
///   recorded; so nothing is passed over, whatever stops when;
/// - the content of a version that was found infected is in no download plan, whoever asks and by whichever way, until an operator
///   releases it; copies of it are as it is;
/// - an outcome for a version that is gone, or does not wait any more, changes nothing.
package protocol ScanMetadata: Sendable {
  /// Versions whose scan is due, the longest waiting first.
  func dueScans(limit: Int) async throws(MetadataError) -> [DueScan]
  /// Blocks of a version that waits, from the one of this number on; nil when it does not wait any more.
  func scanBlocks(_ scan: DueScan, first: Int, limit: Int) async throws(MetadataError) -> [ScanBlock]?
  func recordScan(_ scan: DueScan, _ outcome: ScanOutcome) async throws(MetadataError)
  func scanCounts() async throws(MetadataError) -> ScanCounts
  /// What was found infected or cannot be scanned, the newest first; released ones too.
  func quarantine(limit: Int, cursor: String?) async throws(MetadataError) -> Page<QuarantinedVersion>
  /// Lets a version be read, whatever was found, or has it scanned anew.
  /// - Throws: `.refused` with `.notFound` when nothing of this number is held.
  func changeQuarantine(of number: Int64, _ change: QuarantineChange) async throws(MetadataError) -> QuarantinedVersion
}

package struct DueScan: Sendable, Equatable {
  package var number: Int64
  /// The engine's own number of the tree.
  package var namespaceNumber: Int64
  /// Bytes.
  package var size: Int64
  /// That failed until now.
  package var attempts: Int
  package init(number: Int64, namespaceNumber: Int64, size: Int64, attempts: Int) {
    self.number = number
    self.namespaceNumber = namespaceNumber
    self.size = size
    self.attempts = attempts
  }
}

package struct ScanBlock: Sendable, Equatable {
  package var id: BlockID
  /// Plain bytes.
  package var size: Int
  /// Nodes off the layout that have a copy.
  package var strays: [NodeID]
  package init(id: BlockID, size: Int, strays: [NodeID]) {
    self.id = id
    self.size = size
    self.strays = strays
  }
}

package enum ScanOutcome: Sendable, Equatable {
  case clean
  case infected(signature: String)
  /// An attempt failed; the next one not before so long.
  case later(Duration)
  case unscannable(reason: String)
}

package struct ScanCounts: Sendable, Equatable {
  package var waiting: Int
  package var infected: Int
  package var unscannable: Int
  package init(waiting: Int, infected: Int, unscannable: Int) {
    self.waiting = waiting
    self.infected = infected
    self.unscannable = unscannable
  }
}

package enum QuarantineChange: Sendable, Equatable { case release, rescan }

/// Whether contents are scanned, and what is served meanwhile.
package enum ContentScanning: Sendable, Equatable {
  case off
  /// What was not scanned yet, or cannot be, is served.
  case servesUnscanned
  /// What was not scanned is not served; an operator may release what cannot be scanned.
  case refusesUnscanned
}
