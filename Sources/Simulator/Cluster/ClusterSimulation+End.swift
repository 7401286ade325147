internal import BlockModel
internal import ClusterLogic

/// What has to be so at any time, and what has to be so in the end.
extension ClusterSimulation {
  func checkAlways() {
    for block in metadata.known where metadata.isReferenced(block) {
      guard !nodes.contains(where: { $0.isSafe(block) }) else { continue }
      fail(.readsBack, "no disk has a whole copy of block \(name(block)) any more")
    }
    checkCounts()
  }

  private func checkCounts() {
    for index in metadata.namespaces.indices {
      let namespace = metadata.namespaces[index]
      var references: [BlockID: Int] = [:]
      for file in namespace.files { for block in file.blocks { references[block, default: 0] += 1 } }
      if references != namespace.references {
        fail(.countsEqualRecount, "the references of namespace \(index) are not what its files have")
      }
      let used = references.keys.reduce(0) { $0 + size(of: $1) }
      let reserved = metadata.uploadOrder.compactMap { metadata.uploads[$0] }.filter { $0.status == .open && $0.namespace == index }
        .reduce(0) { $0 + $1.reserved }
      if used != namespace.used || reserved != namespace.reserved {
        fail(.countsEqualRecount, "namespace \(index) counts \(namespace.used) + \(namespace.reserved), a recount \(used) + \(reserved)")
      }
    }
    for block in metadata.known {
      let count = metadata.namespaces.count { $0.references[block] != nil }
      if count != metadata.blocks[block]?.namespaces { fail(.countsEqualRecount, "block \(name(block)) counts its namespaces wrong") }
    }
  }

  /// What is still to be done, if anything: the invariant that would break if it stayed so, and why.
  func unfinished() -> (Invariant, String)? {
    let layout = metadata.layout
    if layout.version == 0 { return (.fullyReplicated, "there is no layout") }
    if let client = clients.firstIndex(where: { !$0.isIdle }) { return (.linearizable, "client \(client) is not done") }
    if let id = metadata.uploadOrder.first(where: { metadata.uploads[$0]?.status == .open }) {
      return (.countsEqualRecount, "upload \(id) is still open")
    }
    for node in nodes where node.isDestroyed && layout.node(node.id) != nil {
      return (.fullyReplicated, "\(node.id) is gone and still in the layout")
    }
    if let row = metadata.filling.first { return (.fullyReplicated, "partition \(row.partition) is still on its way: \(row)") }
    if let row = metadata.repairs.first { return (.fullyReplicated, "block \(name(row.block)) still has a repair row") }
    for block in metadata.known where metadata.isReferenced(block) {
      for replica in layout.replicas(of: block) where !(node(replica)?.isSafe(block) ?? false) {
        return (.fullyReplicated, "block \(name(block)) is not on \(replica)")
      }
    }
    for node in nodes where !node.isDestroyed {
      for block in node.stores.flatMap(\.copies.keys).sorted() {
        if layout.node(node.id) == nil, node.holds(block) {
          return (.copiesNeverDecrease, "\(node.id), off the layout, holds \(name(block))")
        }
        if !metadata.isReferenced(block), node.holds(block) { return (.authorizedDeletes, "\(node.id) holds garbage: \(name(block))") }
      }
    }
    for (index, client) in clients.enumerated() where client.cursor != metadata.namespaces[client.namespace].changes.last?.sequence ?? 0 {
      return (.gaplessFeed, "client \(index) has read up to \(client.cursor)")
    }
    return nil
  }

  /// With everything finished: all that clients were told is so, and any one disk can go.
  func checkEnd() {
    checkAlways()
    checkReplicas()
    checkClients()
  }

  private func checkReplicas() {
    let layout = metadata.layout
    let inLayout = nodes.filter { layout.node($0.id) != nil }
    for block in metadata.known where metadata.isReferenced(block) {
      let holders = inLayout.filter { $0.isSafe(block) }
      let zones = Set(holders.map(\.zone)).count
      if holders.count < layout.targetCopies || zones < min(layout.targetCopies, layout.zoneCount) {
        fail(.fullyReplicated, "block \(name(block)) has \(holders.count) copies in \(zones) zones")
      }
      if layout.targetCopies > 1, holders.count < 2 { fail(.oneDiskLosesNothing, "block \(name(block)) would go with one disk") }
    }
  }

  private func checkClients() {
    for (id, version) in truth.acknowledged {
      let upload = metadata.uploads[id]
      if upload?.status != .committed || upload?.version != version {
        fail(.linearizable, "upload \(id) was acknowledged as version \(version) and is \(upload.map { "\($0.status)" } ?? "unknown")")
      }
    }
    for (index, namespace) in metadata.namespaces.enumerated() {
      var versions: [Int: Int] = [:]
      for (position, change) in namespace.changes.enumerated() {
        if change.sequence != position + 1 { fail(.gaplessFeed, "the feed of namespace \(index) has a gap at \(position + 1)") }
        guard change.version > 0 else { continue }
        if change.version != (versions[change.name] ?? 0) + 1 { fail(.linearizable, "file \(change.name) skipped a version") }
        versions[change.name] = change.version
      }
    }
    for (index, client) in clients.enumerated() {
      let listing = metadata.namespaces[client.namespace].files
      let replayed = client.replayed.keys.sorted()
      if replayed != listing.map(\.name) || !listing.allSatisfy({ client.replayed[$0.name]?.version == $0.version }) {
        fail(.gaplessFeed, "what client \(index) replayed is not the listing")
      }
    }
  }
}
