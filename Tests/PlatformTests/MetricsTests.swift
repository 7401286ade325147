internal import Platform
internal import TestSupport
internal import Testing

@Suite("Metrics")
struct MetricsTests {
  @Test("the text has help, type and every series, in the order of names")
  func text() {
    let metrics = Metrics()
    metrics.counter("cairn_requests_total", help: "Requests.", labels: ["method": "PUT", "status": "201"]).increment(by: 2)
    metrics.counter("cairn_requests_total", help: "Requests.", labels: ["method": "GET", "status": "200"]).increment()
    metrics.gauge("cairn_open_files", help: "Files.").set(-1.5)
    metrics.gauge("cairn_memory_bytes", help: "Bytes.") { 1e6 }
    let histogram = metrics.histogram("cairn_wait_seconds", help: "Waiting.", buckets: [0.1, 1])
    for value in [0.1, 0.5, 2] { histogram.observe(value) }
    #expect(
      metrics.render() == """
        # HELP cairn_memory_bytes Bytes.
        # TYPE cairn_memory_bytes gauge
        cairn_memory_bytes 1000000
        # HELP cairn_open_files Files.
        # TYPE cairn_open_files gauge
        cairn_open_files -1.5
        # HELP cairn_requests_total Requests.
        # TYPE cairn_requests_total counter
        cairn_requests_total{method="PUT",status="201"} 2
        cairn_requests_total{method="GET",status="200"} 1
        # HELP cairn_wait_seconds Waiting.
        # TYPE cairn_wait_seconds histogram
        cairn_wait_seconds_bucket{le="0.1"} 1
        cairn_wait_seconds_bucket{le="1"} 2
        cairn_wait_seconds_bucket{le="+Inf"} 3
        cairn_wait_seconds_sum 2.6
        cairn_wait_seconds_count 3

        """)
  }

  @Test("label values from outside are escaped, and beyond the limit all go under “other”")
  func labels() {
    let metrics = Metrics(seriesLimit: 3)
    metrics.counter("cairn_a_total", help: "A.", labels: ["x": "q\"b\\n\n"]).increment()
    for index in 0..<100 { metrics.counter("cairn_a_total", help: "A.", labels: ["x": "\(index)"]).increment() }
    let text = metrics.render()
    #expect(text.contains(#"cairn_a_total{x="q\"b\\n\n"} 1"#))
    #expect(text.contains(#"cairn_a_total{x="other"} 98"#))
    #expect(text.split(separator: "\n").count == 2 + 4)
  }

  @Test("counts of many threads add up")
  func threads() async {
    let metrics = Metrics()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<1000 {
            metrics.counter("cairn_a_total", help: "A.").increment()
            metrics.histogram("cairn_b_seconds", help: "B.").observe(1)
            metrics.gauge("cairn_c", help: "C.").increment()
            metrics.gauge("cairn_c", help: "C.").decrement()
          }
        }
      }
    }
    #expect(metrics.counter("cairn_a_total", help: "A.").value == 8000)
    #expect(metrics.histogram("cairn_b_seconds", help: "B.").count == 8000)
    #expect(metrics.gauge("cairn_c", help: "C.").value == 0)
  }

  private static let promtool = ["/usr/bin/promtool", "/usr/local/bin/promtool"].first { (try? Directory.attributes($0)) != nil }

  @Test("Prometheus' own checker accepts the text", .enabled(if: promtool != nil, "promtool is not installed"))
  func checker() async throws {
    let metrics = Metrics()
    metrics.counter("cairn_requests_total", help: "Requests\nby method.", labels: ["method": "PUT \"x\" \\ \n"]).increment()
    metrics.gauge("cairn_memory_bytes", help: "Bytes.").set(12)
    metrics.gauge("cairn_never", help: "Nothing.").set(.nan)
    metrics.histogram("cairn_wait_seconds", help: "Waiting.", labels: ["kind": "fsync"]).observe(.milliseconds(3))
    let outcome = try await ProcessRunner.run(try #require(MetricsTests.promtool), ["check", "metrics"], input: metrics.render())
    #expect(outcome.succeeded, "\(outcome.output)\(outcome.error)")
  }
}
