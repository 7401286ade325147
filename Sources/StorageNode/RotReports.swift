internal import BlockModel
internal import Synchronization

/// Copies found rotten, until a coordinator has taken note of them. Bounded: beyond the bound the scrub finds them again.
final class RotReports: Sendable {
  /// As many as a heartbeat may carry.
  static let perHeartbeat = 1000
  static let bound = 10_000
  private let blocks = Mutex<[BlockID]>([])

  func add(_ block: BlockID) {
    blocks.withLock { blocks in
      if blocks.count < RotReports.bound, !blocks.contains(block) { blocks.append(block) }
    }
  }

  /// The oldest ones, which stay until they are acknowledged.
  var next: [BlockID] { blocks.withLock { Array($0.prefix(RotReports.perHeartbeat)) } }

  func acknowledge(_ reported: [BlockID]) {
    guard !reported.isEmpty else { return }
    let known = Set(reported)
    blocks.withLock { $0.removeAll { known.contains($0) } }
  }
}
