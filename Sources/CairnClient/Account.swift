internal import BlockModel
internal import ServiceAPI

/// Who the token belongs to.
public struct User: Sendable, Equatable, Codable {
  /// Stays the same for its whole life.
  public var id: String
  /// As people see it.
  public var name: String
  /// The device that the token was made for.
  public var device: String?

  init(_ user: UserInfo) {
    id = user.id.hex
    name = user.name
    device = user.device
  }
}

/// What a log-in gives.
public struct Session: Sendable, Equatable, Codable {
  /// Secret: whoever has it acts as the user.
  public var token: String
  /// From then on the token opens nothing.
  public var expiresAt: Timestamp

  init(_ session: SessionToken) {
    token = session.token
    expiresAt = Timestamp(session.expiresAt)
  }

  private enum CodingKeys: String, CodingKey {
    case token
    case expiresAt = "expires_at"
  }
}

/// A place that the user is logged in from.
public struct Device: Sendable, Equatable, Codable {
  /// Stays the same for its whole life.
  public var id: String
  /// As people see it.
  public var name: String
  /// When it first logged in.
  public var createdAt: Timestamp
  /// When it last asked for something; nil when that is not known.
  public var lastSeenAt: Timestamp?
  /// The one that asks.
  public var current: Bool

  init(_ device: DeviceInfo) {
    id = device.id.hex
    name = device.name
    createdAt = Timestamp(device.createdAt)
    lastSeenAt = device.lastSeenAt.map { Timestamp($0) }
    current = device.current
  }

  private enum CodingKeys: String, CodingKey {
    case id, name, current
    case createdAt = "created_at"
    case lastSeenAt = "last_seen_at"
  }
}

/// Space that the account takes, in bytes.
public struct AccountUsage: Sendable, Equatable, Codable {
  /// Bytes of all files and their revisions.
  public var used: Int64
  /// Held for uploads under way.
  public var reserved: Int64
  /// Nil is unlimited.
  public var quota: Int64?
  /// Files, folders not counted.
  public var files: Int64

  init(_ usage: Usage) {
    used = usage.used
    reserved = usage.reserved
    quota = usage.quota
    files = usage.files
  }
}
