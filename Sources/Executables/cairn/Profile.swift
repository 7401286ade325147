import CairnClient
import CommandLineKit
import Platform

/// The cluster and the user that `cairn` works for: from the environment, else from the profile that `login` keeps.
///
/// What must hold: the profile has a token in it, so only its owner may read it.
struct Profile: Codable, Sendable {
  var gateway: String
  var user: String?
  var token: String?
  var caFile: String?

  private enum CodingKeys: String, CodingKey {
    case gateway, user, token
    case caFile = "ca_file"
  }

  private static let sizeLimit = 64 << 10

  // MARK: Files

  /// `$XDG_CONFIG_HOME/cairn/profile.json`.
  static var path: String { folder("XDG_CONFIG_HOME", "/.config") + "/profile.json" }

  /// `$XDG_STATE_HOME/cairn`, for journals.
  static var stateFolder: String { folder("XDG_STATE_HOME", "/.local/state") }

  private static func folder(_ variable: String, _ standard: String) -> String {
    // The convention wants relative values to be ignored.
    if let value = Environment.value(variable), value.hasPrefix("/") { return value + "/cairn" }
    return (Environment.value("HOME") ?? "") + standard + "/cairn"
  }

  static func load() throws -> Profile? {
    guard let bytes = try AtomicFile.read(path, limit: sizeLimit) else { return nil }
    do { return try JSONCoding.decode(Profile.self, from: bytes) } catch {
      throw CommandFailure(.failed, "The profile \(path) cannot be read (\(error.message)); remove it and log in again.")
    }
  }

  func save() throws {
    try Directory.create(Directory.parent(of: Profile.path))
    try AtomicFile.write(Profile.path, try JSONCoding.encode(self), mode: 0o600)
  }

  // MARK: The one in force

  /// The environment over the profile. A token of the profile is only ever sent to the profile's own gateway.
  static func current() throws -> Profile {
    let stored = try load()
    guard let gateway = Environment.value("CAIRN_GATEWAY") ?? stored?.gateway else {
      throw CommandFailure(.usage, "No cluster is named; set CAIRN_GATEWAY to its gateway's address, such as http://127.0.0.1:8080.")
    }
    let isStored = stored.map { withoutSlash($0.gateway) == withoutSlash(gateway) } ?? false
    return Profile(
      // As it was written when somebody logged in: what this machine keeps for a cluster goes by that.
      gateway: isStored ? stored?.gateway ?? gateway : gateway, user: isStored ? stored?.user : nil,
      token: Environment.value("CAIRN_TOKEN") ?? (isStored ? stored?.token : nil),
      caFile: Environment.value("CAIRN_CA_FILE") ?? (isStored ? stored?.caFile : nil))
  }

  /// A gateway's address with a slash at its end is the same gateway's.
  private static func withoutSlash(_ address: String) -> String { address.hasSuffix("/") ? String(address.dropLast()) : address }

  /// How long somebody at a terminal waits for a cluster that does not answer; a transfer is worth waiting longer for.
  static let personsPatience = Duration.seconds(8)
  static let transferPatience = Duration.seconds(30)

  func client(parallel: Int = 8, compress: Bool = true, bytesPerSecond: Int64? = nil, patience: Duration = personsPatience)
    throws -> CairnClient
  {
    try CairnClient(
      Configuration(
        gateway: gateway, token: token, caFile: caFile, parallel: parallel, compress: compress, stateDirectory: Profile.stateFolder,
        bytesPerSecond: bytesPerSecond, patience: patience))
  }
}
