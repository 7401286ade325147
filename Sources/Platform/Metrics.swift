internal import Synchronization

/// Labels of one series, in the order that the family's first series had.
package typealias MetricLabels = KeyValuePairs<String, String>

/// The numbers that a program shows of itself, in Prometheus' text format.
///
/// What must hold: a name has one kind, one help text and one list of label names; a family has at most `seriesLimit` series, and what
/// would go beyond is counted under the label value `other`, so that no stranger's input makes memory grow.
package final class Metrics: Sendable {
  enum Kind: String { case counter, gauge, histogram }

  enum Series: Sendable {
    case counter(Counter)
    case gauge(Gauge)
    case histogram(Histogram)
    case read(@Sendable () -> Double)
  }

  struct Family: Sendable {
    let name: String
    let kind: Kind
    let help: String
    let labelNames: [String]
    /// In the order they came; found by the values.
    var series: [(values: [String], series: Series)] = []
    var positions: [[String]: Int] = [:]
  }

  private struct State {
    /// In the order they came.
    var families: [Family] = []
    var positions: [String: Int] = [:]
  }

  private let state = Mutex(State())
  private let seriesLimit: Int

  package init(seriesLimit: Int = 256) { self.seriesLimit = seriesLimit }

  /// A number that only grows. `name` ends in `_total`. The same call again gives the same counter.
  package func counter(_ name: String, help: String, labels: MetricLabels = [:]) -> Counter {
    precondition(name.hasSuffix("_total"), "a counter's name ends in _total")
    guard case .counter(let counter) = series(name, .counter, help, labels, make: { .counter(Counter()) }) else {
      preconditionFailure("\(name) is read from elsewhere")
    }
    return counter
  }

  package func gauge(_ name: String, help: String, labels: MetricLabels = [:]) -> Gauge {
    guard case .gauge(let gauge) = series(name, .gauge, help, labels, make: { .gauge(Gauge()) }) else {
      preconditionFailure("\(name) is read from elsewhere")
    }
    return gauge
  }

  /// A gauge that is read when the metrics are asked for. `read` does not block. Registering the same series again changes nothing.
  package func gauge(_ name: String, help: String, labels: MetricLabels = [:], read: @escaping @Sendable () -> Double) {
    _ = series(name, .gauge, help, labels, make: { .read(read) })
  }

  /// A counter that is read when the metrics are asked for.
  package func counter(_ name: String, help: String, labels: MetricLabels = [:], read: @escaping @Sendable () -> Double) {
    precondition(name.hasSuffix("_total"), "a counter's name ends in _total")
    _ = series(name, .counter, help, labels, make: { .read(read) })
  }

  /// - Parameter buckets: upper bounds, growing, in the unit that the name ends in; the last, without end, is added.
  package func histogram(
    _ name: String, help: String, labels: MetricLabels = [:], buckets: [Double] = Histogram.durationBuckets
  ) -> Histogram {
    guard case .histogram(let histogram) = series(name, .histogram, help, labels, make: { .histogram(Histogram(buckets: buckets)) }) else {
      preconditionFailure("\(name) is read from elsewhere")
    }
    return histogram
  }

  private func series(_ name: String, _ kind: Kind, _ help: String, _ labels: MetricLabels, make: () -> Series) -> Series {
    precondition(Metrics.isName(name) && name.hasPrefix("cairn_"), "\(name) is no metric name of ours")
    let labelNames = labels.map(\.key)
    let values = labels.map(\.value)
    return state.withLock { state in
      let position: Int
      if let known = state.positions[name] {
        position = known
      } else {
        precondition(labelNames.allSatisfy { Metrics.isName($0) && !$0.contains(":") && $0 != "le" }, "\(name) has an impossible label")
        position = state.families.count
        state.families.append(Family(name: name, kind: kind, help: help, labelNames: labelNames))
        state.positions[name] = position
      }
      precondition(
        state.families[position].kind == kind && state.families[position].labelNames == labelNames,
        "\(name) has one kind and one list of labels")
      return state.families[position].series(of: values, limit: seriesLimit, make: make)
    }
  }

  /// Everything, in the text format 0.0.4; served as `text/plain; version=0.0.4; charset=utf-8`.
  package func render() -> String {
    let families = state.withLock { $0.families }
    var writer = MetricsWriter()
    for family in families.sorted(by: { $0.name < $1.name }) { writer.write(family) }
    return writer.text
  }

  package static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  private static func isName(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return name.utf8.allSatisfy { byte in
      (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: ":")
    }
  }
}

extension Metrics.Family {
  fileprivate mutating func series(of values: [String], limit: Int, make: () -> Metrics.Series) -> Metrics.Series {
    if let known = positions[values] { return series[known].series }
    var values = values
    if series.count >= limit, !values.isEmpty {
      values = values.map { _ in "other" }
      if let known = positions[values] { return series[known].series }
    }
    let made = make()
    positions[values] = series.count
    series.append((values, made))
    return made
  }
}
