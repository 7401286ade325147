internal import BlockModel
internal import SQLSession
internal import ServiceAPI

/// A namespace as one caller sees it: the own tree, or through a share a part of somebody else's.
///
/// Inside of the store all paths are the owner's. A member's paths, `/Shared with me/MOUNT/…`, are turned into the owner's when a request
/// comes in, and back when an answer goes out.
struct TreeView: Equatable {
  struct Mount: Equatable {
    /// What is shared.
    var top: EntryID
    /// Where the owner has it.
    var ownerPath: String
    /// Where the member sees it.
    var callerPath: String
  }

  let namespace: Int64
  /// Of the namespace.
  let root: EntryID
  let owner: String
  /// Nil in the caller's own tree.
  let mount: Mount?

  func callerPath(_ path: String) -> String {
    guard let mount else { return path }
    // Outside of what is shared nothing has a path for the member.
    guard path.hasPrefix(mount.ownerPath) else { return mount.callerPath }
    return mount.callerPath + String(decoding: path.utf8.dropFirst(mount.ownerPath.utf8.count), as: UTF8.self)
  }
}

/// The folder that the shares of others appear in. It belongs to nobody's tree and is in no listing of `/`: it is a second root.
enum SharedFolder {
  static let name = "Shared with me"
  static let path = "/" + name
  static let id = EntryID(high: 0, low: 0)

  static func document(_ principal: Principal) -> FileEntry {
    FileEntry(
      id: id, path: path, name: name, kind: .folder, size: 0, contentHash: nil, version: 1, mimeType: nil,
      modifiedAt: FileTime(nanoseconds: 0), executable: false, target: nil, owner: principal.userName, role: .read)
  }

  static func path(of mount: String) -> String { path + "/" + mount }

  static func isNamed(by reference: EntryReference) -> Bool {
    switch reference {
    case .id(let id): id == SharedFolder.id
    case .path(let path): path == SharedFolder.path
    }
  }

  static let closed = Problem(.forbidden, "\(path) is made of what others share with you: nothing else can be done with it.")
}

extension Principal {
  var view: TreeView { TreeView(namespace: namespaceNumber, root: root, owner: userName, mount: nil) }
}

/// An entry, where its owner has it, and what the caller may do with it.
struct Located {
  var row: EntryRow
  /// The owner's path.
  var path: String
  var view: TreeView
  var role: Role

  /// The caller's path.
  var callerPath: String { view.callerPath(path) }
  var document: FileEntry { view.document(row, path: path, role: role) }
}

extension TreeView {
  /// - Parameter path: the owner's.
  func document(_ row: EntryRow, path: String, role: Role) -> FileEntry {
    var document = row.document(path: callerPath(path), owner: owner)
    document.role = role
    if let mount, row.id == mount.top { document.name = mount.callerPath.split(separator: "/").last.map(String.init) ?? document.name }
    return document
  }
}

extension Role {
  /// As the database keeps it; owners have no share.
  var number: Int {
    switch self {
    case .read: 0
    case .write: 1
    case .admin: 2
    case .owner: 3
    }
  }
  init(number: Int) { self = number == 0 ? .read : number == 1 ? .write : .admin }
}

/// A share of the caller's.
struct GrantedShare {
  var entry: EntryID
  var mount: String
  var role: Role
}

