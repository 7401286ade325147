internal import BlockModel
package import ClusterLogic
package import Platform

/// Operations in words.
package enum SyncText {
  static func describe(_ operation: SyncOperation, _ run: SyncRun) -> String {
    func here(_ id: SyncNodeID) -> String { (try? run.path(id)) ?? there(id) }
    func there(_ id: SyncNodeID) -> String { run.remote.names(of: id)?.joined(separator: "/") ?? "\(id)" }
    switch operation {
    case .accept, .bind, .forget, .unbind: return "note \(operation.subject.map(here) ?? "")"
    case .moveLocal(let id, _): return "move here \(here(.entry(id))) to \(there(.entry(id)))"
    case .moveRemote(let id, _): return "move there \(there(.entry(id))) to \(here(.entry(id)))"
    case .setAsideLocal(let id, _), .setAsideRemote(let id, _): return "set aside \(here(.entry(id)))"
    case .keepBoth(let id, let name): return "keep both \(here(.entry(id))), the local one as \(name)"
    case .renameLocal(let id, let name): return "rename here \(here(id)) to \(name)"
    case .makeLocalFolder(let id): return "make here \(there(.entry(id)))/"
    case .makeRemoteFolder(let number): return "make there \(here(.new(number)))/"
    case .download(let id): return "download \(there(.entry(id)))"
    case .upload(let id): return "upload \(here(id))"
    case .setLocalAttributes(let id): return "set attributes here \(here(.entry(id)))"
    case .setRemoteAttributes(let id): return "set attributes there \(here(.entry(id)))"
    case .deleteLocal(let ids): return "delete here \(ids.last.map { here(.entry($0)) } ?? "") (\(ids.count))"
    case .deleteRemote(let ids): return "delete there \(ids.last.map { there(.entry($0)) } ?? "") (\(ids.count))"
    }
  }

  /// How many of what, a line a kind.
  package static func summary(_ operations: [SyncOperation]) -> [String] {
    var counts = (up: 0, down: 0, moved: 0, deleted: 0, folders: 0)
    for operation in operations {
      switch operation {
      case .upload: counts.up += 1
      case .download: counts.down += 1
      case .moveLocal, .moveRemote, .renameLocal, .keepBoth: counts.moved += 1
      case .deleteLocal(let ids), .deleteRemote(let ids): counts.deleted += ids.count
      case .makeLocalFolder, .makeRemoteFolder: counts.folders += 1
      default: break
      }
    }
    let words = [
      (counts.up, "uploaded"), (counts.down, "downloaded"), (counts.moved, "moved"), (counts.deleted, "deleted"),
      (counts.folders, counts.folders == 1 ? "folder made" : "folders made"),
    ]
    let line = words.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    return line.isEmpty ? [] : [line]
  }
}

/// Files that were put beside others because both sides had changed.
package enum ConflictedCopies {
  /// All below a folder, in the order of paths. Blocks.
  package static func below(_ folder: String) throws(FileError) -> [String] {
    var found: [String] = []
    var stack = [folder]
    while let path = stack.popLast() {
      for name in try Directory.list(path) {
        let item = path + "/" + name
        if ConflictNaming.isConflictedCopy(name) { found.append(item) }
        if try Directory.attributes(item)?.kind == .directory { stack.append(item) }
      }
    }
    return found.sorted()
  }
}
