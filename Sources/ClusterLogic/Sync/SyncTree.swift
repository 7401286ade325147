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
  private var firstChildren: [SyncNodeID: UInt32] = [:]

  package init(root: SyncNodeID, foldsCase: Bool = false) {
    self.root = root
    self.foldsCase = foldsCase
  }

  private func key(_ name: String) -> String { foldsCase ? CaseFolding.key(name) : name }
  private func hash(_ place: SyncPlace) -> UInt32 { SlotIndex.hash(place.parent, key(place.name)) }
  private func slot(_ id: SyncNodeID) -> Int? { byID.slot(SlotIndex.hash(id)) { slots[$0].id == id } }

  package var count: Int { byID.count }
  package subscript(_ id: SyncNodeID) -> SyncNode? { slot(id).flatMap { slots[$0].node } }
  /// Whether something may be put into it: the root, or a folder of the tree.
  package func hasFolder(_ id: SyncNodeID) -> Bool { id == root || self[id]?.kind == .folder }
  package var sortedIDs: [SyncNodeID] { slots.compactMap { $0.node == nil ? nil : $0.id }.sorted() }

  /// All nodes, in an order that the tree's history alone decides.
  package func forEach(_ body: (_ id: SyncNodeID, _ node: SyncNode) -> Void) {
    for slot in slots { if let node = slot.node { body(slot.id, node) } }
  }

  package func child(_ place: SyncPlace) -> SyncNodeID? {
    let key = key(place.name)
    let found = byPlace.slot(SlotIndex.hash(place.parent, key)) { slot in
      guard let other = slots[slot].node?.place, other.parent == place.parent else { return false }
      return self.key(other.name) == key
    }
    return found.map { slots[$0].id }
  }

  /// What is in a folder, in the order of names.
  package func children(of id: SyncNodeID) -> [SyncNodeID] {
    var children: [(key: String, id: SyncNodeID)] = []
    var next = firstChildren[id] ?? .max
    while next != .max {
      let slot = slots[Int(next)]
      if let name = slot.node?.place.name { children.append((key(name), slot.id)) }
      next = slot.next
    }
    return children.sorted { $0.key < $1.key }.map(\.id)
  }

  package func hasChildren(_ id: SyncNodeID) -> Bool { firstChildren[id] != nil }

  // MARK: - Changing

  /// Puts a node where it says, in place of what the tree had under this id.
  package mutating func insert(_ id: SyncNodeID, _ node: SyncNode) {
    precondition(id != root, "the root is no node")
    remove(id)
    precondition(child(node.place) == nil, "two nodes are never at one place")
    var slot = Slot(id: id, node: node)
    slot.next = firstChildren[node.place.parent] ?? .max
    let number: UInt32
    if let reused = free.popLast() {
      number = reused
      slots[Int(number)] = slot
    } else {
      number = UInt32(slots.count)
      slots.append(slot)
    }
    if slot.next != .max { slots[Int(slot.next)].previous = number }
    firstChildren[node.place.parent] = number
    byID.insert(Int(number), SlotIndex.hash(id))
    byPlace.insert(Int(number), hash(node.place))
  }

  /// Takes one node out; what is in it stays, without a parent.
  package mutating func remove(_ id: SyncNodeID) {
    guard let number = slot(id), let node = slots[number].node else { return }
    let (next, previous) = (slots[number].next, slots[number].previous)
    if next != .max { slots[Int(next)].previous = previous }
    if previous != .max { slots[Int(previous)].next = next } else { firstChildren[node.place.parent] = next == .max ? nil : next }
    byID.remove(number, SlotIndex.hash(id))
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
