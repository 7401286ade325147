internal import BlockModel
internal import BlockStore
package import Platform
internal import ServiceAPI

/// What a node counts and shows on `/metrics`.
package struct NodeMetrics: Sendable {
  package let registry: Metrics
  // Looked up once: finding a series by its labels takes longer than counting, and these count every request.
  private let puts: Traffic
  private let replicates: Traffic
  private let gets: Traffic
  private let records: Traffic
  private let storedForwards: Counter

  /// Blocks and bytes of one operation.
  private struct Traffic {
    let blocks: Counter
    let bytes: Counter

    func count(_ bytes: Int) {
      blocks.increment()
      self.bytes.increment(by: bytes)
    }
  }

  package init(_ registry: Metrics = Metrics()) {
    self.registry = registry
    func received(_ operation: CapabilityOperation) -> Traffic {
      let labels: MetricLabels = ["operation": operation.rawValue]
      return Traffic(
        blocks: registry.counter("cairn_node_blocks_received_total", help: "Blocks and records let in.", labels: labels),
        bytes: registry.counter("cairn_node_received_bytes_total", help: "Bytes of blocks and records let in.", labels: labels))
    }
    func served(_ operation: CapabilityOperation) -> Traffic {
      let labels: MetricLabels = ["operation": operation.rawValue]
      return Traffic(
        blocks: registry.counter("cairn_node_blocks_served_total", help: "Blocks and records served.", labels: labels),
        bytes: registry.counter("cairn_node_served_bytes_total", help: "Bytes of blocks and records served.", labels: labels))
    }
    (puts, replicates, gets, records) = (received(.put), received(.replicate), served(.get), served(.record))
    storedForwards = NodeMetrics.forwards("stored", registry)
  }

  /// Blocks and records that were let in, batched ones included.
  func received(_ put: AdmittedPut) {
    let traffic = put.capability.operation == .put ? puts : replicates
    traffic.count(put.bodyBytes)
  }

  /// Blocks (`get`) and records (`record`) that were read from disk to be sent.
  func served(_ operation: String, bytes: Int) {
    let traffic = operation == "record" ? records : gets
    traffic.count(bytes)
  }

  /// Records sent to replicas: `stored`, or why not.
  func forwards(_ outcome: String) -> Counter { outcome == "stored" ? storedForwards : NodeMetrics.forwards(outcome, registry) }

  private static func forwards(_ outcome: String, _ registry: Metrics) -> Counter {
    registry.counter("cairn_node_forwards_total", help: "Records sent to other nodes, by outcome.", labels: ["outcome": outcome])
  }

  /// Records fetched for repair: a `CopyOutcome`.
  func copies(_ outcome: String) -> Counter {
    registry.counter("cairn_node_copies_total", help: "Records fetched from other nodes, by outcome.", labels: ["outcome": outcome])
  }

  func heartbeats(_ outcome: String) -> Counter {
    registry.counter("cairn_node_heartbeats_total", help: "Heartbeats sent, by outcome.", labels: ["outcome": outcome])
  }

  var rottenCopies: Counter {
    registry.counter("cairn_node_rotten_copies_total", help: "Copies whose check failed.")
  }

  /// Reads of bad copies that were answered by fetching a good one: what came of it.
  func mendedReads(_ outcome: String) -> Counter {
    registry.counter("cairn_node_mended_reads_total", help: "Reads of bad copies, by what came of them.", labels: ["outcome": outcome])
  }

  /// Copies that the scrub read back.
  func scrubbed(_ disk: DiskID, copies: Int, bytes: Int) {
    let labels: MetricLabels = ["disk": disk.hex]
    registry.counter("cairn_node_scrubbed_copies_total", help: "Copies that the scrub read back.", labels: labels).increment(by: copies)
    registry.counter("cairn_node_scrubbed_bytes_total", help: "Bytes that the scrub read back.", labels: labels).increment(by: bytes)
  }

  func watch(_ scrub: DiskScrub) {
    let labels: MetricLabels = ["disk": scrub.disk.disk.hex]
    registry.gauge("cairn_node_scrub_left_bytes", help: "Bytes that the walk over all copies has before it.", labels: labels) {
      Double(scrub.report?.passLeftBytes ?? 0)
    }
    registry.gauge("cairn_node_scrub_fresh_bytes", help: "Bytes that came and were not read back yet.", labels: labels) {
      Double(scrub.report?.freshBytes ?? 0)
    }
    registry.gauge("cairn_node_scrub_finished_seconds", help: "When a walk last ended, in seconds since 1970; 0 for never.", labels: labels)
    {
      Double(scrub.report?.lastFinished?.seconds ?? 0)
    }
  }

  /// Blocks whose hold was over.
  func purged(_ disk: DiskID, blocks: Int) {
    registry.counter("cairn_node_purged_blocks_total", help: "Deleted blocks whose hold was over.", labels: ["disk": disk.hex]).increment(
      by: blocks)
  }

  func compacted(_ disk: DiskID, movedBytes: Int, removedBytes: Int) {
    let labels: MetricLabels = ["disk": disk.hex]
    registry.counter("cairn_node_compaction_moved_bytes_total", help: "Bytes that compaction wrote.", labels: labels).increment(
      by: movedBytes)
    registry.counter("cairn_node_compaction_removed_bytes_total", help: "Bytes that compaction gave back.", labels: labels).increment(
      by: removedBytes)
  }

  /// Registers what is read when the metrics are asked for.
  func watch(_ pools: BufferPools, _ disks: DiskSet) {
    for (name, pool) in pools.all {
      registry.gauge("cairn_node_buffers_lent", help: "Buffers in use.", labels: ["pool": name]) { Double(pool.lent) }
      registry.gauge("cairn_node_buffers_allocated", help: "Buffers that take memory.", labels: ["pool": name]) { Double(pool.allocated) }
      registry.gauge("cairn_node_buffers_limit", help: "Buffers that may be in use at once.", labels: ["pool": name]) { Double(pool.limit) }
    }
    for disk in disks.disks {
      let id = disk.disk.hex
      registry.gauge("cairn_node_disk_capacity_bytes", help: "Bytes that blocks may take.", labels: ["disk": id]) {
        Double(disk.space().capacityBytes)
      }
      registry.gauge("cairn_node_disk_used_bytes", help: "Bytes that live blocks take.", labels: ["disk": id]) {
        Double(disk.space().usedBytes)
      }
      registry.gauge("cairn_node_disk_occupied_bytes", help: "Bytes that the store takes on its file system.", labels: ["disk": id]) {
        Double(disk.space().occupiedBytes)
      }
      registry.gauge(
        "cairn_node_disk_level", help: "0 normal, 1 nearly full, 2 takes no copies, 3 takes no blocks.", labels: ["disk": id]
      ) { Double(disk.space().level.rawValue) }
      registry.gauge("cairn_node_disk_blocks", help: "Blocks on the disk.", labels: ["disk": id]) { Double(disk.space().blockCount) }
      registry.gauge("cairn_node_disk_healthy", help: "1 when the disk takes new blocks.", labels: ["disk": id]) {
        disk.health() == .healthy ? 1 : 0
      }
    }
    registry.gauge("cairn_node_resident_memory_bytes", help: "Memory of the process.") { Double(Machine.residentBytes) }
  }
}
