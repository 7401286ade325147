package import ServiceAPI
internal import Synchronization

/// Joins requests of one caller that come while others of theirs are with the coordinator into one exchange, as a group commit joins
/// writes. Who has no more requests under way than there are exchanges waits for nobody.
///
/// What must hold: requests of different callers are never joined; each gets its own answer or problem; no more than `exchanges` exchanges
/// of a caller are under way at a time, and no more than `widest` requests travel in one. What waits is bounded by the requests that the
/// server has open.
package final class RequestJoiner<Item: Sendable, Answer: Sendable>: Sendable {
  package typealias Outcome = Result<Answer, Problem>
  /// Takes items to the coordinator and brings the outcome of each, in their order.
  package typealias Exchange = @Sendable ([Item]) async -> [Outcome]

  private struct Waiting: Sendable {
    var item: Item
    var exchange: Exchange
    var answer: CheckedContinuation<Outcome?, Never>
  }

  private struct Line {
    var underWay = 0
    var waiting: [Waiting] = []
  }

  private let exchanges: Int
  private let widest: Int
  private let lines = Mutex<[String: Line]>([:])

  /// - Parameters:
  ///   - exchanges: of one caller at a time, at least 1.
  ///   - widest: requests in one exchange, at least 1.
  package init(exchanges: Int, widest: Int) {
    precondition(exchanges > 0 && widest > 0, "something has to travel")
    self.exchanges = exchanges
    self.widest = widest
  }

  /// Requests that wait for an exchange to end.
  package var waitingCount: Int { lines.withLock { lines in lines.values.reduce(0) { $0 + $1.waiting.count } } }

  /// - Parameters:
  ///   - caller: whose requests may be joined: the same right to the same answers.
  ///   - exchange: called with this item alone or, for the first of several that waited, with all of them.
  package func perform(_ item: Item, of caller: String, _ exchange: @escaping Exchange) async throws(Problem) -> Answer {
    let joined: Outcome? = await withCheckedContinuation { answer in
      let begins = lines.withLock { lines in
        var line = lines[caller] ?? Line()
        defer { lines[caller] = line }
        guard line.underWay >= exchanges else {
          line.underWay += 1
          return true
        }
        line.waiting.append(Waiting(item: item, exchange: exchange, answer: answer))
        return false
      }
      if begins { answer.resume(returning: nil) }
    }
    if let joined { return try joined.get() }
    let outcomes = await exchange([item])
    goOn(caller)
    return try RequestJoiner.outcome(0, of: outcomes, count: 1).get()
  }

  /// An exchange has ended: those who waited take its place. They are not the task's whose exchange it was, whose client may go away.
  private func goOn(_ caller: String) {
    guard let next = next(caller) else { return }
    Task {
      var next: [Waiting]? = next
      while let group = next {
        let outcomes = await group[0].exchange(group.map(\.item))
        for (index, waiting) in group.enumerated() {
          waiting.answer.resume(returning: RequestJoiner.outcome(index, of: outcomes, count: group.count))
        }
        next = self.next(caller)
      }
    }
  }

  /// Those who go next; nil when nobody waits, and the exchange's place is free.
  private func next(_ caller: String) -> [Waiting]? {
    lines.withLock { lines in
      guard var line = lines[caller] else { return nil }
      let group = Array(line.waiting.prefix(widest))
      if group.isEmpty {
        line.underWay -= 1
      } else {
        line.waiting.removeFirst(group.count)
      }
      lines[caller] = line.underWay == 0 ? nil : line
      return group.isEmpty ? nil : group
    }
  }

  private static func outcome(_ index: Int, of outcomes: [Outcome], count: Int) -> Outcome {
    guard outcomes.count == count else {
      return .failure(Problem(.internalError, "The coordinator answered \(outcomes.count) requests of \(count)."))
    }
    return outcomes[index]
  }
}
