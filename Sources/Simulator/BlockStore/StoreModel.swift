internal import BlockModel
internal import BlockStore

/// What a block store may show, judged by what was asked of it and what it answered: the reference that the real one is held against.
///
/// What must hold: an acknowledged operation has taken effect for good; one that is on its way has taken effect wholly or not at all,
/// and of several on one block those that were asked first come first; what was seen after a restart stays.
struct StoreModel {
  /// The GC epoch of a block that is there; nil for one that is not.
  typealias Presence = UInt64?

  enum Mutation {
    case append(epoch: UInt64)
    case raise(to: UInt64)
    case delete(below: UInt64)

    func applied(to state: Presence) -> Presence {
      switch self {
      case .append(let epoch): return max(state ?? 0, epoch)
      case .raise(let epoch): return state.map { max($0, epoch) }
      case .delete(let below): return state.flatMap { $0 < below ? nil : $0 }
      }
    }

    /// Whether a store may answer `changed` (for an append: that the block was new) when the block was in `state`.
    func allows(_ changed: Bool, from state: Presence) -> Bool {
      switch self {
      case .append: return changed == (state == nil)
      case .raise: return changed == (state != nil)
      case .delete(let below): return changed == (state.map { $0 < below } ?? false)
      }
    }
  }

  /// An operation that was asked for, in its place among those on the same block.
  private struct Asked {
    var number: Int
    var mutation: Mutation
    /// Nil while it is not answered, and for good after a failure that leaves open whether it took effect. Answers are heard in any order.
    var changed: Bool?

    /// What a block may be after it.
    func outcomes(of states: Set<Presence>) -> Set<Presence> {
      guard let changed else { return states.union(states.map { mutation.applied(to: $0) }) }
      return Set(states.filter { mutation.allows(changed, from: $0) }.map { mutation.applied(to: $0) })
    }
  }

  private struct Block {
    /// What it may be before what is on the way.
    var possible: Set<Presence> = [nil]
    /// In the order of asking; the first is one that was not answered.
    var onTheWay: [Asked] = []
    /// Something on the device that has to do with it was damaged: it may be gone, and old states may come back.
    /// The number is of the first operation that is asked for after that.
    var damagedBefore: Int?
    var isDamaged: Bool { damagedBefore != nil }
    /// Every state that it may have had since a store that was just opened showed one.
    var past: Set<Presence> = [nil]
    /// Every state that it ever may have had.
    var everBeen: Set<Presence> = [nil]
    var reads: [Int: Read] = [:]
  }

  /// A read that goes on.
  struct Read {
    /// What the block may have been since it began.
    var states: Set<Presence> = []
    /// A damaged copy may have been what it met.
    var metDamage = false
  }

  private var blocks = [Block](repeating: Block(), count: StoreContents.all.count)

  // MARK: What may be seen

  /// What the block may be now.
  func visible(_ content: Int) -> Set<Presence> {
    let block = blocks[content]
    // What comes before an answered operation is decided, though not everything may have been heard of it.
    let decided = block.onTheWay.lastIndex { $0.changed != nil }.map { $0 + 1 } ?? 0
    var states = block.isDamaged ? block.possible.union(block.everBeen) : block.possible
    // A reader that meets the damage sets the copy aside, between any two operations.
    let found: Set<Presence> = block.isDamaged ? [nil] : []
    for asked in block.onTheWay[..<decided] { states = asked.outcomes(of: states).union(found) }
    var visible = states
    for asked in block.onTheWay[decided...] {
      states = Set(states.map { asked.mutation.applied(to: $0) }).union(found)
      visible.formUnion(states)
    }
    return visible
  }

  /// - Parameter mayRise: the epoch may be one that was asked for and not acknowledged, though a lower one was seen: the epoch of a torn
  ///   copy counts for the older one that takes its place, which only keeps the block longer.
  func mayBe(_ state: Presence, _ content: Int, mayRise: Bool) -> Bool {
    let visible = visible(content)
    if visible.contains(state) { return true }
    guard blocks[content].everBeen.contains(state) else { return false }
    if blocks[content].isDamaged { return true }
    guard mayRise, let epoch = state else { return false }
    return visible.contains { $0 ?? .max < epoch }
  }

