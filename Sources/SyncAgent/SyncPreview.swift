internal import BlockModel
internal import ClusterLogic

/// What a dry run shows. A plan makes a folder and leaves what goes into it to the plans after it; here all of it is told at once.
enum SyncPreview {
  static func whole(_ plan: [SyncOperation], local: SyncTree, remote: SyncTree) -> [SyncOperation] {
    var told = Set(plan)
    var result: [SyncOperation] = []
    func tell(_ operation: SyncOperation) {
      if told.insert(operation).inserted { result.append(operation) }
    }
    for operation in plan {
      result.append(operation)
      switch operation {
      case .makeRemoteFolder(let number): below(.new(number), in: local) { tell(goingUp($0, $1)) }
      case .makeLocalFolder(let id): below(.entry(id), in: remote) { if let step = goingDown($0, $1, local) { tell(step) } }
      default: break
      }
    }
    return result
  }

  /// What is below a folder, folders before what is in them.
  private static func below(_ folder: SyncNodeID, in tree: SyncTree, _ body: (SyncNodeID, SyncNode) -> Void) {
    var stack = Array(tree.children(of: folder).reversed())
    while let id = stack.popLast() {
      guard let node = tree[id] else { continue }
      body(id, node)
      stack += tree.children(of: id).reversed()
    }
  }

  private static func goingUp(_ id: SyncNodeID, _ node: SyncNode) -> SyncOperation {
    switch id {
    case .new(let number) where node.kind == .folder: .makeRemoteFolder(number)
    case .new: .upload(id)
    // It was moved into the new folder.
    case .entry(let entry): .moveRemote(entry, to: node.place)
    }
  }

  private static func goingDown(_ id: SyncNodeID, _ node: SyncNode, _ local: SyncTree) -> SyncOperation? {
    guard let entry = id.entry else { return nil }
    if local[id] != nil { return .moveLocal(entry, to: node.place) }
    return node.kind == .folder ? .makeLocalFolder(entry) : .download(entry)
  }
}
