internal import BlockModel
package import Platform

/// Where the agent keeps what it remembers about one pair of folders, and how others see and steer it.
///
/// What must hold: nothing of it lies in the user's folder. One agent at a time works on a pair: it holds the lock.
package struct SyncFiles: Sendable {
  /// What an agent says of itself.
  package struct Status: Codable, Sendable {
    package enum Activity: String, Codable, Sendable { case syncing, idle, paused, offline, stopped }
    package struct Issue: Codable, Sendable {
      package var kind: String
      package var path: String
      package var message: String
    }
    package var local: String
    package var remote: String
    package var gateway: String
    package var activity: Activity
    package var message: String?
    package var files: Int = 0
    package var bytesUp: Int64 = 0
    package var bytesDown: Int64 = 0
    package var issues: [Issue] = []
    package var updatedAt: String = ""
    package var device: String

    package init(local: String, remote: String, gateway: String, activity: Activity, device: String) {
      (self.local, self.remote, self.gateway, self.activity, self.device) = (local, remote, gateway, activity, device)
    }
  }

  private static let statusLimit = 4 << 20
  package let folder: String

  /// - Parameters:
  ///   - state: `$XDG_STATE_HOME/cairn`.
  ///   - local: absolute.
  package init(state: String, gateway: String, local: String, remote: String) {
    let name = HexDigits.encode(Array(SHA256Hasher.hash(Array("\(gateway)\n\(local)\n\(remote)".utf8)).prefix(12)))
    folder = state + "/sync/" + name
  }

  private init(folder: String) { self.folder = folder }

  /// All pairs of this machine's user.
  package static func all(state: String) throws(FileError) -> [SyncFiles] {
    guard try Directory.attributes(state + "/sync") != nil else { return [] }
    return try Directory.list(state + "/sync").map { SyncFiles(folder: state + "/sync/" + $0) }
  }

  /// A pair that this one cannot be beside: of two agents that work on one file, each takes the other for its user.
  ///
  /// - Parameter local: of this pair, absolute.
  /// - Returns: what another pair says of itself whose local folder is this one's, lies in it, or has it below.
  package func overlap(of local: String, state: String) throws(FileError) -> Status? {
    for other in try SyncFiles.all(state: state) where other.folder != folder {
      guard let status = try other.status() else { continue }
      if SyncFiles.contains(status.local, local) || SyncFiles.contains(local, status.local) { return status }
    }
    return nil
  }

  private static func contains(_ folder: String, _ path: String) -> Bool {
    path == folder || path.hasPrefix(folder == "/" ? folder : folder + "/")
  }

  package var database: String { folder + "/state.sqlite" }
  /// What a dry run needs that has nothing yet; nobody else looks at it.
  var preview: String { folder + "/preview" }
  private var pauseMark: String { folder + "/paused" }
  private var statusFile: String { folder + "/status.json" }

  /// Makes the folder and takes the lock; it is held as long as the file is.
  ///
  /// - Returns: nil when another agent has it.
  package func lock() throws(FileError) -> File? {
    try Directory.create(folder)
    let file = try File(folder + "/lock", [.read, .write, .create], mode: 0o600)
    return try file.lockExclusive() ? file : nil
  }

  /// Whether an agent is at work.
  package func isRunning() throws(FileError) -> Bool {
    guard try Directory.attributes(folder + "/lock") != nil else { return false }
    return try !File(folder + "/lock", [.read, .write]).lockExclusive()
  }

  /// This agent's own id, made with its notes: a copied token does not make two devices one.
  package func deviceID() throws(FileError) -> String {
    if let bytes = try AtomicFile.read(folder + "/device", limit: 256) { return String(decoding: bytes, as: UTF8.self) }
    let id = HexDigits.encode(SecureRandom.bytes(16))
    try AtomicFile.write(folder + "/device", Array(id.utf8))
    return id
  }

  package func isPaused() throws(FileError) -> Bool { try Directory.attributes(pauseMark) != nil }

  package func setPaused(_ isPaused: Bool) throws(FileError) {
    if isPaused { return try AtomicFile.write(pauseMark, []) }
    do { try Directory.remove(pauseMark) } catch  where error.isNotFound {}
  }

  package func status() throws(FileError) -> Status? {
    guard let bytes = try AtomicFile.read(statusFile, limit: Self.statusLimit) else { return nil }
    return try? JSONCoding.decode(Status.self, from: bytes)
  }

  package func write(_ status: Status) throws(FileError) {
    guard let bytes = try? JSONCoding.encode(status) else { return }
    try AtomicFile.write(statusFile, bytes)
  }
}
