package import BlockModel

/// What a change of layout leaves to be done: which replicas lack a partition, and who holds it besides.
///
/// What must hold: a node counts as a holder only when it has every acknowledged block of the partition; one that was out has missed
/// writes and does not.
package enum LayoutTransition {
  /// - Parameters:
  ///   - filling: what the old layout still lacked.
  ///   - unreliable: nodes that are going out or coming back: what they hold is found by asking, not assumed.
  /// - Returns: sorted by partition; only partitions where something lacks.
  package static func filling(
    from old: Layout, filling: [PlanFilling], to new: Layout, unreliable: [NodeID]
  ) -> [PlanFilling] {
    guard old.version > 0, !old.nodes.isEmpty else { return [] }
    let known = filling.sorted { $0.partition < $1.partition }
    var next = 0
    var rows: [PlanFilling] = []
    for partition in 0..<new.partitionCount {
      while next < known.count && known[next].partition < partition { next += 1 }
      let row = next < known.count && known[next].partition == partition ? known[next] : nil
      let lacking = row?.targets ?? []
      let holders = (old.replicas(ofPartition: partition).filter { !lacking.contains($0) } + (row?.sources ?? []))
        .filter { !unreliable.contains($0) }
      let replicas = new.replicas(ofPartition: partition)
      let targets = replicas.filter { !holders.contains($0) }
      guard !targets.isEmpty else { continue }
      rows.append(PlanFilling(partition: partition, targets: targets, sources: holders.filter { !replicas.contains($0) }))
    }
    return rows
  }

  /// The rows with `node` as a target in each of its partitions: it lost a disk, and what it still holds is to be asked.
  package static func refilling(_ node: NodeID, in layout: Layout, filling: [PlanFilling]) -> [PlanFilling] {
    let known = filling.sorted { $0.partition < $1.partition }
    return (0..<layout.partitionCount).compactMap { partition in
      guard layout.replicas(ofPartition: partition).contains(node) else { return nil }
      let index = known.partitionPoint { $0.partition < partition }
      var row = PlanFilling(partition: partition, targets: [], sources: [])
      if index < known.count && known[index].partition == partition { row = known[index] }
      guard !row.targets.contains(node) else { return nil }
      row.targets.append(node)
      return row
    }
  }
}
