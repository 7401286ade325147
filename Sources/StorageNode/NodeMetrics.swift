internal import BlockModel
internal import BlockStore
internal import HTTPTransport
package import Platform

/// What a node counts and shows on `/metrics`.
package struct NodeMetrics: Sendable {
  package let registry: Metrics

  package init(_ registry: Metrics = Metrics()) { self.registry = registry }

  /// One finished request. `operation` is from a fixed list, never from the request.
  func request(_ operation: String, status: Int, seconds: Duration) {
    registry.counter(
      "cairn_node_requests_total", help: "Requests answered, by operation and status.",
      labels: ["operation": operation, "status": String(status)]
    ).increment()
    registry.histogram(
      "cairn_node_request_duration_seconds", help: "Time from a request's head to its last byte.", labels: ["operation": operation]
    ).observe(seconds)
  }

  func bytes(received: Int, sent: Int) {
    registry.counter("cairn_node_body_bytes_total", help: "Bytes of bodies.", labels: ["direction": "in"]).increment(by: received)
    registry.counter("cairn_node_body_bytes_total", help: "Bytes of bodies.", labels: ["direction": "out"]).increment(by: sent)
  }

  /// Records sent to replicas: `stored`, or why not.
  func forwards(_ outcome: String) -> Counter {
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

  /// Registers what is read when the metrics are asked for.
  func watch(_ pools: BufferPools, _ disks: DiskSet) {
    for (name, pool) in pools.all {
      registry.gauge("cairn_node_buffers_lent", help: "Buffers in use.", labels: ["pool": name]) { Double(pool.lent) }
      registry.gauge("cairn_node_buffers_limit", help: "Buffers that may be in use at once.", labels: ["pool": name]) { Double(pool.limit) }
    }
    for disk in disks.disks {
      let id = disk.disk.hex
      registry.gauge("cairn_node_disk_capacity_bytes", help: "Bytes that blocks may take.", labels: ["disk": id]) {
        Double(disk.space().capacityBytes)
      }
      registry.gauge("cairn_node_disk_used_bytes", help: "Bytes that live blocks take.", labels: ["disk": id]) { Double(disk.space().usedBytes) }
      registry.gauge("cairn_node_disk_blocks", help: "Blocks on the disk.", labels: ["disk": id]) { Double(disk.space().blockCount) }
      registry.gauge("cairn_node_disk_healthy", help: "1 when the disk takes new blocks.", labels: ["disk": id]) {
        disk.health() == .healthy ? 1 : 0
      }
    }
    registry.gauge("cairn_node_resident_memory_bytes", help: "Memory of the process.") { Double(Machine.residentBytes) }
  }
}
