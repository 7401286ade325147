internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Keeps a client's `FolderView` up to date: what the cluster lists, checked against what this device remembers.
actor EncryptedFolders {
  /// How old a view may be. Another device's new encrypted folder is unknown for so long; the cluster refuses what is not sealed there, but
  /// by then it has seen a name.
  private static let age = Duration.seconds(60)
  /// Something unknown is looked up again at once, but not more often than this.
  private static let pause = Duration.seconds(1)

  private let store: KeyStore
  private let threads: BlockingPool
  private let time: any TimeSource
  private var latest: FolderView?
  private var loadedAt: MonotonicTime?
  private var loading: Task<FolderView, any Error>?
  private var user: (token: String, name: String)?

  init(store: KeyStore, threads: BlockingPool, time: any TimeSource) {
    self.store = store
    self.threads = threads
    self.time = time
  }

  // MARK: The view

  func view(_ gateway: GatewayConnection) async throws -> FolderView {
    if let latest, let loadedAt, time.monotonic() - loadedAt < EncryptedFolders.age { return latest }
    return try await reload(gateway)
  }

  /// A view that knows a folder, if the cluster does.
  func view(_ gateway: GatewayConnection, knowing folder: EntryID) async throws -> FolderView {
    let known = try await view(gateway)
    guard known.root(folder) == nil, loadedAt.map({ time.monotonic() - $0 >= EncryptedFolders.pause }) ?? true else { return known }
    return try await reload(gateway)
  }

  /// The last one, however old.
  var present: FolderView? { latest }

  /// The next look asks the cluster.
  func forgetView() { latest = nil }

  func reload(_ gateway: GatewayConnection) async throws -> FolderView {
    if let loading { return try await loading.value }
    let task = Task { try await load(gateway) }
    loading = task
    defer { if loading == task { loading = nil } }
    let fresh = try await task.value
    latest = fresh
    loadedAt = time.monotonic()
    return fresh
  }

  private func load(_ gateway: GatewayConnection) async throws -> FolderView {
    let listed = try await gateway.folderKeys()
    if listed.isEmpty, try await threads.run({ [store] in try store.isUnused() }) { return FolderView() }
    let name = try await userName(gateway)
    var keys = try await threads.run { [store] in try store.load(name) }
    var roots: [FolderView.Root] = []
    var news: [(id: EntryID, path: String, key: SecretBytes?)] = []
    var pins: [(user: String, publicKey: [UInt8])] = []
    for item in listed {
      guard item.folder.encrypted == true, item.folder.keyFolder == item.folder.id, let path = try? RemotePath(item.folder.path) else {
        throw FolderView.contradiction(item.folder.path)
      }
      let cipher = try await cipher(for: item, &keys, &pins, gateway)
      roots.append(FolderView.Root(id: item.folder.id, path: path, cipher: cipher))
      let key = try? cipher.get().key
      if keys.remember(item.folder.id, at: path.text, key: key) { news.append((item.folder.id, path.text, key)) }
    }
    if !news.isEmpty || !pins.isEmpty {
      let (found, pinned) = (news, pins)
      keys = try await threads.run { [store] in
        try store.update(name) { keys in
          for item in found { _ = keys.remember(item.id, at: item.path, key: item.key) }
          for pin in pinned where keys.publicKey(of: pin.user) == nil { keys.pin(pin.publicKey, of: pin.user) }
        }
      }
    }
    return FolderView(roots: roots, doubts: EncryptedFolders.doubts(keys, roots))
  }

  /// What opens a folder: what this device remembers before what the cluster hands out, which is opened once. Or why nothing does.
  private func cipher(
    for item: FolderKeyInfo, _ keys: inout DeviceKeys, _ pins: inout [(user: String, publicKey: [UInt8])], _ gateway: GatewayConnection
  ) async throws -> Result<FolderCipher, CairnError> {
    if let key = keys.key(of: item.folder.id) { return .success(FolderCipher(key: key)) }
    do {
      let (key, pin) = try await open(item, keys, gateway)
      if let pin {
        keys.pin(pin.publicKey, of: pin.user)
        pins.append(pin)
      }
      return .success(FolderCipher(key: key))
    } catch let error as CairnError where error.kind == .noKey || error.kind == .keyChanged { return .failure(error) }
  }

  /// Places that this device remembers and the cluster does not confirm.
  private static func doubts(_ keys: DeviceKeys, _ roots: [FolderView.Root]) -> [FolderView.Doubt] {
    keys.folders.flatMap { folder in
      folder.paths.compactMap { text -> FolderView.Doubt? in
        guard let path = try? RemotePath(text), !roots.contains(where: { $0.id == folder.id && $0.path == path }) else { return nil }
        return FolderView.Doubt(path: path, folder: folder.id)
      }
    }
  }

  /// Opens a folder's key, and answers the sender's public key when it is the first time that it is seen.
  private func open(
    _ item: FolderKeyInfo, _ keys: DeviceKeys, _ gateway: GatewayConnection
  ) async throws -> (key: SecretBytes, pin: (user: String, publicKey: [UInt8])?) {
    let path = item.folder.path
    guard let own = keys.ownKeys else {
      throw CairnError(.noKey, "\(path) is encrypted, and this device has no key; run “cairn keys recover” with your recovery phrase.")
    }
    guard let wrapped = item.key.flatMap({ Base64URL.decode($0.wrappedKey) }) else {
      throw CairnError(.noKey, "\(path) is encrypted, and nobody gave you its key; ask \(item.folder.owner) to share it with you again.")
    }
    guard let (key, sender) = WrappedFolderKey.unwrap(wrapped, with: own) else {
      throw CairnError(
        .noKey,
        "\(path) is encrypted, and its key was given to another key pair than this device has; ask \(item.folder.owner) to share it "
          + "with you again, or run “cairn keys recover”.")
    }
    if sender == own.publicKey { return (key, nil) }
    let user = item.grantedBy ?? item.folder.owner
    if let known = keys.publicKey(of: user) {
      guard known == sender else { throw EncryptedFolders.changed(user) }
      return (key, nil)
    }
    guard let current = try await gateway.publicKey(of: user), Base64URL.decode(current.publicKey) == sender else {
      throw EncryptedFolders.changed(user)
    }
    return (key, (user, sender))
  }

  static func changed(_ user: String) -> CairnError {
    CairnError(
      .keyChanged,
      "The public key of \(user) is not the one that this device knows. Compare fingerprints with \(user), then run "
        + "“cairn keys show \(user) --accept-new-key”.")
  }

  // MARK: What this device keeps

  /// The user that this device's keys are of, as the token was first known.
  func userName(_ gateway: GatewayConnection) async throws -> String {
    guard let token = gateway.currentToken else { return "" }
    if let user, user.token == token { return user.name }
    var name = try await threads.run { [store] in try store.user(ofToken: token) }
    if name == nil {
      let asked = try await gateway.currentUser().name.lowercased()
      try await threads.run { [store] in try store.bind(token: token, to: asked) }
      name = asked
    }
    user = (token, name ?? "")
    return name ?? ""
  }

  /// Somebody logged in: who that is is known from them, not from the cluster.
  func loggedIn(_ name: String, token: String) async throws {
    try await threads.run { [store] in if try !store.isUnused() { try store.bind(token: token, to: name) } }
    latest = nil
  }

  func keys(_ gateway: GatewayConnection) async throws -> DeviceKeys {
    let name = try await userName(gateway)
    return try await threads.run { [store] in try store.load(name) }
  }

  func update(_ gateway: GatewayConnection, _ change: @escaping @Sendable (inout DeviceKeys) -> Void) async throws {
    let name = try await userName(gateway)
    try await threads.run { [store] in _ = try store.update(name, change) }
    latest = nil
  }

  /// This device moved something: encrypted folders in it are elsewhere now.
  func moved(from old: RemotePath, to new: RemotePath, _ gateway: GatewayConnection) async throws {
    guard try await concerns(old, gateway) else { return }
    try await update(gateway) { $0.moved(from: old, to: new) }
  }

  /// This device removed something.
  func removed(_ path: RemotePath, _ gateway: GatewayConnection) async throws {
    guard try await concerns(path, gateway) else { return }
    try await update(gateway) { _ = $0.forget(at: path) }
  }

  private func concerns(_ path: RemotePath, _ gateway: GatewayConnection) async throws -> Bool {
    try await view(gateway).roots.contains { $0.path.isInside(path) }
  }
}
