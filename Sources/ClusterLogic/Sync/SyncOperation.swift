package import BlockModel

/// One step towards three equal trees. Each names what it presumes; whoever does it looks again first, and leaves it when something else
/// is there by then.
package enum SyncOperation: Hashable, Sendable {
  // Bookkeeping in the synced tree alone.

  /// Both sides are equal: note it.
  case accept(EntryID)
  /// The local thing and the entry at the same place are the same: note it.
  case bind(local: Int, EntryID)
  /// What was deleted here was changed there, or is gone on both sides: not synced any more.
  case forget(EntryID)
  /// What was deleted there was changed here: from now on a new local thing.
  case unbind(EntryID)

  // Moves.

  case moveLocal(EntryID, to: SyncPlace)
  case moveRemote(EntryID, to: SyncPlace)
  /// As a move, to a reserved name in the root: what is in each other's way goes on from there.
  case setAsideLocal(EntryID, to: SyncPlace)
  case setAsideRemote(EntryID, to: SyncPlace)
  /// The local file gets the name of a conflicted copy and is a new one from then on; the remote one takes its place.
  case keepBoth(EntryID, name: String)
  /// Somebody else's file has the name: the local thing gets another.
  case renameLocal(SyncNodeID, name: String)

  // Making, carrying, deleting.

  case makeLocalFolder(EntryID)
  case makeRemoteFolder(Int)
  /// A file's bytes or a link's target, new or in place of the local one.
  case download(EntryID)
  case upload(SyncNodeID)
  /// Executable bit and time.
  case setLocalAttributes(EntryID)
  case setRemoteAttributes(EntryID)
  /// What is in a folder before the folder.
  case deleteLocal([EntryID])
  case deleteRemote([EntryID])
}

extension SyncOperation {
  /// Whether it changes nothing but the agent's own notes.
  package var isBookkeeping: Bool {
    switch self {
    case .accept, .bind, .forget, .unbind: true
    default: false
    }
  }

  /// Whether moves may wait for it.
  var makesWay: Bool {
    switch self {
    case .makeLocalFolder, .makeRemoteFolder, .deleteLocal, .deleteRemote: true
    default: false
    }
  }
}

/// Stops what looks like a disk that is not there rather than like a user who deletes.
package enum DeletionBreaker {
  package static let fewest = 100

  /// - Parameters:
  ///   - synced: files that were in step.
  ///   - gone: of these, the ones that one side does not have any more.
  package static func stops(synced: Int, gone: Int) -> Bool { gone >= fewest && gone * 2 > synced }

  /// Synced files that are missing on either side.
  package static func gone(remote: SyncTree, local: SyncTree, synced: SyncTree) -> (local: Int, remote: Int, synced: Int) {
    var counts = (local: 0, remote: 0, synced: 0)
    synced.forEach { id, node in
      guard node.kind == .file else { return }
      counts.synced += 1
      if local[id] == nil, remote[id] != nil { counts.local += 1 }
      if remote[id] == nil, local[id] != nil { counts.remote += 1 }
    }
    return counts
  }
}
