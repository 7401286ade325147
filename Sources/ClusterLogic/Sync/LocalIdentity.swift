package import BlockModel

/// What tells one state of a local file from another without reading it. The number of the file system is left out: it changes when disks
/// are plugged in anew, and a folder is synced within one.
package struct LocalIdentity: Hashable, Sendable {
  package var inode: UInt64
  package var size: Int64
  /// Nanoseconds since 1970.
  package var modified: Int64
  /// Of the last change of anything about it, in nanoseconds since 1970.
  package var changed: Int64

  package init(inode: UInt64, size: Int64, modified: Int64, changed: Int64) {
    self.inode = inode
    self.size = size
    self.modified = modified
    self.changed = changed
  }

  /// Whether it can be the same file with another name: renaming changes neither size nor time.
  func isMoved(from other: LocalIdentity) -> Bool { inode == other.inode && size == other.size && modified == other.modified }
}

/// The local files and folders of entries as they were when they were last in step, to be found by entry and by inode.
package struct IdentityTable: Sendable, ExpressibleByDictionaryLiteral {
  private struct Row {
    var entry: EntryID
    var identity: LocalIdentity
  }

  /// In no order: the last row takes the place of one that goes.
  private var rows: [Row] = []
  private var byEntry = SlotIndex()
  private var byInode = SlotIndex()

  package init(dictionaryLiteral elements: (EntryID, LocalIdentity)...) {
    for (entry, identity) in elements { self[entry] = identity }
  }

  package var count: Int { rows.count }

  private func row(_ entry: EntryID) -> Int? { byEntry.slot(SlotIndex.hash(entry)) { rows[$0].entry == entry } }

  package subscript(_ entry: EntryID) -> LocalIdentity? {
    get { row(entry).map { rows[$0].identity } }
    set {
      if let old = row(entry) { remove(old) }
      guard let newValue else { return }
      rows.append(Row(entry: entry, identity: newValue))
      index(rows.count - 1)
    }
  }

  /// The entry that has this inode; of several, as hard links are, the greatest.
  package func entry(withInode inode: UInt64) -> EntryID? { entry(withInode: inode) { _ in true } }
  /// The entry that was just this; of several the greatest.
  package func entry(with identity: LocalIdentity) -> EntryID? { entry(withInode: identity.inode) { $0 == identity } }

  private func entry(withInode inode: UInt64, where isMeant: (LocalIdentity) -> Bool) -> EntryID? {
    var found: EntryID?
    _ = byInode.slot(SlotIndex.hash(inode)) { place in
      let row = rows[place]
      if row.identity.inode == inode, isMeant(row.identity) { found = found.map { max($0, row.entry) } ?? row.entry }
      return false
    }
    return found
  }

  private mutating func index(_ place: Int) {
    byEntry.insert(place, SlotIndex.hash(rows[place].entry))
    byInode.insert(place, SlotIndex.hash(rows[place].identity.inode))
  }

  private mutating func unindex(_ place: Int) {
    byEntry.remove(place, SlotIndex.hash(rows[place].entry))
    byInode.remove(place, SlotIndex.hash(rows[place].identity.inode))
  }

  private mutating func remove(_ place: Int) {
    let last = rows.count - 1
    unindex(place)
    if place != last {
      unindex(last)
      rows[place] = rows[last]
    }
    rows.removeLast()
    if place != last { index(place) }
  }
}