extension MetadataReading {
  /// Which tree a path lies in, and the owner's path there.
  /// - Throws: `.notFound` when nothing is shared under that name, `.forbidden` for the folder of shares itself.
  func view(of path: RemotePath, _ principal: Principal) throws -> (view: TreeView, path: RemotePath) {
    guard path.components.first?.text == SharedFolder.name else { return (principal.view, path) }
    guard path.components.count > 1 else { throw SharedFolder.closed }
    let mount = path.components[1].text
    let share = try db.first(
      """
      SELECT s.ns, s.entry, n.root, u.name FROM shares s JOIN namespaces n ON n.number = s.ns JOIN users u ON u.number = n.owner
      WHERE s.member = ? AND s.mount = ?
      """, .integer(principal.userNumber), .text(mount)
    ) { (namespace: $0.int64(0), entry: $0.id(1) as EntryID, root: $0.id(2) as EntryID, owner: $0.text(3)) }
    if let share { try hold([share.namespace]) }
    guard let share, let row = try entry(share.namespace, share.entry), let ownerPath = try self.path(of: row, share.namespace) else {
      throw Problem.nothingAt(path.text)
    }
    let view = TreeView(
      namespace: share.namespace, root: share.root, owner: share.owner,
      mount: TreeView.Mount(top: share.entry, ownerPath: ownerPath, callerPath: SharedFolder.path(of: mount)))
    let top = try RemotePath.checked(ownerPath)
    return (view, RemotePath(components: top.components + path.components.dropFirst(2)))
  }

  /// The tree that an entry is in, for a caller who may see it; nil for anybody else. Through the topmost of several shares.
  func view(of id: EntryID, _ principal: Principal) throws -> TreeView? { try found(id, principal)?.view }

  /// The row, living or not, with that.
  func found(_ id: EntryID, _ principal: Principal) throws -> (view: TreeView, row: EntryRow)? {
    if let row = try entry(principal.namespaceNumber, id) { return (principal.view, row) }
    guard let view = try sharedView(of: id, principal), let row = try entry(view.namespace, id) else { return nil }
    return (view, row)
  }

  private func sharedView(of id: EntryID, _ principal: Principal) throws -> TreeView? {
    let home = try db.first(
      """
      SELECT s.ns, n.root, u.name FROM (SELECT DISTINCT ns FROM shares WHERE member = ?1) s
      JOIN entries e ON e.ns = s.ns AND e.id = ?2 JOIN namespaces n ON n.number = s.ns JOIN users u ON u.number = n.owner LIMIT 1
      """, .integer(principal.userNumber), .id(id)
    ) { (namespace: $0.int64(0), root: $0.id(1) as EntryID, owner: $0.text(2)) }
    if let home { try hold([home.namespace]) }
    guard let home, let share = try shares(above: id, home.namespace, of: principal).last,
      let top = try entry(home.namespace, share.entry), let ownerPath = try path(of: top, home.namespace)
    else { return nil }
    return TreeView(
      namespace: home.namespace, root: home.root, owner: home.owner,
      mount: TreeView.Mount(top: share.entry, ownerPath: ownerPath, callerPath: SharedFolder.path(of: share.mount)))
  }

  func view(of reference: EntryReference, _ principal: Principal) throws -> TreeView {
    switch reference {
    case .path(let text): return try view(of: RemotePath.checked(text), principal).view
    case .id(let id):
      guard id != SharedFolder.id else { throw SharedFolder.closed }
      guard let view = try view(of: id, principal) else { throw Problem.noSuchEntry }
      return view
    }
  }

  /// The caller's shares of an entry and of the folders above it, the nearest first.
  func shares(above id: EntryID, _ namespace: Int64, of principal: Principal) throws -> [GrantedShare] {
    try db.all(
      """
      WITH RECURSIVE above (id, parent, level) AS (
        SELECT id, parent, 0 FROM entries WHERE ns = ?1 AND id = ?2 UNION ALL
        SELECT e.id, e.parent, above.level + 1 FROM above JOIN entries e ON e.ns = ?1 AND e.id = above.parent)
      SELECT s.entry, s.mount, s.role FROM above JOIN shares s ON s.ns = ?1 AND s.entry = above.id AND s.member = ?3 ORDER BY above.level
      """, .integer(namespace), .id(id), .integer(principal.userNumber)
    ) { GrantedShare(entry: $0.id(0), mount: $0.text(1), role: Role(number: $0.int(2))) }
  }

  /// The caller's role on an entry of the view: the best of the shares of it and of the folders above it.
  func role(at id: EntryID, _ view: TreeView, _ principal: Principal) throws -> Role? {
    if view.mount == nil { return .owner }
    return try shares(above: id, view.namespace, of: principal).map(\.role).max()
  }
}
