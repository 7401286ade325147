internal import BlockModel
internal import Platform
internal import Synchronization

/// Which data keys the segments need, so that old ones can be retired: compaction takes segments of old epochs first and seals what it moves
/// under the current key (`RecordRewrap`).
extension SegmentStore {
  package func keyEpochs() -> [KeyEpochUse] {
    let segments = state.withLock { state in
      state.segments.compactMap { segment in
        state.keyEpochs[segment.number].map { (epoch: $0, bytes: Int64(segment.endBytes) - segment.punchedBytes) }
      }
    }
    return Set(segments.map(\.epoch)).subtracting([0]).sorted().map { epoch in
      let under = segments.filter { $0.epoch == epoch }
      return KeyEpochUse(epoch: epoch, segments: under.count, bytes: under.reduce(0) { $0 + $1.bytes })
    }
  }

  /// For the chooser of what to compact: whether a segment was begun under an older data key than the current one. False while that is not
  /// known.
  func isOfOldEpoch(_ segment: Segment) -> Bool {
    guard let current = configuration.keys?.current?.epoch else { return false }
    return state.withLock { $0.keyEpochs[segment.number] }.map { $0 < current } ?? false
  }

  /// Reads the headers of segments that a checkpoint spared opening from reading. Blocks, for a page of each.
  func learnKeyEpochs() {
    let unknown = state.withLock { state in
      state.segments.enumerated().filter { state.keyEpochs[$0.element.number] == nil }
    }
    for (slot, segment) in unknown {
      guard let file = try? files.file(UInt32(slot), segment) else { continue }
      var scanner = SegmentScanner(file: file, segment: segment.id, from: 0, size: min(Segment.pageBytes, segment.fileBytes))
      guard let record = try? scanner.next(), case .segment(let header) = record.content else { continue }
      state.withLock { $0.keyEpochs[segment.number] = header.keyEpoch }
    }
  }
}
