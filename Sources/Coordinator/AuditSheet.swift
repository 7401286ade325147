internal import ClusterLogic
internal import ServiceAPI

/// What an audit found so far, invariant by invariant.
struct AuditSheet: Sendable {
  /// Sentences kept of one invariant; more are counted.
  private static let sentences = 100

  private struct Line: Sendable {
    var checked = 0
    var violated = 0
    var violations: [String] = []
  }

  /// One per invariant, in their order; nil where nothing was checked.
  private var lines = [Line?](repeating: nil, count: Invariant.allCases.count)

  mutating func record(_ invariant: Invariant, checked: Int, violations: [String]) {
    var line = lines[invariant.number - 1] ?? Line()
    line.checked += checked
    line.violated += violations.count
    line.violations += violations.prefix(max(0, AuditSheet.sentences - line.violations.count))
    lines[invariant.number - 1] = line
  }

  mutating func merge(_ other: AuditSheet) {
    for (index, theirs) in other.lines.enumerated() {
      guard let theirs else { continue }
      var line = lines[index] ?? Line()
      line.checked += theirs.checked
      line.violated += theirs.violated
      line.violations += theirs.violations.prefix(max(0, AuditSheet.sentences - line.violations.count))
      lines[index] = line
    }
  }

  var findings: [AuditFinding] {
    Invariant.allCases.compactMap { invariant in
      guard let line = lines[invariant.number - 1] else { return nil }
      let more = line.violated - line.violations.count
      return AuditFinding(
        invariant: invariant.number, statement: invariant.statement, holds: line.violated == 0, checked: line.checked,
        violations: line.violations + (more > 0 ? ["… and \(more) more."] : []))
    }
  }
}
