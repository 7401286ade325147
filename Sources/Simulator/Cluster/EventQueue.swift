internal import BlockModel

/// What is to happen, in the order of its time; of two things at the same time the one that was added first comes first.
struct EventQueue {
  private struct Item {
    var time: MonotonicTime
    var order: UInt64
    var body: () -> Void

    func isBefore(_ other: Item) -> Bool { (time, order) < (other.time, other.order) }
  }

  private var heap: [Item] = []
  private var nextOrder: UInt64 = 0

  var nextTime: MonotonicTime? { heap.first?.time }

  mutating func add(at time: MonotonicTime, _ body: @escaping () -> Void) {
    heap.append(Item(time: time, order: nextOrder, body: body))
    nextOrder += 1
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child].isBefore(heap[parent]) else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  mutating func take() -> (time: MonotonicTime, body: () -> Void)? {
    guard let first = heap.first else { return nil }
    let last = heap.removeLast()
    guard !heap.isEmpty else { return (first.time, first.body) }
    heap[0] = last
    var parent = 0
    while true {
      var least = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && heap[child].isBefore(heap[least]) { least = child }
      guard least != parent else { break }
      heap.swapAt(least, parent)
      parent = least
    }
    return (first.time, first.body)
  }

  mutating func clear() { heap = [] }
}
