import BlockModel
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// Encrypted folders as far as a client meets them: everybody's token names its user, and all see one tree.
extension FakeGateway {
  struct Keys: Sendable {
    var pairs: [String: KeyPairInfo] = [:]
    /// Encrypted folders by their paths.
    var folders: [String: EntryID] = [:]
    var wrapped: [EntryID: [String: WrappedKey]] = [:]
    var grantedBy: [EntryID: String] = [:]
    /// What it does not tell of them any more.
    var lie = Lie.none
  }

  enum Lie: Sendable {
    case none
    /// That there are any.
    case everything
    /// That what is in them is.
    case marks
    /// That this device has a key.
    case keys
  }

  private struct NewPair: Decodable {
    var publicKey: String
    var wrappedPrivateKey: String
    var replaces: Int64?
    private enum CodingKeys: String, CodingKey {
      case replaces
      case publicKey = "public_key"
      case wrappedPrivateKey = "wrapped_private_key"
    }
  }

  private struct NewFolderKey: Decodable {
    var user: String
    var wrappedKey: String
    var generation: Int64
    private enum CodingKeys: String, CodingKey {
      case user, generation
      case wrappedKey = "wrapped_key"
    }
  }

  private static func user(_ head: HTTPRequestHead) -> String { String((head.headers["Authorization"] ?? "").dropFirst(16)) }

  static func addKeys(_ route: AddRoute) {
    route(.get, "/v1/keys") { gateway, head, _ in
      let asked = head.query.first { $0.name == "user" }?.value
      let user = asked ?? user(head)
      guard let pair = gateway.state.withLock({ $0.keys.pairs[user] }) else { throw Problem(.notFound, "\(user) has no key pair.") }
      guard asked != nil else { return .json(pair) }
      return .json(PublicKeyInfo(user: user, publicKey: pair.publicKey, generation: pair.generation))
    }
    route(.put, "/v1/keys") { gateway, head, body in
      let new = try JSONCoding.decode(NewPair.self, from: body)
      let user = user(head)
      return try gateway.state.withLock { state in
        let generation = state.keys.pairs[user]?.generation ?? 0
        guard new.replaces ?? 0 == generation else { throw Problem(.conflict, "There is one already.") }
        let pair = KeyPairInfo(
          publicKey: new.publicKey, wrappedPrivateKey: new.wrappedPrivateKey, generation: generation + 1, createdAt: .epoch)
        state.keys.pairs[user] = pair
        return .json(pair)
      }
    }
    route(.get, "/v1/folders/keys") { gateway, head, _ in
      let user = user(head)
      let items = gateway.state.withLock { state -> [FolderKeyInfo] in
        guard state.keys.lie != .everything else { return [] }
        return state.keys.folders.sorted { $0.key < $1.key }.compactMap { path, id in
          guard let folder = state.entries[path] else { return nil }
          let key = state.keys.lie == .keys ? nil : state.keys.wrapped[id]?[user]
          return FolderKeyInfo(folder: folder, key: key, grantedBy: state.keys.grantedBy[id])
        }
      }
      return .json(Page(items: items, next: nil))
    }
    route(.put, "/v1/files/{id}/keys") { gateway, head, body in
      let new = try JSONCoding.decode(NewFolderKey.self, from: body)
      guard let id = EntryID(hex: head.parameters["id"] ?? "") else { throw Problem(.notFound, "There is no such folder.") }
      gateway.state.withLock { state in
        state.keys.wrapped[id, default: [:]][new.user] = WrappedKey(wrappedKey: new.wrappedKey, generation: new.generation)
        state.keys.grantedBy[id] = user(head)
      }
      return HTTPResponse(status: 204)
    }
    route(.put, "/v1/files/{id}/shares/{user}") { gateway, head, _ in
      let id = EntryID(hex: head.parameters["id"] ?? "")
      guard let entry = gateway.state.withLock({ state in state.entries.values.first { $0.id == id } }) else {
        throw Problem(.notFound, "There is no such thing.")
      }
      return .json(
        ShareInfo(user: head.parameters["user"] ?? "", role: .write, grantedBy: user(head), grantedAt: .epoch, entry: entry))
    }
  }

  /// The encrypted folder that a path is or lies in.
  static func keyFolder(_ state: State, of path: RemotePath) -> EntryID? {
    state.keys.folders.first { (try? RemotePath($0.key)).map { path.isInside($0) } ?? false }?.value
  }

  /// Makes a new folder an encrypted one.
  static func encrypt(_ state: inout State, _ entry: inout FileEntry, by head: HTTPRequestHead, _ key: WrappedKey) {
    state.keys.folders[entry.path] = entry.id
    state.keys.wrapped[entry.id] = [user(head): key]
    state.keys.grantedBy[entry.id] = user(head)
    (entry.encrypted, entry.keyFolder) = (true, entry.id)
  }

  /// An entry as it is shown, lies and all.
  static func shown(_ entry: FileEntry, _ state: State) -> FileEntry {
    guard state.keys.lie == .everything || (state.keys.lie == .marks && entry.id != entry.keyFolder) else { return entry }
    var shown = entry
    (shown.encrypted, shown.keyFolder, shown.envelope) = (nil, nil, nil)
    return shown
  }
}
