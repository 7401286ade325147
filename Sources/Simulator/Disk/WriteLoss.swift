internal import BlockModel

/// Which of the changes that were on their way to a disk arrive when the power or the disk fails.
///
/// Every 512 bytes or every 4 KiB arrive as a whole or not at all, each for itself: so writes are dropped, reordered and torn. Sizes and
/// holes are in a journal and keep their order among themselves.
struct WriteLoss {
  enum Pattern {
    /// Each sector by itself.
    case sectors(keptPercent: UInt64)
    /// Writes as wholes.
    case writes(keptPercent: UInt64)
    /// What came first arrives, what came later does not; the one in between is torn.
    case prefix
    /// What came last arrives, what came first does not.
    case suffix
  }

  private let sectorBytes: Int
  private let pattern: Pattern
  private var random: SeededRandom
  private var attributesGoOn = true
  private var next = 0
  private var boundary = 0

  init(_ random: SeededRandom) {
    var random = random
    sectorBytes = random.next() % 2 == 0 ? 512 : 4096
    switch random.next() % 8 {
    case 0: pattern = .sectors(keptPercent: 0)
    case 1: pattern = .sectors(keptPercent: 100)
    case 2: pattern = .sectors(keptPercent: 50)
    case 3: pattern = .sectors(keptPercent: 95)
    case 4: pattern = .writes(keptPercent: 50)
    case 5: pattern = .writes(keptPercent: 85)
    case 6: pattern = .prefix
    default: pattern = .suffix
    }
    self.random = random
  }

  /// A file's changes follow.
  mutating func begin(changes: Int) {
    next = 0
    boundary = Int(random.next() % UInt64(changes + 1))
    attributesGoOn = true
  }

  /// What is on the device of a page that was `old` and is being made `new`.
  mutating func mixed(_ old: PagedBytes.Page?, _ new: PagedBytes.Page?) -> PagedBytes.Page? {
    defer { next += 1 }
    switch pattern {
    case .sectors(let percent): return torn(old, new, keptPercent: percent)
    case .writes(let percent): return random.next() % 100 < percent ? new : old
    case .prefix: return next == boundary ? torn(old, new, keptPercent: 50) : next < boundary ? new : old
    case .suffix: return next == boundary ? torn(old, new, keptPercent: 50) : next > boundary ? new : old
    }
  }

  /// Whether the next change of size or allocation arrives; none after the first that does not.
  mutating func keepsNextAttribute() -> Bool {
    defer { next += 1 }
    switch pattern {
    case .sectors(let percent), .writes(let percent): attributesGoOn = attributesGoOn && random.next() % 100 < percent
    case .prefix: attributesGoOn = attributesGoOn && next <= boundary
    case .suffix: attributesGoOn = attributesGoOn && random.next() % 2 == 0
    }
    return attributesGoOn
  }

  private mutating func torn(_ old: PagedBytes.Page?, _ new: PagedBytes.Page?, keptPercent: UInt64) -> PagedBytes.Page? {
    if keptPercent == 0 { return old }
    if keptPercent == 100 { return new }
    var page = old ?? PagedBytes.zeros
    let source = new ?? PagedBytes.zeros
    for start in stride(from: 0, to: PagedBytes.pageBytes, by: sectorBytes) where random.next() % 100 < keptPercent {
      page.replaceSubrange(start..<(start + sectorBytes), with: source[start..<(start + sectorBytes)])
    }
    return page
  }
}
