import BlockModel
import ClusterLogic
import TestSupport
import Testing

@Suite("The lease of the jobs")
struct JobsLeaseTests {
  private static let length = Duration.seconds(10)
  private static func at(_ seconds: Int64) -> MonotonicTime { MonotonicTime(nanoseconds: seconds * 1_000_000_000) }

  @Test("a free lease is taken, held for its length from before the write, and renewed")
  func taking() {
    var lease = JobsLease(me: 7, length: Self.length)
    let free = JobsLeaseRow(holder: 0, beat: 4)
    let mine = JobsLeaseRow(holder: 7, beat: 5)
    #expect(lease.read(free, now: Self.at(1)) == .write(mine, expecting: free))
    #expect(!lease.isHeld(at: Self.at(1)))
    lease.wrote(mine, start: Self.at(2))
    #expect(lease.isHeld(at: Self.at(11)) && !lease.isHeld(at: Self.at(12)))
    #expect(lease.read(mine, now: Self.at(5)) == .write(JobsLeaseRow(holder: 7, beat: 6), expecting: mine))
    #expect(lease.release() == .write(JobsLeaseRow(holder: 0, beat: 6), expecting: mine))
    #expect(!lease.isHeld(at: Self.at(5)))
  }

  @Test("another's lease is taken only when it stood still for the whole length")
  func waiting() {
    var lease = JobsLease(me: 7, length: Self.length)
    let first = JobsLeaseRow(holder: 9, beat: 1)
    let second = JobsLeaseRow(holder: 9, beat: 2)
    #expect(lease.read(first, now: Self.at(0)) == .wait)
    #expect(lease.read(first, now: Self.at(9)) == .wait)
    #expect(lease.read(second, now: Self.at(10)) == .wait)
    #expect(lease.read(second, now: Self.at(19)) == .wait)
    #expect(lease.read(second, now: Self.at(20)) == .write(JobsLeaseRow(holder: 7, beat: 3), expecting: second))
    #expect(lease.release() == .wait)
  }

  @Test("a write whose answer got lost counts only after it was written anew; one that somebody overtook ends the term")
  func lost() {
    var lease = JobsLease(me: 7, length: Self.length)
    #expect(lease.read(JobsLeaseRow(holder: 7, beat: 3), now: Self.at(0)) != .wait)
    #expect(!lease.isHeld(at: Self.at(0)))
    lease.wrote(JobsLeaseRow(holder: 7, beat: 4), start: Self.at(0))
    #expect(lease.read(JobsLeaseRow(holder: 9, beat: 5), now: Self.at(1)) == .wait)
    #expect(!lease.isHeld(at: Self.at(1)))
  }

  /// Coordinators whose reads and writes take a random time, are lost, or are done although their answers are lost; some stand still for
  /// long. Time is the same for all here, but none of them uses more of it than differences.
  @Test("however late or lost the answers are, no two hold at once, and somebody holds again when the last one is gone", arguments: 0..<40)
  func exclusion(round: Int) {
    var random = Seeds.random("exclusion \(round)")
    var row = JobsLeaseRow(holder: 0, beat: 0)
    var leases = (1...3).map { JobsLease(me: UInt64($0), length: Self.length) }
    var busyUntil: [Int64] = [0, 0, 0]
    var pending: [(action: JobsLease.Action, start: Int64)?] = [nil, nil, nil]
    var terms = 0
    for second in Int64(0)..<3000 {
      for index in leases.indices where busyUntil[index] <= second {
        if let (action, start) = pending[index], case .write(let next, let expected) = action {
          pending[index] = nil
          if row == expected, Int.random(in: 0..<8, using: &random) != 0 {
            row = next
            // The answer of some writes that happened is lost.
            if Int.random(in: 0..<5, using: &random) != 0 { leases[index].wrote(next, start: Self.at(start)) }
            terms += 1
          }
        } else {
          let action = leases[index].read(row, now: Self.at(second))
          if action != .wait { pending[index] = (action, second) }
        }
        let isStopped = Int.random(in: 0..<100, using: &random) == 0
        busyUntil[index] = second + (isStopped ? 40 : Int64.random(in: 0...3, using: &random))
      }
      let holders = leases.indices.filter { leases[$0].isHeld(at: Self.at(second)) }
      #expect(holders.count <= 1, "at \(second) s \(holders) hold")
    }
    #expect(terms > 50)
  }
}
