package import BlockModel

/// What a change of layout leaves to be done: which replicas lack a partition, and who holds blocks of it besides.
///
/// What must hold:
/// - a replica counts as whole only when it has every acknowledged block of the partition. One that was out has missed writes and does
///   not; neither does a former replica, because what came in since it left went to others;
/// - whoever may hold an acknowledged block stays named until it has given it up: as a replica or as a source.
package enum LayoutTransition {
  /// - Parameters:
  ///   - filling: what the old layout still lacked.
  ///   - unreliable: nodes that are going out or coming back: what they hold is found by asking, not assumed.
  /// - Returns: sorted by partition; only partitions where something is left to be done.
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
      let before = old.replicas(ofPartition: partition)
      let whole = before.filter { !lacking.contains($0) && !unreliable.contains($0) }
      // Those with some of it, the likeliest to have a block first.
      let partial = ((row?.sources ?? []) + lacking).filter { !whole.contains($0) && !unreliable.contains($0) }
      let replicas = new.replicas(ofPartition: partition)
      let result = PlanFilling(
        partition: partition, targets: replicas.filter { !whole.contains($0) },
        sources: (whole + partial).filter { !replicas.contains($0) },
        arrivals: (row?.arrivals ?? []).filter { replicas.contains($0) && whole.contains($0) })
      if !result.isDone { rows.append(result) }
    }
    return rows
  }

  /// Whether a change of layout only moves replicas: each partition had all of them whole, and gets no more. Then its sources are whole
  /// until the targets are; after any other change some of them may have a part only.
  package static func onlyMoves(from old: Layout, filling: [PlanFilling], to new: Layout, unreliable: [NodeID]) -> Bool {
    old.version > 0 && new.replicasPerPartition <= old.replicasPerPartition && filling.allSatisfy(\.targets.isEmpty)
      && unreliable.allSatisfy { old.node($0) == nil }
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
      row.arrivals.removeAll { $0 == node }
      return row
    }
  }

  /// The rows that name `node` as a source, without it: it is out, so nobody waits for what it holds. Rows that are done by this are
  /// among them.
  package static func withoutSource(_ node: NodeID, filling: [PlanFilling]) -> [PlanFilling] {
    filling.filter { $0.sources.contains(node) }.map { row in
      var row = row
      row.retire(node)
      return row
    }
  }

  /// Rows by which `node` gives up what it holds of these partitions beyond the layout: those in which it is no replica, and no source
  /// yet.
  package static func leftovers(_ node: NodeID, of partitions: [Int], in layout: Layout, filling: [PlanFilling]) -> [PlanFilling] {
    let known = filling.sorted { $0.partition < $1.partition }
    return partitions.sorted().compactMap { partition in
      guard !layout.replicas(ofPartition: partition).contains(node) else { return nil }
      let index = known.partitionPoint { $0.partition < partition }
      var row = PlanFilling(partition: partition, targets: [], sources: [])
      if index < known.count && known[index].partition == partition { row = known[index] }
      guard !row.sources.contains(node) else { return nil }
      row.sources.append(node)
      return row
    }
  }
}
