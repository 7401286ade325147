package import BlockModel
package import ClusterLogic

/// Tells a thing that a device has set aside in the cluster for a moment from one that a device set aside and then left there.
///
/// A device that sets something aside gives it a name again in its next plan. One that died before it had noted so may not, and all others
/// take it for somebody's work in progress; after a while any of them may end it.
package struct AsideWatch: Sendable {
  /// Much longer than a device takes from one plan to the next; a device that takes longer still does its step again.
  package static let patience = Duration.seconds(60)
  private var since: [EntryID: (version: Int64, time: MonotonicTime)] = [:]

  package init() {}

  /// - Returns: those that have been set aside for longer than anybody needs, and how long until there may be another one; nil for never.
  package mutating func look(at remote: SyncTree, now: MonotonicTime) -> (abandoned: Set<EntryID>, wakeIn: Duration?) {
    var seen: [EntryID: (version: Int64, time: MonotonicTime)] = [:]
    var abandoned: Set<EntryID> = []
    var wakeIn: Duration?
    // In no order, for a folder's children in theirs would be sorted at each plan.
    remote.forEach { id, node in
      guard node.place.parent == remote.root, let entry = id.entry, ReservedName.isAside(node.place.name) else { return }
      let begin = since[entry].flatMap { $0.version == node.version ? $0.time : nil } ?? now
      seen[entry] = (node.version, begin)
      let left = Self.patience - (now - begin)
      if left <= .zero { abandoned.insert(entry) } else { wakeIn = min(wakeIn ?? left, left) }
    }
    since = seen
    return (abandoned, wakeIn)
  }
}
