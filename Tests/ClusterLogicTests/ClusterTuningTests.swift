import ClusterLogic
import Testing

@Suite struct ClusterTuningTests {
  private static let present: [ClusterTuning.Value] = [
    .init(key: .suspectAfter, value: 10), .init(key: .outAfter, value: 600), .init(key: .repairRate, value: 1 << 28),
  ]

  @Test("values within their range are taken, others name their key", arguments: ClusterTuning.Key.allCases)
  func ranges(key: ClusterTuning.Key) throws {
    for value in [key.range.lowerBound - 1, key.range.upperBound + 1, 0, -1] {
      #expect(throws: ClusterTuning.Refusal.outOfRange(key)) { try ClusterTuning.check(.init(key: key, value: value), among: []) }
    }
    for value in [key.range.lowerBound, key.range.upperBound] { try ClusterTuning.check(.init(key: key, value: value), among: []) }
  }

  @Test("a node is suspect before it is out", arguments: [(ClusterTuning.Key.suspectAfter, Int64(600)), (.outAfter, 10)])
  func order(key: ClusterTuning.Key, value: Int64) throws {
    #expect(throws: ClusterTuning.Refusal.outBeforeSuspect) {
      try ClusterTuning.check(.init(key: key, value: value), among: Self.present)
    }
    try ClusterTuning.check(.init(key: key, value: key == .outAfter ? 11 : 599), among: Self.present)
  }
}
