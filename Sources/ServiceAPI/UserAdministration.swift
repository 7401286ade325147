package import BlockModel

/// A user as operators see them.
package struct UserAccount: Sendable, Codable, Equatable {
  package var id: UserID
  package var name: String
  package var createdAt: WallTime
  package var isDisabled: Bool
  package var usage: Usage
  /// Devices that are logged in.
  package var devices: Int
  package init(id: UserID, name: String, createdAt: WallTime, isDisabled: Bool, usage: Usage, devices: Int) {
    self.id = id
    self.name = name
    self.createdAt = createdAt
    self.isDisabled = isDisabled
    self.usage = usage
    self.devices = devices
  }
  private enum CodingKeys: String, CodingKey {
    case id, name, usage, devices
    case createdAt = "created_at"
    case isDisabled = "is_disabled"
  }
}

/// Hints of which namespaces have changed, from the coordinator to gateways.
package struct ChangeHints: Sendable, Codable, Equatable {
  /// Which life of the coordinator the position is of.
  package var instance: UInt64
  package var position: UInt64
  package var namespaces: [Int64]
  /// Some hints were lost: whoever waits asks.
  package var wasMissed: Bool
  package init(instance: UInt64, position: UInt64, namespaces: [Int64], wasMissed: Bool) {
    self.instance = instance
    self.position = position
    self.namespaces = namespaces
    self.wasMissed = wasMissed
  }
}

extension UserOperations {
  /// Waits until some namespace changes. One gateway asks once for all its clients.
  package struct AwaitChanges: ControlOperation {
    package typealias Response = ChangeHints
    package static let name = "await-changes"
    package static let audience = ControlAudience.gateway
    package static let isRead = true
    /// Of the last answer; nil begins at the present.
    package var instance: UInt64?
    package var position: UInt64
    package var waitMilliseconds: Int
    package init(instance: UInt64?, position: UInt64, waitMilliseconds: Int) {
      self.instance = instance
      self.position = position
      self.waitMilliseconds = waitMilliseconds
    }
  }
}

extension OperatorOperations {
  package struct ListUsers: ControlOperation {
    package typealias Response = Page<UserAccount>
    package static let name = "list-users"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package var limit: Int
    package var cursor: String?
    package init(limit: Int, cursor: String?) {
      self.limit = limit
      self.cursor = cursor
    }
  }

  package struct SetUserQuota: ControlOperation {
    package typealias Response = Done
    package static let name = "set-user-quota"
    package static let audience = ControlAudience.op
    package var user: String
    /// Bytes; nil is unlimited.
    package var quota: Int64?
    package init(user: String, quota: Int64?) {
      self.user = user
      self.quota = quota
    }
  }

  /// A disabled user's tokens open nothing until the user is enabled again.
  package struct SetUserDisabled: ControlOperation {
    package typealias Response = Done
    package static let name = "set-user-disabled"
    package static let audience = ControlAudience.op
    package var user: String
    package var isDisabled: Bool
    package init(user: String, isDisabled: Bool) {
      self.user = user
      self.isDisabled = isDisabled
    }
  }

  /// Sets another password and logs all devices out.
  package struct ResetUserPassword: ControlOperation {
    package typealias Response = Done
    package static let name = "reset-user-password"
    package static let audience = ControlAudience.op
    package var user: String
    package var password: String
    package init(user: String, password: String) {
      self.user = user
      self.password = password
    }
  }
}
