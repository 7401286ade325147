import BlockModel
import ServiceAPI
import Synchronization

/// A feed of one namespace that a test adds to, and the hints of it.
final class HintedFeed: Sendable {
  static let topic: Int64 = 7
  private let count = Mutex(0)

  func add() { count.withLock { $0 += 1 } }

  func page(after cursor: String?) -> ChangesPage {
    let count = count.withLock { $0 }
    let seen = min(cursor.flatMap { Int($0) } ?? 0, count)
    let changes = (seen..<count).map {
      Change(sequence: Int64($0), action: .created, entry: Samples.file(), oldPath: nil, at: Samples.moment)
    }
    return ChangesPage(changes: changes, cursor: String(count), hasMore: false, reset: false, topics: [Self.topic])
  }

  /// Answers at once, as a coordinator does whose wait is over.
  func hints(_ question: UserOperations.AwaitChanges) -> ChangeHints {
    let count = UInt64(count.withLock { $0 })
    let isNew = question.instance != nil && question.position < count
    return ChangeHints(instance: 1, position: count, namespaces: isNew ? [Self.topic] : [], wasMissed: false)
  }
}
