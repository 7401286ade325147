/// A line in which those who ask for much wait behind themselves: the next one comes from each key in turn.
///
/// What must hold: after one key's turn, which is one element, or as many as the largest cost is worth, every other key that waits gets its
/// own, whoever came first; what one key gets in the long run is as much as any other that always waits, measured by cost; both the whole
/// line and each key's part of it have a bound.
///
/// Deficit round robin (Shreedhar and Varghese 1995) with a quantum of the largest cost, so each step is O(1).
package struct FairQueue<Key: Hashable & Sendable, Element: Sendable>: Sendable {
  private struct Lane: Sendable {
    var elements: [(cost: Int, element: Element)] = []
    var first = 0
    /// Cost that this lane may still take in this turn.
    var deficit = 0
    var count: Int { elements.count - first }
  }

  package let largestCost: Int
  private let bound: Int
  private let laneBound: Int
  private var lanes: [Key: Lane] = [:]
  /// The keys that wait, in the order of their turns, from `head` on.
  private var turns: [Key] = []
  private var head = 0
  package private(set) var count = 0

  /// - Parameters:
  ///   - bound: elements that may wait in all.
  ///   - laneBound: of one key.
  ///   - largestCost: what one element can cost at most.
  package init(bound: Int, laneBound: Int, largestCost: Int = 1) {
    precondition(bound > 0 && laneBound > 0 && largestCost > 0, "a queue takes something")
    self.bound = bound
    self.laneBound = laneBound
    self.largestCost = largestCost
  }

  /// False when the line, or the key's part of it, is full.
  package mutating func append(_ element: Element, of key: Key, cost: Int = 1) -> Bool {
    guard count < bound, (lanes[key]?.count ?? 0) < laneBound else { return false }
    if lanes[key] == nil {
      lanes[key] = Lane(deficit: largestCost)
      turns.append(key)
    }
    lanes[key]?.elements.append((min(max(1, cost), largestCost), element))
    count += 1
    return true
  }

  /// The next one; nil when nobody waits.
  package mutating func next() -> Element? {
    while head < turns.count {
      let key = turns[head]
      guard var lane = lanes[key] else { preconditionFailure("a turn without a lane") }
      let (cost, element) = lane.elements[lane.first]
      guard cost <= lane.deficit else {
        lane.deficit += largestCost
        lanes[key] = lane
        rotate()
        continue
      }
      lane.deficit -= cost
      lane.first += 1
      count -= 1
      if lane.count == 0 {
        // Who has nothing waiting saves nothing up.
        lanes[key] = nil
        dropTurn()
      } else {
        if lane.first >= 64, lane.first * 2 >= lane.elements.count {
          lane.elements.removeFirst(lane.first)
          lane.first = 0
        }
        lanes[key] = lane
      }
      return element
    }
    return nil
  }

  private mutating func rotate() {
    turns.append(turns[head])
    dropTurn()
  }

  private mutating func dropTurn() {
    head += 1
    if head >= 1024 || head == turns.count {
      turns.removeFirst(head)
      head = 0
    }
  }
}
