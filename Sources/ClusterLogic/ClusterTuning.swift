/// What operators may change of a running cluster by name, as whole numbers. What is set here counts before the configuration file.
package enum ClusterTuning {
  package enum Key: String, Sendable, CaseIterable {
    case repairRate = "repair-bytes-per-second"
    case rebalanceRate = "rebalance-bytes-per-second"
    case suspectAfter = "suspect-after-seconds"
    case outAfter = "out-after-seconds"

    package var range: ClosedRange<Int64> {
      switch self {
      case .repairRate, .rebalanceRate: (1 << 20)...(1 << 44)
      case .suspectAfter: 1...3600
      case .outAfter: 2...604_800
      }
    }
  }

  package struct Value: Sendable, Equatable {
    package var key: Key
    package var value: Int64
    package init(key: Key, value: Int64) {
      self.key = key
      self.value = value
    }
  }

  package enum Refusal: Error, Sendable, Equatable {
    case outOfRange(Key)
    /// A node would be out before it is suspect.
    case outBeforeSuspect
  }

  /// Whether the value can be set where these values hold already, the configuration's among them.
  package static func check(_ value: Value, among present: [Value]) throws(Refusal) {
    guard value.key.range.contains(value.value) else { throw .outOfRange(value.key) }
    let all = present.filter { $0.key != value.key } + [value]
    func find(_ key: Key) -> Int64? { all.first { $0.key == key }?.value }
    if let suspect = find(.suspectAfter), let out = find(.outAfter), out <= suspect { throw .outBeforeSuspect }
  }
}
