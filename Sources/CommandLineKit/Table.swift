/// Rows in aligned columns.
package struct Table: Sendable {
  package struct Column: Sendable {
    package enum Side: Sendable { case left, right }
    var title: String
    var side: Side

    package static func left(_ title: String) -> Column { Column(title: title, side: .left) }
    /// For numbers.
    package static func right(_ title: String) -> Column { Column(title: title, side: .right) }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  package init(_ columns: [Column]) { self.columns = columns }

  /// One value for each column. Control characters are replaced.
  package mutating func add(_ row: [String]) {
    precondition(row.count == columns.count, "a row has a value for each column")
    rows.append(row.map(TextWidth.sanitised))
  }

  package var isEmpty: Bool { rows.isEmpty }

  /// Every line ends with a line feed and has no spaces before it. The titles are printed even when there are no rows.
  package func render(style: Style = .plain) -> String {
    let titles = columns.map(\.title)
    let widths = columns.indices.map { index in ([titles] + rows).map { TextWidth.columns(of: $0[index]) }.max() ?? 0 }
    let head = style.bold(line(titles, widths))
    return ([head] + rows.map { line($0, widths) }).map { $0 + "\n" }.joined()
  }

  private func line(_ row: [String], _ widths: [Int]) -> String {
    var text = ""
    for (index, value) in row.enumerated() {
      let padding = String(repeating: " ", count: widths[index] - TextWidth.columns(of: value))
      text += (index == 0 ? "" : "  ") + (columns[index].side == .right ? padding + value : value + padding)
    }
    while text.last == " " { text.removeLast() }
    return text
  }
}

/// Colours, on a terminal that shows them; the text alone elsewhere.
package struct Style: Sendable {
  private let isColoured: Bool

  package static let plain = Style(isColoured: false)
  package static let coloured = Style(isColoured: true)

  package func bold(_ text: String) -> String { wrapped(text, "1") }
  package func dim(_ text: String) -> String { wrapped(text, "2") }
  package func red(_ text: String) -> String { wrapped(text, "31") }
  package func green(_ text: String) -> String { wrapped(text, "32") }
  package func yellow(_ text: String) -> String { wrapped(text, "33") }

  private func wrapped(_ text: String, _ code: String) -> String {
    isColoured && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
