/// Writes families in Prometheus' text format 0.0.4.
struct MetricsWriter {
  private(set) var text = ""

  mutating func write(_ family: Metrics.Family) {
    text += "# HELP \(family.name) \(MetricsWriter.escaped(family.help, quotes: false))\n"
    text += "# TYPE \(family.name) \(family.kind.rawValue)\n"
    for (values, series) in family.series {
      let labels = zip(family.labelNames, values).map { "\($0)=\"\(MetricsWriter.escaped($1, quotes: true))\"" }
      switch series {
      case .counter(let counter): line(family.name, labels, counter.value)
      case .gauge(let gauge): line(family.name, labels, gauge.value)
      case .read(let read): line(family.name, labels, read())
      case .histogram(let histogram): write(histogram, name: family.name, labels)
      }
    }
  }

  private mutating func write(_ histogram: Histogram, name: String, _ labels: [String]) {
    let counts = histogram.snapshot()
    var total: UInt64 = 0
    for (index, count) in counts.buckets.enumerated() {
      total += count
      let bound = index < histogram.bounds.count ? MetricsWriter.number(histogram.bounds[index]) : "+Inf"
      line(name + "_bucket", labels + ["le=\"\(bound)\""], Double(total))
    }
    line(name + "_sum", labels, counts.sum)
    line(name + "_count", labels, Double(total))
  }

  private mutating func line(_ name: String, _ labels: [String], _ value: Double) {
    text += name
    if !labels.isEmpty { text += "{" + labels.joined(separator: ",") + "}" }
    text += " " + MetricsWriter.number(value) + "\n"
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == value.rounded(), abs(value) < 9e15 { return String(Int64(value)) }
    return String(value)
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case "\"" where quotes: result += "\\\""
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }
}