  func isDamaged(_ content: Int) -> Bool { blocks[content].isDamaged }
  /// Nothing on its way, and only one thing that it may be.
  func isCertain(_ content: Int) -> Bool { !blocks[content].isDamaged && visible(content).count == 1 }

  // MARK: What happens

  mutating func begin(_ mutation: Mutation, _ number: Int, on content: Int) {
    blocks[content].onTheWay.append(Asked(number: number, mutation: mutation))
    noticeReads(content)
  }

  /// The operation took effect; nil, or what is wrong with the answer.
  ///
  /// - Parameter changed: the answer; for an append, whether the block was new.
  mutating func succeed(_ number: Int, on content: Int, changed: Bool) -> String? {
    guard let place = blocks[content].onTheWay.firstIndex(where: { $0.number == number }) else { return "was answered twice" }
    blocks[content].onTheWay[place].changed = changed
    defer { noticeReads(content) }
    while let first = blocks[content].onTheWay.first, let changed = first.changed {
      blocks[content].onTheWay.removeFirst()
      if let fault = settle(first, changed, content) { return fault }
    }
    return nil
  }

  /// The first operation on the way has taken effect.
  private mutating func settle(_ asked: Asked, _ changed: Bool, _ content: Int) -> String? {
    var states = blocks[content].possible
    if blocks[content].isDamaged { states.formUnion(blocks[content].everBeen) }
    let fitting = states.filter { asked.mutation.allows(changed, from: $0) }
    blocks[content].possible = Set(fitting.map { asked.mutation.applied(to: $0) })
    remember(content, blocks[content].possible)
    // A copy that was asked for later has nothing to do with what was damaged.
    if case .append = asked.mutation, changed, let damaged = blocks[content].damagedBefore, asked.number >= damaged {
      blocks[content].damagedBefore = nil
    }
    return fitting.isEmpty ? "answered \(changed) though the block was \(StoreModel.text(states))" : nil
  }

  /// The operation was refused and had no effect.
  mutating func refuse(_ number: Int, on content: Int) {
    blocks[content].onTheWay.removeAll { $0.number == number }
    while let first = blocks[content].onTheWay.first, let changed = first.changed {
      blocks[content].onTheWay.removeFirst()
      _ = settle(first, changed, content)
    }
  }

  mutating func beginRead(_ number: Int, of content: Int) {
    blocks[content].reads[number] = Read(states: visible(content), metDamage: blocks[content].isDamaged)
  }

  /// What the read may have met.
  mutating func endRead(_ number: Int, of content: Int) -> Read { blocks[content].reads.removeValue(forKey: number) ?? Read() }

  /// The process or the machine stopped: nothing more is answered.
  ///
  /// - Parameter forgets: acknowledged operations may be lost too, back to what was seen after the last start.
  mutating func crash(forgets: Bool) {
    for content in blocks.indices {
      blocks[content].possible = visible(content)
      remember(content, blocks[content].possible)
      if forgets { blocks[content].possible = blocks[content].past }
      blocks[content].onTheWay = []
      blocks[content].reads = [:]
    }
  }

  /// A store that was just opened shows this. From now on it is so.
  mutating func see(_ state: Presence, _ content: Int) {
    blocks[content].past = [state]
    if !blocks[content].isDamaged { blocks[content].possible = [state] }
  }

  /// - Parameter number: of the first operation that will be asked for after this.
  mutating func damage(_ content: Int, before number: Int) {
    blocks[content].damagedBefore = number
    for read in blocks[content].reads.keys { blocks[content].reads[read]?.metDamage = true }
    remember(content, visible(content))
  }

  private mutating func remember(_ content: Int, _ states: Set<Presence>) {
    blocks[content].past.formUnion(states)
    blocks[content].everBeen.formUnion(states)
  }

  private mutating func noticeReads(_ content: Int) {
    guard !blocks[content].reads.isEmpty else { return }
    let visible = visible(content)
    for read in blocks[content].reads.keys { blocks[content].reads[read]?.states.formUnion(visible) }
  }

  static func text(_ states: Set<Presence>) -> String {
    let words = states.sorted { ($0 ?? 0, $0 == nil ? 0 : 1) < ($1 ?? 0, $1 == nil ? 0 : 1) }.map { $0.map { "epoch \($0)" } ?? "absent" }
    return words.isEmpty ? "nothing possible" : words.joined(separator: " or ")
  }
}
