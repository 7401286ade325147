package import BlockModel

/// One node as a layout sees it.
package struct LayoutNode: Sendable, Codable, Equatable {
  package var id: NodeID
  package var zone: ZoneID
  /// The region that the zone lies in; zones without one share a region.
  package var region: RegionID?
  /// Relative share of data, 0.1 to 20.
  package var weight: Double
  package init(id: NodeID, zone: ZoneID, region: RegionID? = nil, weight: Double) {
    self.id = id
    self.zone = zone
    self.region = region
    self.weight = weight
  }
}

/// A versioned table: which nodes hold each partition, in order. A value; computed by `LayoutPlanner`, never written by hand.
///
/// What must hold: a partition's replicas are distinct nodes, spread over as many regions as there are, in these over distinct zones while
/// zones suffice.
package struct Layout: Sendable, Equatable {
  /// Grows by one with each committed change; 0 is the empty layout before the first node.
  package var version: UInt64
  /// The partition of a block is its first `partitionBits` bits.
  package var partitionBits: Int
  /// Copies that each block shall have (R).
  package var replicationFactor: Int
  /// Durable copies, in as many zones, that acknowledge a write (W), before it is lowered to the number of zones.
  package var writeQuorum: Int
  /// Sorted by id.
  package var nodes: [LayoutNode]
  /// Row-major: `replicasPerPartition` indices into `nodes` for each partition, in order of preference.
  package var table: [UInt16]

  package init(
    version: UInt64, partitionBits: Int, replicationFactor: Int, writeQuorum: Int, nodes: [LayoutNode], table: [UInt16]
  ) {
    self.version = version
    self.partitionBits = partitionBits
    self.replicationFactor = replicationFactor
    self.writeQuorum = writeQuorum
    self.nodes = nodes
    self.table = table
  }

  package static func empty(partitionBits: Int, replicationFactor: Int, writeQuorum: Int) -> Layout {
    Layout(
      version: 0, partitionBits: partitionBits, replicationFactor: replicationFactor, writeQuorum: writeQuorum, nodes: [], table: [])
  }

  package var partitionCount: Int { 1 << partitionBits }
  /// Replicas that a partition really has: R, or the number of nodes where there are fewer.
  package var replicasPerPartition: Int { min(replicationFactor, nodes.count) }
  package var zoneCount: Int { Set(nodes.map(\.zone)).count }
  /// Zones that a write needs: min(W, zones of the layout), never the zones that happen to live.
  package var requiredZones: Int { min(writeQuorum, zoneCount) }
  /// Copies that a block can have at most under this layout.
  package var targetCopies: Int { replicasPerPartition }

  /// Copies that each block shall have in a cluster that has known so many nodes, whether or not the layout has them now: R. Fewer only
  /// where there never were R nodes, so that a small cluster is whole, and one that shrank is not.
  package func wantedCopies(knownNodes: Int) -> Int { min(replicationFactor, max(knownNodes, nodes.count)) }

  /// What a layout of so many nodes would mean for the number of copies, as a sentence; nil where it goes down by none.
  package func copiesWarning(nodesLeft: Int) -> String? {
    let left = min(replicationFactor, nodesLeft)
    guard left < replicasPerPartition else { return nil }
    return "\(nodesLeft) nodes would be left, so blocks would have \(left) copies instead of \(replicasPerPartition)."
  }

  /// The partition's replicas in order of preference; empty in the empty layout.
  package func replicas(ofPartition partition: Int) -> [NodeID] {
    let width = replicasPerPartition
    guard width > 0 else { return [] }
    return table[(partition * width)..<((partition + 1) * width)].map { nodes[Int($0)].id }
  }

  package func replicas(of block: BlockID) -> [NodeID] { replicas(ofPartition: block.partition(bits: partitionBits)) }

  /// The same as indices into `nodes`: two loads from memory, for those who look up many blocks.
  @inline(__always) package func replicaIndices(of block: BlockID) -> ArraySlice<UInt16> {
    let width = replicasPerPartition
    let start = block.partition(bits: partitionBits) * width
    return table[start..<(start + width)]
  }

  /// How many partitions each node holds, by its index in `nodes`.
  package var partitionsByNode: [Int] {
    var held = [Int](repeating: 0, count: nodes.count)
    for index in table { held[Int(index)] += 1 }
    return held
  }

  package func node(_ id: NodeID) -> LayoutNode? {
    var low = 0
    var high = nodes.count
    while low < high {
      let middle = (low + high) / 2
      if nodes[middle].id < id { low = middle + 1 } else { high = middle }
    }
    return low < nodes.count && nodes[low].id == id ? nodes[low] : nil
  }
}

extension Layout: Codable {
  private enum CodingKeys: String, CodingKey { case version, partitionBits, replicationFactor, writeQuorum, nodes, table }

  package init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    version = try fields.decode(UInt64.self, forKey: .version)
    partitionBits = try fields.decode(Int.self, forKey: .partitionBits)
    replicationFactor = try fields.decode(Int.self, forKey: .replicationFactor)
    writeQuorum = try fields.decode(Int.self, forKey: .writeQuorum)
    nodes = try fields.decode([LayoutNode].self, forKey: .nodes)
    table = try Layout.unpack(try fields.decode(String.self, forKey: .table), at: decoder)
    try check(decoder)
  }

  package func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(version, forKey: .version)
    try fields.encode(partitionBits, forKey: .partitionBits)
    try fields.encode(replicationFactor, forKey: .replicationFactor)
    try fields.encode(writeQuorum, forKey: .writeQuorum)
    try fields.encode(nodes, forKey: .nodes)
    try fields.encode(HexDigits.encode(table.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] }), forKey: .table)
  }

  private static func unpack(_ text: String, at decoder: any Decoder) throws -> [UInt16] {
    guard let bytes = HexDigits.decode(text), bytes.count % 2 == 0 else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "the table is not hexadecimal"))
    }
    return stride(from: 0, to: bytes.count, by: 2).map { UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]) }
  }

  private func check(_ decoder: any Decoder) throws {
    let sorted = zip(nodes, nodes.dropFirst()).allSatisfy { $0.id < $1.id }
    guard (0...20).contains(partitionBits), (1...16).contains(replicationFactor), (1...replicationFactor).contains(writeQuorum), sorted,
      table.count == (nodes.isEmpty ? 0 : partitionCount * replicasPerPartition), table.allSatisfy({ Int($0) < nodes.count })
    else {
      throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "the layout contradicts itself"))
    }
  }
}
