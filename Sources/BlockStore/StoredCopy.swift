package import BlockModel

/// Where a copy lies on its disk, kept over restarts: the number of its segment, and its unit in it. New blocks lie behind older ones; what
/// compaction moves may lie anywhere.
package struct CopyPosition: Hashable, Comparable, Sendable {
  package var segment: UInt32
  package var unit: UInt32

  package init(segment: UInt32, unit: UInt32) {
    self.segment = segment
    self.unit = unit
  }

  /// Before every copy.
  package static let start = CopyPosition(segment: 0, unit: 0)

  /// The place before this one in its segment: what comes after that one includes what begins here.
  package var predecessor: CopyPosition { CopyPosition(segment: segment, unit: unit == 0 ? 0 : unit - 1) }

  var rawValue: UInt64 { UInt64(segment) << 32 | UInt64(unit) }
  init(rawValue: UInt64) { self.init(segment: UInt32(rawValue >> 32), unit: UInt32(truncatingIfNeeded: rawValue)) }

  package static func < (a: CopyPosition, b: CopyPosition) -> Bool { a.rawValue < b.rawValue }
}

/// One copy and its place.
package struct StoredCopy: Sendable, Equatable {
  package var block: BlockID
  package var position: CopyPosition
  /// Bytes of the record on the disk.
  package var recordBytes: Int
  package init(block: BlockID, position: CopyPosition, recordBytes: Int) {
    self.block = block
    self.position = position
    self.recordBytes = recordBytes
  }
}

/// Consecutive copies of a disk.
package struct CopyPage: Sendable, Equatable {
  /// In the order of their places.
  package var copies: [StoredCopy] = []
  /// Copies, and bytes of their records, from the first of these on to the end that was asked for.
  package var leftCopies = 0
  package var leftBytes: Int64 = 0
  package init() {}
}

/// What reading a copy back found.
package enum CopyCheck: Sendable, Equatable {
  case valid
  /// Deleted, replaced or set aside by somebody else meanwhile.
  case gone
  /// Fails its check: it was looked up again, read again past the page cache, and set aside.
  case rotten
  /// The disk cannot read it, though it can read others: it was set aside.
  case unreadable
}

/// The `count` smallest of many, in order, without sorting or keeping all: a heap with the largest on top.
struct Smallest<Element> {
  private var heap: [(key: UInt64, element: Element)] = []
  private let count: Int

  init(_ count: Int) {
    precondition(count > 0, "something is asked for")
    self.count = count
  }

  /// Keys from here on are not among the smallest; nil while all are.
  var bound: UInt64? { heap.count < count ? nil : heap[0].key }

  mutating func add(_ element: Element, key: UInt64) {
    if heap.count < count {
      heap.append((key, element))
      var child = heap.count - 1
      while child > 0, heap[(child - 1) / 2].key < heap[child].key {
        heap.swapAt(child, (child - 1) / 2)
        child = (child - 1) / 2
      }
    } else if key < heap[0].key {
      heap[0] = (key, element)
      sink()
    }
  }

  consuming func sorted() -> [Element] { heap.sorted { $0.key < $1.key }.map(\.element) }

  private mutating func sink() {
    var parent = 0
    while true {
      var largest = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].key > heap[largest].key { largest = child }
      guard largest != parent else { return }
      heap.swapAt(parent, largest)
      parent = largest
    }
  }
}
