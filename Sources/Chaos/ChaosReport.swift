internal import BlockModel
internal import Charts

/// A page about one run that a person can open: what was done to the cluster, what its users noticed, and how it came back.
package enum ChaosReport {
  private static let width = 1100.0
  private static let left = 140.0

  package static func page(_ outcome: ChaosRun.Outcome) -> String {
    let timeline = outcome.timeline
    let verdict = outcome.succeeded ? "Nothing that was acknowledged was lost." : "Something is wrong."
    var rows = outcome.lost.map { "<li class=bad>lost: \(escaped($0))</li>" }
    rows += outcome.faults.map { "<li class=bad>\(escaped($0))</li>" }
    let figures = [
      ("seed", "\(outcome.seed)"), ("faults", timeline.faultCounts.map { "\($0.count) × \($0.kind)" }.joined(separator: ", ")),
      ("acknowledged writes and removals", "\(outcome.acknowledged)"), ("of unknown outcome", "\(outcome.unknown)"),
      ("files read at the end", "\(outcome.checked)"), ("lost", "\(outcome.lost.count)"),
      ("writes that succeeded", percent(timeline.availability(.write))), ("reads that succeeded", percent(timeline.availability(.read))),
      ("longest time without a write", seconds(timeline.longestGap(.write))),
      ("longest time without a read", seconds(timeline.longestGap(.read))),
      ("from the last fault's end to full replication", timeline.whole.flatMap { w in timeline.healed.map { seconds(w - $0) } } ?? "never"),
    ]
    return """
      <!doctype html><html lang=en><meta charset=utf-8><title>\(escaped(outcome.scenario.name)), seed \(outcome.seed)</title>
      <style>body{font:15px/1.5 sans-serif;max-width:1160px;margin:2em auto;color:#222}
      table{border-collapse:collapse}td,th{padding:2px 14px 2px 0;text-align:left}
      .bad{color:#b00020}svg text{font:12px sans-serif;fill:#444}</style>
      <h1>\(escaped(outcome.scenario.name))</h1><p>\(escaped(outcome.scenario.title))</p>
      <p class="\(outcome.succeeded ? "" : "bad")"><b>\(verdict)</b></p>
      <ul>\(rows.joined())</ul>
      <table>\(figures.map { "<tr><td>\($0.0)</td><td>\(escaped($0.1))</td></tr>" }.joined())</table>
      <h2>What happened when</h2>\(picture(timeline))
      <h2>What users noticed of each kind</h2>
      <table><tr><th>fault</th><th>times</th><th>longest without a write</th><th>without a read</th>
      <th>writes that succeeded, begun 2 s after it or later</th><th>reads</th></tr>\(kinds(timeline))</table>
      <h2>Memory and open files</h2>
      \(memory(timeline))
      <table><tr><th>process</th><th>at the start</th><th>at the end</th><th>second third, last third</th>
      <th>files open at the start, at the end</th><th>second third, last third</th></tr>\(processes(timeline))</table></html>

      """
  }

  private static func kinds(_ timeline: Timeline) -> String {
    timeline.faultCounts.map { kind, count in
      let shares = [Timeline.Operation.Kind.write, .read].map { operation in
        let (succeeded, all) = timeline.succeeded(operation, during: kind, after: 2)
        return "<td>\(succeeded) of \(all)</td>"
      }
      return "<tr><td>\(escaped(kind))</td><td>\(count)</td><td>\(seconds(timeline.longestGap(.write, during: kind)))</td>"
        + "<td>\(seconds(timeline.longestGap(.read, during: kind)))</td>\(shares.joined())</tr>"
    }.joined()
  }

  private static func processes(_ timeline: Timeline) -> String {
    timeline.usage.keys.sorted().map { name in
      guard let first = timeline.usage[name]?.first, let last = timeline.usage[name]?.last else { return "" }
      let thirds = timeline.thirds(of: name)
      let memory = thirds.map { "\($0.second.bytes >> 20), \($0.last.bytes >> 20) MiB" } ?? "started too late to say"
      let files = thirds.map { "\($0.second.files), \($0.last.files)" } ?? "started too late to say"
      return "<tr><td>\(name)</td><td>\(first.bytes >> 20) MiB</td><td>\(last.bytes >> 20) MiB</td><td>\(memory)</td>"
        + "<td>\(first.files), \(last.files)</td><td>\(files)</td></tr>"
    }.joined()
  }

  /// Resident memory over time, a line for each process.
  private static func memory(_ timeline: Timeline) -> String {
    let (end, height) = (max(timeline.end, 1), 160.0)
    let most = Double(max(1, timeline.usage.values.joined().map(\.bytes).max() ?? 1))
    var parts = ["<text x=0 y=20>0 to \(Int(most) >> 20) MiB</text>"]
    for name in timeline.usage.keys.sorted() {
      let colour = name.hasPrefix("node") ? "#1565c0" : name.hasPrefix("gateway") ? "#2e7d32" : "#c62828"
      let points = (timeline.usage[name] ?? []).map { usage in
        let x = left + min(1, usage.time / end) * (width - left)
        return "\(number(x)),\(number(height * (1 - Double(usage.bytes) / most) + 5))"
      }
      parts.append("<polyline fill=none stroke=\(colour) points=\"\(points.joined(separator: " "))\"><title>\(name)</title></polyline>")
    }
    return "<svg width=\(Int(width) + 40) height=\(Int(height) + 20)>\(parts.joined())</svg>"
  }

  private static func picture(_ timeline: Timeline) -> String {
    let end = max(timeline.end, 1)
    func x(_ time: Double) -> Double { left + min(1, time / end) * (width - left) }
    var parts: [String] = []
    var y = 20.0
    for fault in timeline.faults {
      let stop = max(x(fault.end ?? end), x(fault.start) + 3)
      parts.append(
        "<rect x=\(number(x(fault.start))) y=\(number(y)) width=\(number(stop - x(fault.start))) height=10 fill=#c62828 "
          + "opacity=.7><title>\(escaped(fault.kind)) \(escaped(fault.target)), \(seconds(fault.start)) to "
          + "\(fault.end.map(seconds) ?? "the end")</title></rect>"
          + "<text x=0 y=\(number(y + 10))>\(escaped(fault.kind))</text>")
      y += 14
    }
    for kind in [Timeline.Operation.Kind.write, .read, .remove] {
      y += 16
      parts.append("<text x=0 y=\(number(y + 40))>\(kind.rawValue)s: 10 ms to 100 s</text>")
      for operation in timeline.operations where operation.kind == kind {
        // Latency grows upwards, a decade in 20 points.
        let latency = max(0.01, min(100, operation.end - operation.start))
        let height = 80 * (1 - log10(latency / 0.01) / 4)
        let colour = operation.succeeded ? "#1565c0" : "#c62828"
        parts.append("<circle cx=\(number(x(operation.end))) cy=\(number(y + height)) r=2 fill=\(colour) />")
      }
      y += 90
    }
    let most = Double(max(1, timeline.health.map(\.underReplicated).max() ?? 1))
    let line = timeline.health.map { "\(number(x($0.time))),\(number(y + 60 - 60 * Double($0.underReplicated) / most))" }
    parts.append("<text x=0 y=\(number(y + 40))>blocks below R: 0 to \(Int(most))</text>")
    parts.append("<polyline fill=none stroke=#2e7d32 points=\"\(line.joined(separator: " "))\" />")
    y += 70
    for tick in 0...10 {
      let time = end * Double(tick) / 10
      parts.append("<text x=\(number(x(time) - 8)) y=\(number(y + 16))>\(seconds(time))</text>")
    }
    return "<svg width=\(Int(width) + 40) height=\(Int(y) + 30)>\(parts.joined())</svg>"
  }

  /// Base 10, of a figure above zero.
  private static func log10(_ value: Double) -> Double {
    var (whole, rest) = (0.0, value)
    while rest >= 10 { (whole, rest) = (whole + 1, rest / 10) }
    while rest < 1 { (whole, rest) = (whole - 1, rest * 10) }
    // Straight between the powers of ten: near enough for a picture.
    return whole + (rest - 1) / 9
  }

  private static func number(_ value: Double) -> String { SVG.number(value) }
  private static func seconds(_ value: Double) -> String { "\((value * 100).rounded() / 100) s" }
  private static func percent(_ share: Double) -> String { "\((share * 10_000).rounded() / 100) %" }

  private static func escaped(_ text: String) -> String { SVG.escaped(text) }
}
