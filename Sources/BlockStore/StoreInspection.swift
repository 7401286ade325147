package import BlockModel

/// What an inspection says of a disk: counts, and what is not as it should be.
package struct StoreInspection: Codable, Sendable, Equatable {
  package enum Severity: String, Codable, Sendable {
    /// Nothing is lost by it.
    case note
    /// Something was lost or cannot be read.
    case damage
    /// The node does not start with it.
    case blocking
  }

  package enum Kind: String, Codable, Sendable {
    case identity, foreignFile = "foreign-file", leftover, checkpoint, missingSegment = "missing-segment", foreignSegment =
      "foreign-segment"
    case segmentHeader = "segment-header", unreadable, debris, cutRecord = "cut-record", tornRecord = "torn-record", badCopy = "bad-copy"
    case wrongContent = "wrong-content", unchecked
  }

  package struct Finding: Codable, Sendable, Equatable {
    package var severity: Severity
    package var kind: Kind
    /// The file in the disk's folder that it is about.
    package var path: String
    package var block: BlockID?
    /// A sentence or two: what it is, and what becomes of it.
    package var message: String
  }

  package var folder: String
  package var cluster: String?
  package var disk: String?
  package var segments = 0
  /// Records by what they are.
  package var records: [String: Int] = [:]
  package var blocks = 0
  package var quarantinedBlocks = 0
  package var setAsideBlocks = 0
  package var deadRecords = 0
  /// Bytes of the records that count.
  package var liveBytes: Int64 = 0
  /// Copies whose contents were read and fit.
  package var checkedBlocks = 0
  package var findings: [Finding] = []
  /// There were more findings than are listed.
  package var isCut = false

  /// Nothing was lost, and the node starts with it.
  package var isSound: Bool { findings.allSatisfy { $0.severity == .note } }

  static let findingLimit = 10_000

  mutating func note(_ severity: Severity, _ kind: Kind, _ path: String, block: BlockID? = nil, _ message: String) {
    guard findings.count < StoreInspection.findingLimit else {
      isCut = true
      return
    }
    findings.append(Finding(severity: severity, kind: kind, path: path, block: block, message: message))
  }
}

/// One record of a disk, for a listing.
package struct InspectedRecord: Codable, Sendable, Equatable {
  package var segment: UInt32
  package var offset: Int64
  package var bytes: Int
  /// `block`, `tombstone`, `epoch-raise`, `set-aside`, `segment`, `quarantine` or `restore`.
  package var kind: String
  package var sequence: UInt64
  package var gcEpoch: UInt64
  package var block: BlockID?
  /// Of a block's record: `live`, `quarantined`, `set-aside` or `dead`.
  package var state: String?
  package var plainBytes: Int?
  package var storedBytes: Int?
  package var keyEpoch: UInt32?
}
