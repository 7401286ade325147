package import BlockModel

/// Bytes of a disk that are sealed under the data keys of one epoch.
package struct KeyEpochBytes: Sendable, Codable, Equatable {
  package var epoch: UInt32
  package var segments: Int
  package var bytes: Int64
  package init(epoch: UInt32, segments: Int, bytes: Int64) {
    self.epoch = epoch
    self.segments = segments
    self.bytes = bytes
  }
}

/// One epoch of the cluster's data keys.
package struct KeyEpochStatus: Sendable, Codable, Equatable {
  package var epoch: UInt32
  /// The node that made the key.
  package var founder: NodeID
  /// Nodes that hold it, and live nodes of the layout that do not yet.
  package var holders: [NodeID]
  package var lacking: [NodeID]
  /// What is sealed under it on the nodes that were heard; for an old epoch this shrinks as compaction seals anew.
  package var segments: Int
  package var bytes: Int64
  package init(epoch: UInt32, founder: NodeID, holders: [NodeID], lacking: [NodeID], segments: Int, bytes: Int64) {
    self.epoch = epoch
    self.founder = founder
    self.holders = holders
    self.lacking = lacking
    self.segments = segments
    self.bytes = bytes
  }
}

package struct KeyStatus: Sendable, Codable, Equatable {
  /// What new records are sealed under; 0 with encryption off or before there is a key.
  package var current: UInt32
  /// In their order. An epoch above the current one is still being handed to all nodes.
  package var epochs: [KeyEpochStatus]
  package init(current: UInt32, epochs: [KeyEpochStatus]) {
    self.current = current
    self.epochs = epochs
  }
}

extension OperatorOperations {
  /// Has a node make the next data key. It is used for new records when every live node of the layout has it; nothing is written anew
  /// for it.
  package struct RotateDataKeys: ControlOperation {
    package typealias Response = KeyStatus
    package static let name = "rotate-data-keys"
    package static let audience = ControlAudience.op
    package init() {}
  }

  package struct GetDataKeys: ControlOperation {
    package typealias Response = KeyStatus
    package static let name = "get-data-keys"
    package static let audience = ControlAudience.op
    package static let isRead = true
    package init() {}
  }
}
