package import BlockModel
package import ClusterLogic

/// What the agent remembers from one run to the next.
///
/// What must hold: it is never ahead of the local folder or of the cluster. A step is done and durable first and noted then; whatever was
/// done and not noted looks like both sides having done the same.
package struct SyncMemory: Sendable {
  package var remote: SyncTree
  package var synced: SyncTree
  /// Of what is synced, when it was last seen in step.
  package var identities: IdentityTable = [:]
  /// Hashes of files that are not in step yet, by path.
  package var hashes: [String: KnownHash] = [:]
  /// Where the remote folder is now.
  package var remotePath: String
  package var cursor: String?
  /// Whether the remote tree is whole: it was listed, and the feed was followed since.
  package var isListed = false
  package var rootIdentity: String?

  package struct KnownHash: Sendable, Equatable {
    package var identity: LocalIdentity
    package var content: SyncContent
    package init(identity: LocalIdentity, content: SyncContent) {
      self.identity = identity
      self.content = content
    }
  }

  package init(root: EntryID, remotePath: String) {
    remote = SyncTree(root: .entry(root))
    synced = SyncTree(root: .entry(root))
    self.remotePath = remotePath
  }

  /// What is in step takes the memory of one tree.
  private static func sharing(_ node: SyncNode, _ other: SyncNode?) -> SyncNode {
    if let other, other == node { other } else { node }
  }

  package mutating func apply(_ changes: [SyncChange]) {
    for change in changes {
      switch change {
      case .remote(let id, let node):
        if let node { remote.insert(.entry(id), Self.sharing(node, synced[.entry(id)])) } else { remote.remove(.entry(id)) }
      case .synced(let id, let node, let identity):
        if let node {
          synced.insert(.entry(id), Self.sharing(node, remote[.entry(id)]))
          identities[id] = identity
        } else {
          synced.remove(.entry(id))
          identities[id] = nil
        }
      case .hash(let path, let known): hashes[path] = known
      case .remoteCleared: remote = SyncTree(root: remote.root)
      case .followed(let cursor, let isListed, let path):
        self.cursor = cursor
        self.isListed = isListed
        remotePath = path
      case .rootIdentity(let identity): rootIdentity = identity
      }
    }
  }
}

/// One change of the memory.
package enum SyncChange: Sendable {
  case remote(EntryID, SyncNode?)
  case synced(EntryID, SyncNode?, LocalIdentity?)
  case hash(String, SyncMemory.KnownHash?)
  case remoteCleared
  case followed(cursor: String?, isListed: Bool, remotePath: String)
  case rootIdentity(String)
}

/// Where the memory is kept. Calls block.
package protocol SyncState: Sendable {
  /// Nil when nothing was kept yet.
  func load() throws(SyncError) -> SyncMemory?
  /// Begins anew, for a root.
  func begin(root: EntryID, remotePath: String) throws(SyncError)
  /// All of it is durable when it returns, or nothing.
  func apply(_ changes: [SyncChange]) throws(SyncError)
}
