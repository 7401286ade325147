internal import BlockModel

/// How one layout differs from the one before: small where the layouts are alike, so that a change reaches thousands of nodes without the
/// table.
///
/// What must hold: applied to the layout that it was made from it gives the other one, and applied to any other it gives nothing.
package struct LayoutChange: Sendable, Equatable, Codable {
  package let from: UInt64
  package let version: UInt64
  /// Nodes that are gone.
  let removed: [NodeID]
  /// Nodes that are new, or changed.
  let placed: [LayoutNode]
  /// For each partition whose row is another: its number, then the indices of its nodes in the new list.
  let rows: [Int]
  /// Of the new table.
  let checksum: UInt64

  /// Nil where the tables have not the same shape.
  package init?(from old: Layout, to new: Layout) {
    let width = new.replicasPerPartition
    guard old.version > 0, old.partitionBits == new.partitionBits, old.replicasPerPartition == width, width > 0,
      old.replicationFactor == new.replicationFactor, old.writeQuorum == new.writeQuorum
    else { return nil }
    from = old.version
    version = new.version
    removed = old.nodes.map(\.id).filter { new.node($0) == nil }
    placed = new.nodes.filter { old.node($0.id) != $0 }
    let toNew = LayoutAssignment.indices(of: old.nodes, in: new.nodes)
    var rows: [Int] = []
    for partition in 0..<new.partitionCount {
      let places = (partition * width)..<((partition + 1) * width)
      guard places.contains(where: { toNew[Int(old.table[$0])] != Int(new.table[$0]) }) else { continue }
      rows.append(partition)
      for place in places { rows.append(Int(new.table[place])) }
    }
    self.rows = rows
    checksum = LayoutChange.checksum(new.table)
  }

  /// The new layout; nil for any other than the one that this was made from, and for a change that contradicts itself.
  package func applied(to old: Layout) -> Layout? {
    guard old.version == from else { return nil }
    let staying = old.nodes.filter { node in !has(removed, node.id) && !placed.contains { $0.id == node.id } }
    let nodes = (staying + placed).sorted { $0.id < $1.id }
    let width = old.replicasPerPartition
    guard nodes.count <= Int(UInt16.max), min(old.replicationFactor, nodes.count) == width, rows.count % (width + 1) == 0 else {
      return nil
    }
    // A place of a node that is gone stays out of range until its row is written.
    let toNew = LayoutAssignment.indices(of: old.nodes, in: nodes).map { UInt16(exactly: $0) ?? .max }
    var table = old.table.map { toNew[Int($0)] }
    for start in stride(from: 0, to: rows.count, by: width + 1) {
      guard (0..<old.partitionCount).contains(rows[start]) else { return nil }
      for place in 0..<width {
        guard let index = UInt16(exactly: rows[start + 1 + place]) else { return nil }
        table[rows[start] * width + place] = index
      }
    }
    guard LayoutChange.checksum(table) == checksum, table.allSatisfy({ Int($0) < nodes.count }) else { return nil }
    var layout = old
    layout.version = version
    layout.nodes = nodes
    layout.table = table
    return layout
  }

  private func has(_ nodes: [NodeID], _ node: NodeID) -> Bool {
    let index = nodes.partitionPoint { $0 < node }
    return index < nodes.count && nodes[index] == node
  }

  /// FNV-1a over the entries: it tells two layouts apart that were confused, not ones that somebody forged.
  private static func checksum(_ table: [UInt16]) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for entry in table { hash = (hash ^ UInt64(entry)) &* 0x0000_0100_0000_01B3 }
    return hash
  }
}
