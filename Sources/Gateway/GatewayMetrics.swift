internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// The numbers that a gateway shows of itself.
struct GatewayMetrics: Sendable {
  private let registry: Metrics
  let signedPuts: Counter
  let signedGets: Counter
  let rawBytes: Counter
  let rawBlocks: Counter
  let waiting: Gauge

  init(_ registry: Metrics, view: ClusterViewCache) {
    self.registry = registry
    signedPuts = registry.counter("cairn_gateway_signed_urls_total", help: "Signed URLs given out.", labels: ["operation": "put"])
    signedGets = registry.counter("cairn_gateway_signed_urls_total", help: "Signed URLs given out.", labels: ["operation": "get"])
    rawBytes = registry.counter("cairn_gateway_raw_bytes_total", help: "Bytes of raw content that were verified and sent.")
    rawBlocks = registry.counter("cairn_gateway_raw_blocks_total", help: "Blocks that were read for raw content.")
    waiting = registry.gauge("cairn_gateway_waiting_requests", help: "Long-polls and event streams that wait for changes.")
  }

  /// A read of a block that had to go to another node.
  func rawFailure(node: NodeID, reason: String) {
    registry.counter(
      "cairn_gateway_raw_block_failures_total", help: "Reads of a block that one node did not serve rightly.",
      labels: ["node": node.text, "reason": reason]
    ).increment()
  }
}
