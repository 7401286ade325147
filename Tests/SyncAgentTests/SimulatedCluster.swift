import BlockModel
import ClusterLogic
import SyncAgent
import Synchronization

/// Metadata and change feed of a cluster, in memory. Each call is one transaction.
final class SimulatedCluster: Sendable {
  struct State {
    var tree: SyncTree
    var log: [RemoteChange] = []
    var next: UInt64 = 100
  }

  static let root = EntryID(high: 7, low: 7)
  static let path = "/sync"
  private let state = Mutex(State(tree: SyncTree(root: .entry(root))))
  private let interlude = Mutex<(@Sendable (inout State) throws(SyncError) -> Void)?>(nil)

  /// Has somebody else do something once, while the next upload is on its way.
  func duringUpload(_ body: @escaping @Sendable (inout State) throws(SyncError) -> Void) { interlude.withLock { $0 = body } }

  func meanwhile() throws(SyncError) {
    let body = interlude.withLock { interlude in
      defer { interlude = nil }
      return interlude
    }
    if let body { try with(body) }
  }

  func with<T>(_ body: (inout State) throws(SyncError) -> T) throws(SyncError) -> T {
    let result = state.withLock { state -> Result<T, SyncError> in
      do throws(SyncError) { return .success(try body(&state)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  /// As the disks say it.
  /// - Parameter foldingCase: as one says it that cannot tell upper from lower case.
  func summary(foldingCase: Bool = false) -> [String] {
    state.withLock { state in
      let tree = foldingCase ? CaseFolding.adapted(state.tree).tree : state.tree
      return tree.sortedIDs.compactMap { id in
        guard let node = tree[id], let names = tree.names(of: id) else { return nil }
        let kind: FolderItem.Kind = node.kind == .file ? .file : node.kind == .folder ? .folder : .symlink
        return "\(names.joined(separator: "/")) \(kind) \(node.content ?? "")\(node.executable ? " x" : "")"
          + (node.kind == .file ? " \(node.modified)" : "")
      }.sorted()
    }
  }
}

extension SimulatedCluster.State {
  func entry(_ id: SyncNodeID) -> RemoteEntry? {
    guard let node = tree[id], let names = tree.names(of: id), let entry = id.entry else { return nil }
    return RemoteEntry(
      id: entry, path: SimulatedCluster.path + names.map { "/" + $0 }.joined(), kind: node.kind, content: node.content ?? "",
      executable: node.executable, modified: node.modified, version: node.version, size: node.size)
  }

  /// Where a path leads: the folder that it is in, and its name.
  func place(_ path: String) throws(SyncError) -> SyncPlace {
    let names = path.dropFirst(SimulatedCluster.path.count + 1).split(separator: "/").map(String.init)
    var folder = tree.root
    for name in names.dropLast() {
      guard let child = tree.child(SyncPlace(folder, name)), tree.hasFolder(child) else {
        throw SyncError(.stale, "\(path) has no folder.")
      }
      folder = child
    }
    return SyncPlace(folder, names.last ?? "")
  }

  mutating func record(_ action: RemoteChange.Action, _ id: SyncNodeID, oldPath: String? = nil) {
    if let entry = entry(id) { log.append(RemoteChange(action, entry, oldPath: oldPath)) }
  }

  mutating func make(_ path: String, _ node: (SyncPlace) -> SyncNode) throws(SyncError) -> RemoteEntry {
    let place = try place(path)
    guard tree.child(place) == nil else { throw SyncError(.stale, "\(path) is taken.") }
    next += 1
    let id = SyncNodeID.entry(EntryID(high: 1, low: next))
    tree.insert(id, node(place))
    record(.changed, id)
    return try found(id)
  }

  func found(_ id: SyncNodeID) throws(SyncError) -> RemoteEntry {
    guard let entry = entry(id) else { throw SyncError(.stale, "\(id) is not there.") }
    return entry
  }
}

/// A device's line to the cluster: messages get lost on the way there, and answers on the way back.
struct SimulatedRemote: SyncRemote {
  let cluster: SimulatedCluster
  let machine: SimulatedMachine
  private static let page = 3

  private func call<T>(_ body: (inout SimulatedCluster.State) throws(SyncError) -> T) throws(SyncError) -> T {
    try machine.tick()
    if machine.losesMessage() { throw SimulatedMachine.down }
    let answer = try cluster.with(body)
    if machine.losesMessage() { throw SimulatedMachine.down }
    try machine.tick()
    return answer
  }

  func entry(at path: String) async throws(SyncError) -> RemoteEntry? {
    try call { _ throws(SyncError) in
      guard path == SimulatedCluster.path else { return nil }
      return RemoteEntry(id: SimulatedCluster.root, path: SimulatedCluster.path, kind: .folder)
    }
  }

  func entry(_ id: EntryID) async throws(SyncError) -> RemoteEntry? {
    try call { _ throws(SyncError) in RemoteEntry(id: SimulatedCluster.root, path: SimulatedCluster.path, kind: .folder) }
  }

  func list(_ path: String) async throws(SyncError) -> [RemoteEntry] {
    try call { state throws(SyncError) in state.tree.sortedIDs.compactMap { state.entry($0) } }
  }

  func changes(after cursor: String?) async throws(SyncError) -> RemoteChanges {
    let start = cursor.flatMap { Int($0) } ?? 0
    return try call { state throws(SyncError) in
      let end = min(start + Self.page, state.log.count)
      return RemoteChanges(
        changes: Array(state.log[start..<end]), cursor: String(end), hasMore: end < state.log.count, reset: false)
    }
  }

  func upload(_ files: [RemoteUpload]) async -> [Result<RemoteEntry, SyncError>] {
    files.map { file in
      do throws(SyncError) { return .success(try upload(file)) } catch { return .failure(error) }
    }
  }

  private func upload(_ file: RemoteUpload) throws(SyncError) -> RemoteEntry {
    // Read once, and again it must be the same.
    let read = try machine.withDisk { disk, _ throws(SyncError) in (disk.item(file.path), disk.content(file.path)) }
    guard let item = read.0, item.kind == .file, let content = read.1.map({ SyncContent($0) }) else {
      throw SyncError(.stale, "\(file.path) is gone.")
    }
    let again = try machine.withDisk { disk, _ throws(SyncError) in disk.item(file.path) }
    guard again == item else { throw SyncError(.stale, "\(file.path) changed while it was read.") }
    try cluster.meanwhile()
    return try call { state throws(SyncError) in
      let place = try state.place(file.remotePath)
      guard let id = state.tree.child(place) else {
        guard file.baseVersion == 0 else { throw SyncError(.stale, "\(file.remotePath) is gone.") }
        return try state.make(file.remotePath) {
          SyncNode(
            $0, .file, content: content, executable: item.executable, modified: item.identity.modified, version: 1,
            size: item.identity.size)
        }
      }
      guard let there = state.tree[id], there.kind == .file else { throw SyncError(.stale, "\(file.remotePath) is no file.") }
      if there.content == content { return try state.found(id) }
      guard file.entry == nil || file.entry == id.entry else { throw SyncError(.stale, "\(file.remotePath) is another file.") }
      guard there.version == file.baseVersion else { throw SyncError(.stale, "\(file.remotePath) has another version.") }
      state.tree.update(id) {
        ($0.content, $0.executable, $0.modified) = (content, item.executable, item.identity.modified)
        ($0.version, $0.size) = ($0.version + 1, item.identity.size)
      }
      state.record(.changed, id)
      return try state.found(id)
    }
  }

  func download(_ files: [RemoteDownload]) async -> [Result<RemoteEntry, SyncError>] {
    files.map { file in
      do throws(SyncError) {
        let entry = try call { state throws(SyncError) in try state.found(.entry(file.entry)) }
        try machine.withDisk { disk, now throws(SyncError) in
          guard disk.hasFolder(SimulatedDisk.parent(of: file.path)) else { throw SyncError(.stale, "The folder is gone.") }
          disk.write(file.path, entry.content.text, now: now, anew: true)
          disk.setAttributes(file.path, executable: entry.executable, modified: entry.modified, now: now)
        }
        return .success(entry)
      } catch { return .failure(error) }
    }
  }

  func move(_ entry: EntryID, to path: String) async throws(SyncError) {
    try call { state throws(SyncError) in
      let place = try state.place(path)
      let id = SyncNodeID.entry(entry)
      let old = try state.found(id)
      guard state.tree.child(place) == nil || state.tree.child(place) == id, let above = state.tree.ancestors(of: place),
        !above.contains(id)
      else { throw SyncError(.stale, "\(path) is taken.") }
      state.tree.update(id) { $0.place = place }
      state.record(.moved, id, oldPath: old.path)
    }
  }

  func makeFolder(_ path: String) async throws(SyncError) -> RemoteEntry {
    try call { state throws(SyncError) in try state.make(path) { SyncNode($0, .folder, version: 1) } }
  }

  func makeFolders(_ paths: [String]) async throws(SyncError) -> [RemoteEntry] {
    try call { state throws(SyncError) in
      var made: [RemoteEntry] = []
      var changed = state
      for path in paths { made.append(try changed.make(path) { SyncNode($0, .folder, version: 1) }) }
      state = changed
      return made
    }
  }

  func makeSymlink(_ path: String, target: String) async throws(SyncError) -> RemoteEntry {
    try call { state throws(SyncError) in try state.make(path) { SyncNode($0, .symlink, content: SyncContent(target), version: 1) } }
  }

  func setAttributes(_ entry: EntryID, executable: Bool, modified: Int64, ifVersion: Int64) async throws(SyncError) {
    try call { state throws(SyncError) in
      guard state.tree[.entry(entry)]?.version == ifVersion else { throw SyncError(.stale, "It has another version.") }
      state.tree.update(.entry(entry)) { ($0.executable, $0.modified) = (executable, modified) }
      state.record(.changed, .entry(entry))
    }
  }

  func delete(_ entries: [(id: EntryID, version: Int64?)]) async throws(SyncError) {
    try call { state throws(SyncError) in
      var after = state
      for (entry, version) in entries {
        let id = SyncNodeID.entry(entry)
        guard let node = after.tree[id], version == nil || node.version == version, !after.tree.hasChildren(id) else {
          throw SyncError(.stale, "It is not what it was.")
        }
        after.record(.deleted, id)
        after.tree.remove(id)
      }
      state = after
    }
  }
}
