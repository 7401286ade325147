internal import BlockModel

/// A folder with all below it. The root itself is no node of it.
///
/// What must hold: two nodes are never at one place; where the tree folds case, places whose names differ in case alone are one. Parents
/// may be missing: a tree of what was last synced has gaps where one side moved on.
package struct SyncTree: Sendable {
  package let root: SyncNodeID
  /// Whether names that differ in upper and lower case alone are one name in it.
  package let foldsCase: Bool
  /// In a remote tree that folds case: where the cluster has what the tree shows under other names.
  package var heldPlaces: Set<SyncPlace> = []

  private struct Slot {
    var id: SyncNodeID
    /// Nil in a slot that is free.
    var node: SyncNode?
    /// Among what is in the same folder; `.max` at the ends.
    var next = UInt32.max
    var previous = UInt32.max
  }

  private var slots: [Slot] = []
  private var free: [UInt32] = []
  private var byID = SlotIndex()
  private var byPlace = SlotIndex()
  /// The first one in each folder.
  private var byFolder = SlotIndex()

  package init(root: SyncNodeID, foldsCase: Bool = false) {
    self.root = root
    self.foldsCase = foldsCase
  }

  private func key(_ name: String) -> String { foldsCase ? CaseFolding.key(name) : name }
  private func hash(_ place: SyncPlace) -> UInt32 { SlotIndex.hash(key(place.name), in: place.parent) }
  private func slot(_ id: SyncNodeID) -> Int? { slot(id, SlotIndex.hash(id)) }
  private func slot(_ id: SyncNodeID, _ hash: UInt32) -> Int? { byID.slot(hash) { slots[$0].id == id } }
  private func slot(_ place: SyncPlace, _ hash: UInt32) -> Int? {
    byPlace.slot(hash) { slot in
      guard let other = slots[slot].node?.place, other.parent == place.parent else { return false }
      return other.name == place.name || foldsCase && key(other.name) == key(place.name)
    }
  }
  private func firstSlot(in folder: SyncNodeID) -> Int? {
    byFolder.slot(SlotIndex.hash(folder)) { slots[$0].node?.place.parent == folder }
  }

  package var count: Int { byID.count }
  package subscript(_ id: SyncNodeID) -> SyncNode? { slot(id).flatMap { slots[$0].node } }
  /// Whether something may be put into it: the root, or a folder of the tree.
  package func hasFolder(_ id: SyncNodeID) -> Bool { id == root || self[id]?.kind == .folder }
  package var sortedIDs: [SyncNodeID] { slots.compactMap { $0.node == nil ? nil : $0.id }.sorted() }

  /// All nodes, in an order that the tree's history alone decides.
  package func forEach(_ body: (_ id: SyncNodeID, _ node: SyncNode) -> Void) {
    for slot in slots { if let node = slot.node { body(slot.id, node) } }
  }

  package func child(_ place: SyncPlace) -> SyncNodeID? { slot(place, hash(place)).map { slots[$0].id } }

  /// Nodes and free slots; what is given by `slotted` is less.
  var slotCount: Int { slots.count }
  /// What is at a place, and its number as long as nothing changes.
  func slotted(_ place: SyncPlace) -> (slot: Int, id: SyncNodeID, node: SyncNode)? { slotted(slot(place, hash(place))) }
  func slotted(_ id: SyncNodeID) -> (slot: Int, id: SyncNodeID, node: SyncNode)? { slotted(slot(id)) }
  private func slotted(_ number: Int?) -> (slot: Int, id: SyncNodeID, node: SyncNode)? {
    guard let number, let node = slots[number].node else { return nil }
    return (number, slots[number].id, node)
  }

  /// What is in a folder, in the order of names.
  package func children(of id: SyncNodeID) -> [SyncNodeID] {
    var children: [(key: String, id: SyncNodeID)] = []
    var next = firstSlot(in: id)
    while let number = next {
      let slot = slots[number]
      if let name = slot.node?.place.name { children.append((key(name), slot.id)) }
      next = slot.next == .max ? nil : Int(slot.next)
    }
    return children.sorted { $0.key < $1.key }.map(\.id)
  }

  package func hasChildren(_ id: SyncNodeID) -> Bool { firstSlot(in: id) != nil }

  // MARK: - Changing

  /// Puts a node where it says, in place of what the tree had under this id.
  package mutating func insert(_ id: SyncNodeID, _ node: SyncNode) {
    remove(id)
    let isFree = insertWhereFree(id, node)
    precondition(isFree, "two nodes are never at one place")
  }

  /// Puts a node that the tree does not have where it says, unless another one is there.
  mutating func insertWhereFree(_ id: SyncNodeID, _ node: SyncNode) -> Bool {
    precondition(id != root, "the root is no node")
    let placeHash = hash(node.place)
    guard slot(node.place, placeHash) == nil else { return false }
    var slot = Slot(id: id, node: node)
    let first = firstSlot(in: node.place.parent)
    if let first { slot.next = UInt32(first) }
    let number: Int
    if let reused = free.popLast() {
      number = Int(reused)
      slots[number] = slot
    } else {
      number = slots.count
      slots.append(slot)
    }
    if let first { slots[first].previous = UInt32(number) }
    byFolder.replace(first, by: number, SlotIndex.hash(node.place.parent))
    byID.insert(number, SlotIndex.hash(id))
    byPlace.insert(number, placeHash)
    return true
  }

  /// Takes one node out; what is in it stays, without a parent.
  package mutating func remove(_ id: SyncNodeID) {
    let idHash = SlotIndex.hash(id)
    guard let number = slot(id, idHash), let node = slots[number].node else { return }
    let (next, previous) = (slots[number].next, slots[number].previous)
    if next != .max { slots[Int(next)].previous = previous }
    if previous != .max {
      slots[Int(previous)].next = next
    } else {
      byFolder.replace(number, by: next == .max ? nil : Int(next), SlotIndex.hash(node.place.parent))
    }
    byID.remove(number, idHash)
    byPlace.remove(number, hash(node.place))
    slots[number].node = nil
    free.append(UInt32(number))
  }

  /// Takes a node out with all below it.
  package mutating func removeSubtree(_ id: SyncNodeID) {
    for child in children(of: id) { removeSubtree(child) }
    remove(id)
  }

  package mutating func update(_ id: SyncNodeID, _ change: (inout SyncNode) -> Void) {
    guard var node = self[id] else { return }
    change(&node)
    insert(id, node)
  }

  // MARK: - Paths

  /// The folders above a node from its parent up to the root; nil when one of them is missing.
  package func ancestors(of place: SyncPlace) -> [SyncNodeID]? {
    var above: [SyncNodeID] = []
    var current = place.parent
    while current != root {
      above.append(current)
      guard let node = self[current], above.count <= count else { return nil }
      current = node.place.parent
    }
    return above
  }

  /// Names from the root down; nil when a folder above is missing.
  package func names(of place: SyncPlace) -> [String]? {
    guard let above = ancestors(of: place) else { return nil }
    return above.reversed().compactMap { self[$0]?.place.name } + [place.name]
  }

  package func names(of id: SyncNodeID) -> [String]? {
    if id == root { return [] }
    return self[id].flatMap { names(of: $0.place) }
  }
}

/// Names that the agent uses while it works. They are never synced.
package enum ReservedName {
  /// Of files that are being downloaded, and of things that are out of the way for a moment.
  package static let prefix = ".cairn-part-"
  /// Ours, and those of other downloads, which put a part file beside its destination: never synced.
  package static func isReserved(_ name: String) -> Bool { name.hasPrefix(".") && name.contains(prefix) }
  /// The agent's own.
  package static func isOwn(_ name: String) -> Bool { name.hasPrefix(prefix) || name.hasPrefix("." + prefix) }
  package static func isAside(_ name: String) -> Bool { name.hasPrefix(prefix + "aside-") }
  static func aside(_ id: EntryID) -> String { prefix + "aside-" + id.hex }
}
