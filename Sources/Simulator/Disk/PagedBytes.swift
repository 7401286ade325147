/// Bytes in pages of 4 KiB. Copies share their pages until one of them changes, so keeping several states of a file is cheap.
struct PagedBytes {
  static let pageBytes = 4096
  typealias Page = [UInt8]

  /// Nil is a page of zeros.
  private var pages: [Page?] = []
  private(set) var count = 0

  static let zeros = Page(repeating: 0, count: pageBytes)

  static func pages(of range: Range<Int>) -> Range<Int> {
    range.isEmpty
      ? range.lowerBound / pageBytes..<range.lowerBound / pageBytes
      : range.lowerBound / pageBytes..<(range.upperBound - 1) / pageBytes + 1
  }

  /// The page `index` as a whole; zeros behind the end.
  subscript(page index: Int) -> Page? {
    get { index < pages.count ? pages[index] : nil }
    set {
      if index >= pages.count {
        guard newValue != nil else { return }
        pages += [Page?](repeating: nil, count: index + 1 - pages.count)
      }
      pages[index] = newValue
    }
  }

  /// Sets the size. What is cut off is zeros when the file grows again.
  mutating func resize(to size: Int) {
    if size < count {
      let kept = (size + PagedBytes.pageBytes - 1) / PagedBytes.pageBytes
      if pages.count > kept { pages.removeSubrange(kept...) }
      let tail = size % PagedBytes.pageBytes
      if tail > 0, kept <= pages.count, var page = pages[kept - 1] {
        for index in tail..<PagedBytes.pageBytes { page[index] = 0 }
        pages[kept - 1] = page
      }
    }
    count = size
  }

  /// Forgets pages behind the end.
  mutating func trim() {
    let kept = (count + PagedBytes.pageBytes - 1) / PagedBytes.pageBytes
    if pages.count > kept { pages.removeSubrange(kept...) }
  }

  /// Fills `buffer` from `offset`; nothing behind the end is read.
  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int, page: (Int) -> Page?) -> Int {
    let wanted = offset..<max(offset, min(count, offset + buffer.count))
    for index in PagedBytes.pages(of: wanted) {
      let start = max(wanted.lowerBound, index * PagedBytes.pageBytes)
      let end = min(wanted.upperBound, (index + 1) * PagedBytes.pageBytes)
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[(start - offset)..<(end - offset)])
      if let page = page(index) {
        page.withUnsafeBytes { part.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[(start % 4096)..<(start % 4096 + end - start)])) }
      } else {
        part.initializeMemory(as: UInt8.self, repeating: 0)
      }
    }
    return wanted.count
  }
}
