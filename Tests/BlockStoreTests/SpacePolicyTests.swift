import BlockStore
import Testing

/// What decides about space: values, without a disk.
@Suite struct SpacePolicyTests {
  @Test(
    "a disk's level follows the watermarks",
    arguments: [
      (1000, 1000, .normal), (1000, 151, .normal), (1000, 150, .warning), (1000, 101, .warning), (1000, 100, .noCopies),
      (1000, 51, .noCopies),
      (1000, 50, .noBlocks), (1000, 0, .noBlocks), (0, 0, .noBlocks), (7, 7, .normal), (.max / 2, .max / 2, .normal),
      (.max / 2, 0, .noBlocks),
    ] as [(Int64, Int64, SpaceLevel)])
  func levels(capacity: Int64, free: Int64, expected: SpaceLevel) {
    #expect(Watermarks().level(capacityBytes: capacity, freeBytes: free) == expected)
  }

  @Test("what blocks never take is where the last watermark stands")
  func kept() {
    for capacity in [0, 1, 999, 1000, 1 << 20, 1 << 50] as [Int64] {
      let kept = Watermarks().keptBytes(capacityBytes: capacity)
      #expect(kept <= capacity / 20 && kept >= capacity / 20 - 1)
      #expect(Watermarks().level(capacityBytes: capacity, freeBytes: kept) == .noBlocks)
      if capacity > 1000 { #expect(Watermarks().level(capacityBytes: capacity, freeBytes: kept + 1) == .noCopies) }
    }
  }

  private static func candidate(_ slot: UInt32, _ live: Int64, of occupied: Int64 = 1000) -> CompactionPolicy.Candidate {
    CompactionPolicy.Candidate(slot: slot, occupiedBytes: occupied << 20, liveBytes: live << 20)
  }

  @Test(
    "the least live segment is compacted, if it is dead enough for how full the disk is, and fits",
    arguments: [
      ([(1, 400), (2, 300), (3, 500)], .normal, 1000, 2), ([(1, 501), (2, 700)], .normal, 1000, nil),
      ([(1, 501), (2, 600)], .warning, 1000, 1),
      ([(1, 700)], .warning, 1000, nil), ([(1, 800)], .noCopies, 1000, 1), ([(1, 940)], .noBlocks, 1000, 1),
      ([(1, 1000)], .noBlocks, 1000, nil),
      ([(1, 300), (2, 200)], .normal, 100, nil), ([(1, 300), (2, 200)], .normal, 250, 2), ([(1, 0)], .normal, 0, 1),
      ([], .noBlocks, 1000, nil),
      ([(1, 300), (2, 300)], .normal, 1000, 1),
    ] as [([(UInt32, Int64)], SpaceLevel, Int64, UInt32?)])
  func choice(segments: [(UInt32, Int64)], level: SpaceLevel, room: Int64, expected: UInt32?) {
    let chosen = CompactionPolicy().choose(segments.map { Self.candidate($0.0, $0.1) }, level: level, roomBytes: room << 20)
    #expect(chosen?.slot == expected)
  }

  @Test("a segment that gives next to nothing back is left alone, unless it is empty")
  func leastGain() {
    let small = CompactionPolicy.Candidate(slot: 1, occupiedBytes: 200 << 10, liveBytes: 10 << 10)
    let empty = CompactionPolicy.Candidate(slot: 2, occupiedBytes: 4096, liveBytes: 0)
    #expect(CompactionPolicy().choose([small], level: .noBlocks, roomBytes: .max) == nil)
    #expect(CompactionPolicy().choose([small, empty], level: .normal, roomBytes: .max) == empty)
  }

  @Test("compaction keeps to its rate, hurries on a full disk, and rests when there is nothing to do")
  func pace() {
    var pace = CompactionPace()
    (pace.bytesPerSecond, pace.urgentBytesPerSecond) = (10 << 20, 100 << 20)
    #expect(pace.rest(after: 10 << 20, took: .milliseconds(200), level: .warning) == .milliseconds(800))
    #expect(pace.rest(after: 10 << 20, took: .milliseconds(40), level: .noCopies) == .milliseconds(60))
    #expect(pace.rest(after: 10 << 20, took: .seconds(3), level: .normal) == .zero)
    #expect(pace.rest(after: nil, took: .seconds(3), level: .noBlocks) == pace.idle)
    #expect(pace.rest(after: 0, took: .zero, level: .normal) == .zero)
  }
}
