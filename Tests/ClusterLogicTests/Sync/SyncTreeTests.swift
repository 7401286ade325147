import BlockModel
import ClusterLogic
import TestSupport
import Testing

/// The tree and the table of identities against the plainest thing that does the same.
@Suite("Trees of the sync agent")
struct SyncTreeTests {
  private static let root = SyncNodeID.entry(EntryID(high: 9, low: 9))

  private static func id(_ number: Int) -> SyncNodeID {
    number % 5 == 0 ? .new(number) : .entry(EntryID(high: UInt64(number % 3), low: UInt64(number)))
  }

  /// Of one with a smaller number, so that nothing ends up in itself.
  private static func parent(of number: Int, _ random: inout SeededRandom) -> SyncNodeID {
    number == 0 || Int.random(in: 0..<4, using: &random) == 0 ? root : id(Int.random(in: 0..<min(number, 40), using: &random))
  }

  @Test("whatever is put in, moved and taken out, in whatever order, a tree says what a list of its nodes says", arguments: [false, true])
  func agreesWithList(foldsCase: Bool) {
    var random = Seeds.random()
    var tree = SyncTree(root: Self.root, foldsCase: foldsCase)
    var list: [SyncNodeID: SyncNode] = [:]
    func key(_ place: SyncPlace) -> SyncPlace { foldsCase ? SyncPlace(place.parent, place.name.lowercased()) : place }
    func occupant(_ place: SyncPlace) -> SyncNodeID? { list.first { key($0.value.place) == key(place) }?.key }
    // Composed and decomposed, the last two are one name.
    let names = ["a", "A", "b", "a rather long name of something", "\u{e9}", "e\u{301}"]
    for step in 0..<20_000 {
      let number = Int.random(in: 0..<120, using: &random)
      let id = Self.id(number)
      let place = SyncPlace(Self.parent(of: number, &random), names.randomElement(using: &random) ?? "a")
      switch Int.random(in: 0..<8, using: &random) {
      case 0...3:
        guard occupant(place).map({ $0 == id }) ?? true else { continue }
        let node = SyncNode(place, .file, content: SyncContent("\(step)"), version: Int64(step))
        tree.insert(id, node)
        list[id] = node
      case 4:
        tree.update(id) { $0.size += 1 }
        list[id]?.size += 1
      case 5:
        tree.removeSubtree(id)
        var gone = [id]
        while let next = gone.popLast() {
          list[next] = nil
          gone += list.filter { $0.value.place.parent == next }.map(\.key)
        }
      default:
        tree.remove(id)
        list[id] = nil
      }
      #expect(tree.count == list.count && tree[id] == list[id] && tree.child(place) == occupant(place))
      guard step % 100 == 0 else { continue }
      #expect(tree.sortedIDs == list.keys.sorted())
      for number in 0..<120 {
        let folder = Self.id(number)
        #expect(tree[folder] == list[folder])
        let children = Set(list.filter { $0.value.place.parent == folder }.map(\.key))
        #expect(Set(tree.children(of: folder)) == children && tree.hasChildren(folder) == !children.isEmpty)
      }
      var seen: [SyncNodeID: SyncNode] = [:]
      tree.forEach { id, node in #expect(seen.updateValue(node, forKey: id) == nil) }
      #expect(seen == list)
    }
  }

  @Test("children come in the order of their names")
  func sortsChildren() {
    var tree = SyncTree(root: Self.root)
    for (number, name) in ["c", "a", "b"].enumerated() { tree.insert(.new(number), SyncNode(SyncPlace(Self.root, name), .file)) }
    #expect(tree.children(of: Self.root) == [.new(1), .new(2), .new(0)])
  }

  @Test("a copy of a node keeps what it had when the other one is changed")
  func keepsCopies() {
    var node = SyncNode(SyncPlace(Self.root, "a"), .file, content: "x", size: 1)
    let copy = node
    node.size = 2
    node.place.name = "b"
    #expect(copy.size == 1 && copy.place.name == "a" && node.size == 2 && node.place.name == "b")
    #expect(copy != node)
  }

  @Test("a content is what it was made of, a hash or not")
  func keepsText() {
    let hash = String(repeating: "0123456789abcdef", count: 4)
    for text in ["", "../elsewhere", hash, hash.uppercased(), hash + "0"] { #expect(SyncContent(text).text == text) }
    #expect(SyncContent(hash) != SyncContent(hash.uppercased()))
  }

  @Test("the table of identities finds by entry and by inode what a dictionary has")
  func findsIdentities() {
    var random = Seeds.random()
    var table: IdentityTable = [:]
    var plain: [EntryID: LocalIdentity] = [:]
    for step in 0..<20_000 {
      let entry = EntryID(high: 0, low: UInt64.random(in: 0..<200, using: &random))
      let inode = UInt64.random(in: 0..<150, using: &random)
      if Int.random(in: 0..<3, using: &random) == 0 {
        (table[entry], plain[entry]) = (nil, nil)
      } else {
        let identity = LocalIdentity(inode: inode, size: Int64(step % 7), modified: 0, changed: Int64(step % 3))
        (table[entry], plain[entry]) = (identity, identity)
        let same = plain.filter { $0.value == identity }.keys.max()
        #expect(table.entry(with: identity) == same)
      }
      #expect(table[entry] == plain[entry] && table.count == plain.count)
      #expect(table.entry(withInode: inode) == plain.filter { $0.value.inode == inode }.keys.max())
    }
  }
}
