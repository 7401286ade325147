package import BlockModel

/// A node's decisions about requests that were signed under another layout than its own.
///
/// What must hold:
/// - a client's URL of an older layout is refused by a node that has no part in the block any more, so that the client asks for a fresh
///   one;
/// - copies are given up only under exactly the layout that this node has, and never by a replica;
/// - a command that deletes is refused when it is older than what this node has seen;
/// - what is asked under a newer collection epoch than this node has seen is not answered: whoever asks may conclude that no older delete
///   takes what it was told is here.
package enum LayoutFence {
  /// How a node stands to a block under the layout that it has.
  package enum Standing: Sendable, Equatable {
    /// The layout names it, or it is an old holder of a partition that is still being filled.
    case holder
    /// It is not, as of this layout version.
    case stranger(layoutVersion: UInt64)
  }

  package enum Refusal: Error, Sendable, Equatable {
    /// The block's partition was handed on under this layout.
    case sealed(against: UInt64)
    /// This node has no part in the block as of this layout.
    case stranger(layoutVersion: UInt64)
    /// This node has another layout than the command's.
    case otherLayout
    /// This node is a replica of the partition.
    case replica
    /// This node has seen a newer layout or collection epoch than the command's.
    case stale
    /// This node has not seen the command's collection epoch yet.
    case behind
  }

  /// Whether a write may come in.
  ///
  /// A URL of an older layout is good as long as the node still has a part in the block; a newer one than it knows is good too. Records
  /// from other nodes are good too, a copy off the layout being a stray, which the commit writes down and repair clears up: but for a
  /// partition that was sealed against the URL's layout.
  /// - Parameters:
  ///   - seal: the oldest layout that may write to the block's partition; nil when the partition is not known.
  ///   - standing: nil before the first view.
  package static func checkWrite(
    layoutVersion: UInt64, isFromClient: Bool, seal: UInt64?, standing: Standing?
  ) throws(Refusal) {
    if let seal, layoutVersion < seal { throw .sealed(against: seal) }
    guard isFromClient, case .stranger(let version)? = standing, layoutVersion < version else { return }
    throw .stranger(layoutVersion: version)
  }

  /// Whether copies of the partition may be given up under a command of this layout.
  /// - Parameter layout: the one that this node has.
  package static func checkRetirement(
    by node: NodeID, of partition: Int, bits: Int, layoutVersion: UInt64, knowing layout: Layout?
  ) throws(Refusal) {
    guard let layout, layout.version == layoutVersion, layout.partitionBits == bits else { throw .otherLayout }
    guard !layout.replicas(ofPartition: partition).contains(node) else { throw .replica }
  }

  /// Whether blocks may be deleted under a command of this layout and epoch.
  package static func checkDeletion(
    layoutVersion: UInt64, gcEpoch: UInt64, knownLayout: UInt64, knownEpoch: UInt64
  ) throws(Refusal) {
    guard layoutVersion >= knownLayout, gcEpoch >= knownEpoch else { throw .stale }
  }

  /// Whether a question about copies may be answered: which are here, whether they are whole.
  package static func checkQuestion(gcEpoch: UInt64, knownEpoch: UInt64) throws(Refusal) {
    guard gcEpoch <= knownEpoch else { throw .behind }
  }
}
