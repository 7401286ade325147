package import BlockModel

/// How a tree looks in a folder whose file system does not tell upper from lower case.
///
/// The cluster keeps both of two names that differ in case alone. Such a folder cannot: the entry that was made first has its name there,
/// and each other one a name that only this device knows, until the names do not clash any more. Nothing is renamed in the cluster for it.
package enum CaseFolding {
  /// What two names have in common that such a file system takes for one.
  package static func key(_ name: String) -> String { name.lowercased() }

  /// The remote tree under names that the folder can hold.
  /// - Returns: the tree, and the entries that have another name in it than in the cluster.
  package static func adapted(_ remote: SyncTree) -> (tree: SyncTree, renamed: [SyncNodeID]) {
    var tree = SyncTree(root: remote.root, foldsCase: true)
    var clashing: [SyncNodeID] = []
    for id in remote.sortedIDs {
      guard let node = remote[id] else { continue }
      if tree.child(node.place) == nil { tree.insert(id, node) } else { clashing.append(id) }
    }
    for id in clashing {
      guard var node = remote[id] else { continue }
      tree.heldPlaces.insert(node.place)
      node.place = freePlace(node.place, in: tree)
      tree.insert(id, node)
    }
    return (tree, clashing)
  }

  /// What was last synced. Two that were synced at places which are one there cannot both be where they were said to be: all but the first
  /// wait at places of their own, as in `SyncPlanner.agreed`.
  /// - Returns: the tree, and the entries that wait.
  package static func synced(_ synced: SyncTree) -> (tree: SyncTree, waiting: [EntryID]) {
    var tree = SyncTree(root: synced.root, foldsCase: true)
    var waiting: [EntryID] = []
    for id in synced.sortedIDs {
      guard var node = synced[id] else { continue }
      if tree.child(node.place) != nil, let entry = id.entry {
        node.place = SyncPlace(synced.root, ReservedName.aside(entry))
        waiting.append(entry)
      }
      tree.insert(id, node)
    }
    return (tree, waiting)
  }

  private static func freePlace(_ place: SyncPlace, in tree: SyncTree) -> SyncPlace {
    var number = 1
    while true {
      let mark = number == 1 ? " (case clash)" : " (case clash \(number))"
      let candidate = SyncPlace(place.parent, MarkedName.make(place.name, mark))
      if tree.child(candidate) == nil { return candidate }
      number += 1
    }
  }
}
