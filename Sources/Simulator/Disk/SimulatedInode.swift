internal import BlockModel

/// One simulated file, as the parties see it.
///
/// `disk` is what the device was told last: what reads past the page cache see. `cached` are pages of which the cache shows something
/// else, without being going to write it: what a failed sync lost, and what went bad behind a page that was read before. `durable` and
/// some of `pending` is what is there after the power failed.
struct SimulatedInode {
  /// What was done since the last sync, in order.
  enum Change {
    /// The whole page as the cache had it then; nil for zeros.
    case page(Int, PagedBytes.Page?)
    case size(Int)
    /// Pages that were given back.
    case punch(Range<Int>)
  }

  private(set) var disk = PagedBytes()
  private(set) var cached: [Int: PagedBytes.Page?] = [:]
  private(set) var durable = PagedBytes()
  private(set) var pending: [Change] = []
  /// What a page was before the sync that changed it last, for a device that goes back to it.
  private var former: [Int: PagedBytes.Page?] = [:]
  /// Pages that have space on the device.
  private var allocated: [Bool] = []
  private(set) var allocatedPages = 0
  /// Byte ranges that cannot be read.
  var unreadable: [Range<Int>] = []

  var size: Int { disk.count }

  // MARK: What a process does

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int, isDirect: Bool) -> Int {
    disk.read(into: buffer, at: offset) { page in
      if !isDirect, let cached = cached[page] { return cached }
      return disk[page: page]
    }
  }

  /// Pages that a write to `range` would newly take on the device.
  func newPages(in range: Range<Int>) -> Int {
    PagedBytes.pages(of: range).reduce(0) { $0 + ($1 < allocated.count && allocated[$1] ? 0 : 1) }
  }

  mutating func allocate(_ range: Range<Int>) {
    let pages = PagedBytes.pages(of: range)
    if allocated.count < pages.upperBound { allocated += [Bool](repeating: false, count: pages.upperBound - allocated.count) }
    for page in pages where !allocated[page] {
      allocated[page] = true
      allocatedPages += 1
    }
  }

  mutating func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
    let range = offset..<(offset + bytes.count)
    guard !range.isEmpty else { return }
    allocate(range)
    if range.upperBound > size { resize(to: range.upperBound) }
    for index in PagedBytes.pages(of: range) {
      let start = max(range.lowerBound, index * PagedBytes.pageBytes)
      let end = min(range.upperBound, (index + 1) * PagedBytes.pageBytes)
      let part = UnsafeRawBufferPointer(rebasing: bytes[(start - offset)..<(end - offset)])
      var page = part.count == PagedBytes.pageBytes ? PagedBytes.Page(part) : (cached[index] ?? disk[page: index]) ?? PagedBytes.zeros
      if part.count < PagedBytes.pageBytes {
        page.withUnsafeMutableBytes {
          UnsafeMutableRawBufferPointer(rebasing: $0[(start % PagedBytes.pageBytes)...].prefix(part.count)).copyMemory(from: part)
        }
      }
      put(page, at: index)
    }
  }

  mutating func punch(_ range: Range<Int>) {
    let whole =
      (range.lowerBound + PagedBytes.pageBytes - 1)
      / PagedBytes.pageBytes..<max(
        (range.lowerBound + PagedBytes.pageBytes - 1) / PagedBytes.pageBytes, range.upperBound / PagedBytes.pageBytes)
    for edge in [
      range.lowerBound..<min(range.upperBound, whole.lowerBound * PagedBytes.pageBytes),
      max(range.lowerBound, whole.upperBound * PagedBytes.pageBytes)..<range.upperBound,
    ] where edge.lowerBound < min(edge.upperBound, size) {
      let zeros = [UInt8](repeating: 0, count: min(edge.upperBound, size) - edge.lowerBound)
      zeros.withUnsafeBytes { write($0, at: edge.lowerBound) }
    }
    guard !whole.isEmpty else { return }
    for page in whole {
      disk[page: page] = nil
      cached[page] = nil
      if page < allocated.count, allocated[page] {
        allocated[page] = false
        allocatedPages -= 1
      }
    }
    pending.append(.punch(whole))
  }

  mutating func resize(to size: Int) {
    disk.resize(to: size)
    let kept = (size + PagedBytes.pageBytes - 1) / PagedBytes.pageBytes
    cached = cached.filter { $0.key < kept }
    for page in kept..<max(kept, allocated.count) where allocated[page] {
      allocated[page] = false
      allocatedPages -= 1
    }
    pending.append(.size(size))
  }

  /// A page that is written can be read again: the device puts it elsewhere.
  private mutating func put(_ page: PagedBytes.Page?, at index: Int) {
    if !unreadable.isEmpty {
      let (start, end) = (index * PagedBytes.pageBytes, (index + 1) * PagedBytes.pageBytes)
      unreadable = unreadable.flatMap { range in
        [
          range.lowerBound..<max(range.lowerBound, min(range.upperBound, start)),
          max(range.lowerBound, min(range.upperBound, end))..<range.upperBound,
        ]
      }.filter { !$0.isEmpty }
    }
    disk[page: index] = page
    cached[index] = nil
    pending.append(.page(index, page))
  }

  mutating func sync() {
    for case .page(let index, _) in pending { former[index] = .some(durable[page: index]) }
    durable = disk
    pending = []
  }

  // MARK: What goes wrong

  /// A sync that fails: some of what was not durable is lost. The cache goes on as if nothing had happened, and nobody will write it.
  mutating func failSync(_ loss: inout WriteLoss) {
    let shown = disk
    let touched = Set(pending.compactMap { if case .page(let page, _) = $0 { page } else { nil } }).sorted()
    lose(&loss, keepsSizes: true)
    disk = durable
    for page in touched where disk[page: page] != shown[page: page] { cached[page] = .some(shown[page: page]) }
  }

  /// The power fails.
  mutating func losePower(_ loss: inout WriteLoss) {
    lose(&loss, keepsSizes: false)
    disk = durable
    cached = [:]
  }

  /// The cache lets go of what it need not write.
  mutating func evict() { cached = [:] }

  private mutating func lose(_ loss: inout WriteLoss, keepsSizes: Bool) {
    loss.begin(changes: pending.count)
    for change in pending {
      switch change {
      case .page(let index, let page):
        let (old, new) = (durable[page: index], page)
        durable[page: index] = loss.mixed(old, new)
      case .size(let size): if keepsSizes || loss.keepsNextAttribute() { durable.resize(to: size) }
      case .punch(let pages): if loss.keepsNextAttribute() { for page in pages { durable[page: page] = nil } }
      }
    }
    if keepsSizes { durable.resize(to: disk.count) }
    durable.trim()
    pending = []
  }

  /// Changes bytes on the device without anybody having written them. `isCached`: the page is in the cache and stays good there.
  mutating func corrupt(page index: Int, isCached: Bool, _ body: (inout PagedBytes.Page) -> Void) {
    var page = disk[page: index] ?? PagedBytes.zeros
    if isCached, cached[index] == nil { cached[index] = .some(disk[page: index]) }
    body(&page)
    disk[page: index] = page
    durable[page: index] = page
  }

  /// What the page was before it was synced last; nil when it has only one past.
  func formerPage(_ index: Int) -> PagedBytes.Page?? { former[index] }
}
