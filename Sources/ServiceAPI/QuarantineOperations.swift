package import BlockModel

/// A version whose content is held back, or was until an operator released it.
package struct QuarantinedVersion: Sendable, Codable, Equatable {
  package enum State: String, Sendable, Codable { case infected, unscannable, released }
  /// Names it for `cairnctl quarantine`.
  package var number: Int64
  package var state: State
  /// The signature that was found, or why the version cannot be scanned.
  package var finding: String
  /// The owner's user name.
  package var owner: String
  package var entry: EntryID
  /// Where the owner has it; absent when it is in the trash.
  package var path: String?
  package var version: Int64
  package var size: Int64
  /// Who committed it, by user name.
  package var author: String
  package var foundAt: WallTime?
  package var releasedAt: WallTime?
  package init(
    number: Int64, state: State, finding: String, owner: String, entry: EntryID, path: String?, version: Int64, size: Int64, author: String,
    foundAt: WallTime?, releasedAt: WallTime?
  ) {
    self.number = number
    self.state = state
    self.finding = finding
    self.owner = owner
    self.entry = entry
    self.path = path
    self.version = version
    self.size = size
    self.author = author
    self.foundAt = foundAt
    self.releasedAt = releasedAt
  }
  private enum CodingKeys: String, CodingKey {
    case number, state, finding, owner, entry, path, version, size, author
    case foundAt = "found_at"
    case releasedAt = "released_at"
  }
}

/// How scanning for malware stands.
package struct QuarantineStatus: Sendable, Codable, Equatable {
  /// Whether versions that are committed now are scanned.
  package var isOn: Bool
  package var waiting: Int
  package var infected: Int
  package var unscannable: Int
  /// Why nothing is scanned now; absent while the scanner answers.
  package var obstacle: String?
  package init(isOn: Bool, waiting: Int, infected: Int, unscannable: Int, obstacle: String?) {
    self.isOn = isOn
    self.waiting = waiting
    self.infected = infected
    self.unscannable = unscannable
    self.obstacle = obstacle
  }
  private enum CodingKeys: String, CodingKey {
    case waiting, infected, unscannable, obstacle
    case isOn = "on"
  }
}

extension OperatorOperations {
  package struct GetQuarantineStatus: ControlOperation {
    package typealias Response = QuarantineStatus
    package static let name = "get-quarantine-status"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package init() {}
  }

  /// What is held back, the newest first.
  package struct ListQuarantine: ControlOperation {
    package typealias Response = Page<QuarantinedVersion>
    package static let name = "list-quarantine"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package var limit: Int
    package var cursor: String?
    package init(limit: Int, cursor: String?) {
      self.limit = limit
      self.cursor = cursor
    }
  }

  /// Lets a version be read, or has it scanned anew.
  package struct ChangeQuarantine: ControlOperation {
    package enum Change: String, Sendable, Codable { case release, rescan }
    package typealias Response = QuarantinedVersion
    package static let name = "change-quarantine"
    package static let audience = ControlAudience.op
    package var number: Int64
    package var change: Change
    package init(number: Int64, change: Change) {
      self.number = number
      self.change = change
    }
    package var auditSubject: String { "\(change.rawValue) \(number)" }
  }
}
