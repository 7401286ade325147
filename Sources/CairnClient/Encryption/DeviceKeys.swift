internal import BlockModel
internal import Glibc
internal import Platform
internal import Synchronization

/// What a device keeps of one user's keys, and what it knows of encrypted folders.
struct DeviceKeys: Codable, Sendable {
  /// The user's own pair, in base 64 for URLs.
  struct Pair: Codable, Sendable {
    var publicKey: String
    var privateKey: String
  }

  /// An encrypted folder that was seen once. The cluster is not asked whether it is one, ever again.
  struct Folder: Codable, Sendable {
    var id: EntryID
    /// Where it is, and where it was: what is written to any of these is sealed or refused.
    var paths: [String]
    /// In base 64 for URLs; nil while the device has no key of it.
    var key: String?
  }

  /// Somebody's public key as it was seen first.
  struct Person: Codable, Sendable {
    var user: String
    var publicKey: String
  }

  var pair: Pair?
  var folders: [Folder] = []
  var people: [Person] = []

  var isEmpty: Bool { pair == nil && folders.isEmpty && people.isEmpty }

  var ownKeys: UserKeys? {
    guard let pair, let publicKey = Base64URL.decode(pair.publicKey), let privateKey = Base64URL.decode(pair.privateKey) else { return nil }
    return UserKeys(privateKey: privateKey, publicKey: publicKey)
  }

  mutating func setOwnKeys(_ keys: UserKeys) {
    pair = Pair(publicKey: Base64URL.encode(keys.publicKey), privateKey: Base64URL.encode(keys.privateKey.exposed))
  }

  // MARK: People

  func publicKey(of user: String) -> [UInt8]? {
    people.first { $0.user == user.lowercased() }.flatMap { Base64URL.decode($0.publicKey) }
  }

  mutating func pin(_ publicKey: [UInt8], of user: String) {
    people.removeAll { $0.user == user.lowercased() }
    people.append(Person(user: user.lowercased(), publicKey: Base64URL.encode(publicKey)))
  }

  // MARK: Folders

  func key(of folder: EntryID) -> SecretBytes? {
    folders.first { $0.id == folder }?.key.flatMap { Base64URL.decode($0) }.flatMap { $0.count == 32 ? SecretBytes($0) : nil }
  }

  /// Notes where a folder is, the newest place first. Answers whether that, or the key, is news.
  mutating func remember(_ folder: EntryID, at path: String, key: SecretBytes?) -> Bool {
    let text = key.map { Base64URL.encode($0.exposed) }
    guard let index = folders.firstIndex(where: { $0.id == folder }) else {
      folders.append(Folder(id: folder, paths: [path], key: text))
      return true
    }
    let isKnown = folders[index].paths.first == path && (text == nil || folders[index].key != nil)
    folders[index].paths.removeAll { $0 == path }
    folders[index].paths.insert(path, at: 0)
    folders[index].key = folders[index].key ?? text
    return !isKnown
  }

  /// This device moved something: what is now elsewhere is no longer expected where it was.
  mutating func moved(from old: RemotePath, to new: RemotePath) {
    for index in folders.indices {
      folders[index].paths = folders[index].paths.map { text in
        guard let path = try? RemotePath(text), path.isInside(old) else { return text }
        return RemotePath(components: new.components + path.components.dropFirst(old.components.count)).text
      }
    }
  }

  /// This device removed something, or was told to expect nothing encrypted there any more. Answers how many folders that was.
  mutating func forget(at path: RemotePath) -> Int {
    var count = 0
    for index in folders.indices {
      let left = folders[index].paths.filter { text in !((try? RemotePath(text))?.isInside(path) ?? false) }
      if left.count < folders[index].paths.count { count += 1 }
      folders[index].paths = left
    }
    folders.removeAll { $0.paths.isEmpty }
    return count
  }

  /// Everything secret goes; what is encrypted is known further on.
  mutating func forgetKeys() {
    pair = nil
    for index in folders.indices { folders[index].key = nil }
  }
}

/// Keeps `DeviceKeys` in files that only their user may read, one for each user and cluster. Without a folder they last as long as the
/// client. All calls block.
///
/// What must hold: whose keys they are follows from the token alone, once it was seen; a cluster that takes a token for somebody else's
/// later does not make the device forget what it knows.
final class KeyStore: Sendable {
  private static let sizeLimit = 16 << 20
  private static let lockPatience = Duration.seconds(5)

  private let folder: String?
  private let gateway: String
  private let time: any TimeSource
  private let memory = Mutex(DeviceKeys())

  init(stateDirectory: String?, gateway: String, time: any TimeSource) {
    folder = stateDirectory.map { $0 + "/keys" }
    self.gateway = gateway
    self.time = time
  }

  /// Whether this device has kept anything for anybody. With nothing there, nothing can be contradicted.
  func isUnused() throws -> Bool {
    guard let folder else { return memory.withLock { $0.isEmpty } }
    return try Directory.attributes(folder) == nil
  }

  /// The user whom the token was first known to be of; nil when it is new here.
  func user(ofToken token: String) throws -> String? {
    guard let path = path("token", token) else { return nil }
    return try AtomicFile.read(path, limit: KeyStore.sizeLimit).map { String(decoding: $0, as: UTF8.self) }
  }

  func bind(token: String, to user: String) throws {
    guard let folder, let path = path("token", token) else { return }
    try Directory.create(folder)
    try AtomicFile.write(path, Array(user.lowercased().utf8), mode: 0o600)
  }

  func load(_ user: String) throws -> DeviceKeys {
    guard let path = path("user", user.lowercased()) else { return memory.withLock { $0 } }
    guard let bytes = try AtomicFile.read(path, limit: KeyStore.sizeLimit) else { return DeviceKeys() }
    do { return try JSONCoding.decode(DeviceKeys.self, from: bytes) } catch {
      throw CairnError(.localFile, "\(path) cannot be read (\(error.message)); remove it and run “cairn keys recover”.")
    }
  }

  /// Changes what is kept, one process at a time, and answers it as it is then.
  @discardableResult
  func update(_ user: String, _ change: (inout DeviceKeys) -> Void) throws -> DeviceKeys {
    guard let folder, let path = path("user", user.lowercased()) else {
      return memory.withLock { keys in
        change(&keys)
        return keys
      }
    }
    try Directory.create(folder)
    let lock = try File(path + ".lock", [.read, .write, .create, .noFollow])
    let start = time.monotonic()
    while try !lock.lockExclusive() {
      guard time.monotonic() - start < KeyStore.lockPatience else {
        throw CairnError(.localFile, "\(path) is in use by another process; try again.")
      }
      usleep(10_000)
    }
    var keys = try load(user)
    change(&keys)
    try AtomicFile.write(path, try JSONCoding.encode(keys), mode: 0o600)
    return keys
  }

  private func path(_ kind: String, _ name: String) -> String? {
    folder.map { "\($0)/\(kind)-\(HexDigits.encode(Array(SHA256Hasher.hash(Array("\(gateway)\n\(name)".utf8)).prefix(16))))" }
  }
}
