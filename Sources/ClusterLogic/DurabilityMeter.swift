package import BlockModel

/// Measures what the durability of a cluster rests on: how soon losses are noticed, how long copies take to be made anew, and how long
/// blocks had too few copies.
///
/// What must hold: it only counts what it saw; a process that starts anew begins with nothing.
package struct DurabilityMeter: Sendable, Equatable {
  /// How long the last few of something took.
  package struct Durations: Sendable, Equatable {
    package private(set) var count = 0
    /// Newest last.
    private var recent: [Duration] = []
    private static let kept = 100

    package init() {}

    mutating func add(_ duration: Duration) {
      count += 1
      recent.append(max(.zero, duration))
      if recent.count > Durations.kept { recent.removeFirst() }
    }

    /// Of the last hundred; nil when there was none.
    package var median: Duration? {
      let sorted = recent.sorted()
      return sorted.isEmpty ? nil : sorted[sorted.count / 2]
    }
    package var longest: Duration? { recent.max() }
  }

  /// From the last sign of a node to the decision that it is out.
  package private(set) var detections = Durations()
  /// From that decision to the moment when all its blocks had their copies again.
  package private(set) var repairs = Durations()
  /// ∫ blocks with too few copies, in block-seconds.
  package private(set) var underReplicatedBlockSeconds = 0.0
  package private(set) var mostUnderReplicated = 0
  /// How long it has measured.
  package private(set) var observed: Duration = .zero
  /// Bytes that repair copied, and the time in which it copied any.
  package private(set) var copiedBytes: Int64 = 0
  package private(set) var copyingTime: Duration = .zero

  private var underRepair: [(node: NodeID, since: MonotonicTime)] = []
  private var last: (time: MonotonicTime, underReplicated: Int, copied: Int64)?

  package init() {}

  package static func == (a: DurabilityMeter, b: DurabilityMeter) -> Bool {
    a.detections == b.detections && a.repairs == b.repairs && a.underReplicatedBlockSeconds == b.underReplicatedBlockSeconds
      && a.observed == b.observed && a.copiedBytes == b.copiedBytes && a.copyingTime == b.copyingTime
  }

  /// - Parameter silence: since the node was heard last.
  package mutating func declaredOut(_ node: NodeID, silence: Duration, now: MonotonicTime) {
    detections.add(silence)
    underRepair.removeAll { $0.node == node }
    underRepair.append((node, now))
  }

  /// All that the node held has its copies elsewhere.
  package mutating func restored(_ node: NodeID, now: MonotonicTime) {
    guard let index = underRepair.firstIndex(where: { $0.node == node }) else { return }
    repairs.add(now - underRepair[index].since)
    underRepair.remove(at: index)
  }

  /// It came back before that: what it would have taken is not known.
  package mutating func returned(_ node: NodeID) { underRepair.removeAll { $0.node == node } }

  /// Between two samples the number of blocks is taken to have changed evenly.
  /// - Parameter copiedBytes: by repair, since the coordinator started.
  package mutating func sample(underReplicated: Int, copiedBytes copied: Int64, now: MonotonicTime) {
    if let last {
      let past = max(.zero, now - last.time)
      observed += past
      underReplicatedBlockSeconds += past.inSeconds * Double(underReplicated + last.underReplicated) / 2
      let more = max(0, copied - last.copied)
      copiedBytes += more
      if more > 0 { copyingTime += past }
    }
    mostUnderReplicated = max(mostUnderReplicated, underReplicated)
    last = (now, underReplicated, copied)
  }

  /// Bytes a second while repair copied anything; nil when it did not.
  package var repairBytesPerSecond: Double? {
    copyingTime > .zero ? Double(copiedBytes) / copyingTime.inSeconds : nil
  }
}
