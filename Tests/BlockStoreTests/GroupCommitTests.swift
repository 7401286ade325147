import BlockModel
import BlockStore
import Testing

@Suite struct GroupCommitTests {
  typealias Commit = GroupCommit<Int, [Int]>

  private static func make(queued: Int = 100, operations: Int = 4, bytes: Int = 50, ahead: Int = 3) -> Commit {
    var limits = Commit.Limits()
    limits.queued = queued
    limits.batchOperations = operations
    limits.batchBytes = bytes
    limits.aheadBatches = ahead
    limits.backgroundBytes = 20
    limits.backgroundPatience = 2
    return Commit(limits: limits) { _ in 10 }
  }

  private static func expect(_ steps: [Step], _ commit: inout Commit, at place: SourceLocation = #_sourceLocation) {
    let taken = Step.take(&commit)
    #expect(taken == steps, sourceLocation: place)
  }

  @Test("an operation that comes alone is written and synced at once")
  func alone() {
    var commit = Self.make()
    #expect(commit.isIdle)
    let accepted = commit.submit(1)
    #expect(accepted)
    Self.expect([.write([1])], &commit)
    commit.wrote([1], bytes: 10, left: [])
    Self.expect([.sync([[1]])], &commit)
    commit.synced()
    Self.expect([], &commit)
    #expect(commit.isIdle)
  }

  @Test("operations that are submitted together go next to each other, and are refused together")
  func together() {
    var commit = Self.make(queued: 5)
    let accepted = [commit.submit([1, 2, 3]), commit.submit([4, 5, 6]), commit.submit([7, 8]), commit.submit(9)]
    #expect(accepted == [true, false, true, false])
    Self.expect([.write([1, 2, 3, 7])], &commit)
  }

  @Test("what comes during a sync is written meanwhile and synced together")
  func overlap() {
    var commit = Self.make()
    _ = commit.submit(1)
    _ = Step.take(&commit)
    commit.wrote([1], bytes: 10, left: [])
    Self.expect([.sync([[1]])], &commit)
    _ = commit.submit(2)
    Self.expect([.write([2])], &commit)
    for number in 3...8 { _ = commit.submit(number) }
    Self.expect([], &commit)
    commit.wrote([2], bytes: 10, left: [])
    Self.expect([.write([3, 4, 5, 6])], &commit)
    commit.wrote([3, 4], bytes: 20, left: [5, 6])
    Self.expect([.write([5, 6, 7, 8])], &commit)
    commit.synced()
    Self.expect([.sync([[2], [3, 4]])], &commit)
  }

  @Test("the background is written when nothing else is queued, a little at a time")
  func backgroundWhenIdle() {
    var commit = Self.make()
    let accepted = commit.submitBehind([1, 2, 3])
    #expect(accepted && !commit.isIdle)
    Self.expect([.write([1, 2])], &commit)
    _ = commit.submit(9)
    commit.wrote([1], bytes: 10, left: [2])
    Self.expect([.sync([[1]]), .write([9])], &commit)
    commit.wrote([9], bytes: 10, left: [])
    Self.expect([.write([2, 3])], &commit)
    commit.wrote([2, 3], bytes: 20, left: [])
    commit.synced()
    Self.expect([.sync([[9], [2, 3]])], &commit)
    commit.synced()
    #expect(commit.isIdle)
  }

  @Test("the background is never in front of others, and does not wait for ever")
  func backgroundBehind() {
    var commit = Self.make()
    _ = commit.submitBehind([100, 101, 102])
    for number in 1...20 { _ = commit.submit(number) }
    var writes: [[Int]] = []
    while !commit.isIdle {
      for step in Step.take(&commit) {
        switch step {
        case .write(let batch):
          writes.append(batch)
          commit.wrote(batch, bytes: 10 * batch.count, left: [])
        case .sync: commit.synced()
        }
      }
    }
    #expect(writes == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12, 100, 101], [13, 14, 15, 16], [17, 18, 19, 20], [102]])
  }

  @Test("the queue and what is written ahead are bounded, a batch too")
  func bounds() {
    var commit = Self.make(queued: 5, operations: 100, bytes: 25, ahead: 2)
    let accepted = (1...6).map { commit.submit($0) }
    #expect(accepted == [true, true, true, true, true, false])
    Self.expect([.write([1, 2])], &commit)
    commit.wrote([1, 2], bytes: 20, left: [])
    Self.expect([.sync([[1, 2]]), .write([3, 4])], &commit)
    commit.wrote([3, 4], bytes: 20, left: [])
    Self.expect([.write([5])], &commit)
    commit.wrote([5], bytes: 10, left: [])
    _ = commit.submit(6)
    // Two batches wait for the sync.
    Self.expect([], &commit)
    commit.synced()
    Self.expect([.sync([[3, 4], [5]]), .write([6])], &commit)
  }

  @Test(
    "whatever happens, operations are synced in order, once, with one write and one sync at a time",
    arguments: 1...20 as ClosedRange<UInt64>)
  func order(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var commit = Self.make(queued: 12)
    var (next, synced) = (0, [Int]())
    var writing: [Int]?
    var syncing: [[Int]]?
    for _ in 0..<3000 {
      switch random.next() % 3 {
      case 0: if commit.submit(next) { next += 1 }
      case 1:
        guard let batch = writing else { continue }
        let taken = 1 + Int(random.next() % UInt64(batch.count))
        writing = nil
        commit.wrote(Array(batch[..<taken]), bytes: 10 * taken, left: Array(batch[taken...]))
      default:
        guard let batches = syncing else { continue }
        synced += batches.joined()
        syncing = nil
        commit.synced()
      }
      for step in Step.take(&commit) {
        switch step {
        case .write(let batch):
          #expect(writing == nil && !batch.isEmpty)
          writing = batch
        case .sync(let batches):
          #expect(syncing == nil && !batches.isEmpty)
          syncing = batches
        }
      }
    }
    #expect(synced == Array(0..<synced.count) && synced.count > 200, "seed \(seed)")
  }

  enum Step: Equatable {
    case write([Int])
    case sync([[Int]])

    static func take(_ commit: inout Commit) -> [Step] {
      commit.effects().map { effect in
        switch effect {
        case .write(let operations): return .write(operations)
        case .sync(let batches): return .sync(batches)
        }
      }
    }
  }
}
