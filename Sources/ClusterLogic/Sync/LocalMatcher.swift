internal import BlockModel

/// One thing that a scan of the local folder found.
package struct ScannedItem: Sendable {
  /// Place of its folder in the scan; -1 is the root. A folder comes before what is in it.
  package var parent: Int
  package var name: String
  package var kind: SyncNode.Kind
  package var identity: LocalIdentity
  package var executable: Bool
  /// Content hash or target; nil while somebody writes to it.
  package var content: SyncContent?
  /// Something in it is not synced.
  package var holdsUntracked: Bool

  package init(
    parent: Int, name: String, kind: SyncNode.Kind, identity: LocalIdentity, executable: Bool = false, content: SyncContent?,
    holdsUntracked: Bool = false
  ) {
    self.parent = parent
    self.name = name
    self.kind = kind
    self.identity = identity
    self.executable = executable
    self.content = content
    self.holdsUntracked = holdsUntracked
  }
}

/// Where in a scan things are.
package struct ScanPlaces: Sendable {
  private var ids: [SyncNodeID?] = []
  private var index = SlotIndex()

  package init() {}

  /// Of what is in the tree; nil for anything else.
  package subscript(_ id: SyncNodeID) -> Int? { index.slot(SlotIndex.hash(id)) { ids[$0] == id } }
  /// Whether what is at a place of the scan is in the tree.
  package func isTaken(_ place: Int) -> Bool { place < ids.count && ids[place] != nil }

  /// - Parameter id: nil for what is not in the tree. Called for all places in turn.
  mutating func append(_ id: SyncNodeID?) {
    if let id { index.insert(ids.count, SlotIndex.hash(id)) }
    ids.append(id)
  }
}

/// Finds out which scanned thing is which synced entry.
///
/// What must hold: what is where its entry was is that entry, also when an editor replaced the file, unless it is another synced thing that
/// was moved there. What was moved is found by its inode, and a file then has to be unchanged. So a mistaken match of inodes mixes up
/// histories at worst, and loses nothing.
package struct LocalMatcher {
  private let items: [ScannedItem]
  private let synced: SyncTree
  private let identities: IdentityTable
  /// The items by their folders, and where those of each folder begin, the root's first.
  private var byFolder: [Int32]
  private var starts: [Int32]
  private var ids: [SyncNodeID?]
  /// By the slots of what was last synced.
  private var taken: [Bool]

  /// - Parameter identities: of the local files and folders when they were last in step.
  /// - Returns: the local tree, where what is new is called by its place in the scan, and everything's place in the scan.
  package static func match(
    _ items: [ScannedItem], synced: SyncTree, identities: IdentityTable
  ) -> (tree: SyncTree, places: ScanPlaces) {
    var matcher = LocalMatcher(items, synced, identities)
    return matcher.match()
  }

  private init(_ items: [ScannedItem], _ synced: SyncTree, _ identities: IdentityTable) {
    self.items = items
    self.synced = synced
    self.identities = identities
    ids = Array(repeating: nil, count: items.count)
    taken = Array(repeating: false, count: synced.slotCount)
    starts = Array(repeating: 0, count: items.count + 2)
    for (index, item) in items.enumerated() {
      precondition(item.parent < index, "a folder comes before what is in it")
      starts[item.parent + 2] += 1
    }
    for folder in 1..<starts.count { starts[folder] += starts[folder - 1] }
    byFolder = Array(repeating: 0, count: items.count)
    var filled = starts
    for (index, item) in items.enumerated() {
      byFolder[Int(filled[item.parent + 1])] = Int32(index)
      filled[item.parent + 1] += 1
    }
  }

  private func children(of index: Int) -> ArraySlice<Int32> { byFolder[Int(starts[index + 1])..<Int(starts[index + 2])] }
  private typealias Slotted = (slot: Int, id: SyncNodeID, node: SyncNode)

  private func synced(withInode inode: UInt64) -> Slotted? {
    identities.entry(withInode: inode).flatMap { synced.slotted(.entry($0)) }
  }

  /// Whether an item is this entry with another name at most.
  private func isUntouched(_ item: ScannedItem, _ was: Slotted) -> Bool {
    guard was.node.kind == item.kind, let identity = was.id.entry.flatMap({ identities[$0] }) else { return false }
    switch item.kind {
    case .folder: return item.identity.inode == identity.inode
    case .file: return item.identity.isMoved(from: identity)
    case .symlink: return item.identity.inode == identity.inode && was.node.content == item.content
    }
  }

  private mutating func match() -> (tree: SyncTree, places: ScanPlaces) {
    matchByPlace(below: -1, synced.root)
    matchByIdentity()
    var tree = SyncTree(root: synced.root, foldsCase: synced.foldsCase)
    var places = ScanPlaces()
    var isLeftOut = Array(repeating: false, count: items.count)
    for (index, item) in items.enumerated() {
      let isNobodys = ids[index] == nil && ReservedName.isReserved(item.name) && !ReservedName.isAside(item.name)
      isLeftOut[index] = (item.parent >= 0 && isLeftOut[item.parent]) || isNobodys
      let id = ids[index] ?? .new(index)
      // Two spellings of one name: the first counts, the other is flagged by whoever scanned.
      places.append(!isLeftOut[index] && tree.insertWhereFree(id, node(of: item, ids[index])) ? id : nil)
    }
    return (tree, places)
  }

  /// What is as it was last synced shares that one's memory.
  private func node(of item: ScannedItem, _ id: SyncNodeID?) -> SyncNode {
    let place = SyncPlace(item.parent < 0 ? synced.root : ids[item.parent] ?? .new(item.parent), item.name)
    let isFile = item.kind == .file
    let (executable, modified, size) = isFile ? (item.executable, item.identity.modified, item.identity.size) : (false, 0, 0)
    if let id, let was = synced[id], was.kind == item.kind, was.content == item.content, was.executable == executable,
      was.modified == modified, was.size == size, was.holdsUntracked == item.holdsUntracked, was.place == place
    {
      return was
    }
    return SyncNode(
      place, item.kind, content: item.content, executable: executable, modified: modified, size: size, holdsUntracked: item.holdsUntracked)
  }

  private mutating func matchByPlace(below index: Int, _ folder: SyncNodeID) {
    for child in children(of: index).lazy.map(Int.init) {
      let item = items[child]
      guard ids[child] == nil, let was = synced.slotted(SyncPlace(folder, item.name)), !taken[was.slot], was.node.kind == item.kind,
        item.kind != .symlink || was.node.content == item.content
      else { continue }
      if !isUntouched(item, was), let other = synced(withInode: item.identity.inode), other.id != was.id, !taken[other.slot],
        isUntouched(item, other)
      {
        continue
      }
      assign(child, was)
    }
  }

  private mutating func assign(_ index: Int, _ was: Slotted) {
    ids[index] = was.id
    taken[was.slot] = true
    if items[index].kind == .folder { matchByPlace(below: index, was.id) }
  }

  private mutating func matchByIdentity() {
    for (index, item) in items.enumerated() where ids[index] == nil {
      if let was = synced(withInode: item.identity.inode), !taken[was.slot], isUntouched(item, was) { assign(index, was) }
    }
    // What was passed over for another entry that was found elsewhere after all.
    matchByPlace(below: -1, synced.root)
    for (index, item) in items.enumerated() where item.kind == .folder {
      if let id = ids[index] { matchByPlace(below: index, id) }
    }
  }
}
