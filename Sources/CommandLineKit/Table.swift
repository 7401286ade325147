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

  /// One value for each column.
  package mutating func add(_ row: [String]) {
    precondition(row.count == columns.count, "a row has a value for each column")
    rows.append(row)
  }

  package var isEmpty: Bool { rows.isEmpty }

  /// Every line ends with a line feed and has no spaces before it. The titles are printed even when there are no rows.
  /// Values are shown as the style shows text.
  package func render(style: Style = .plain) -> String {
    let titles = columns.map(\.title)
    let rows = rows.map { $0.map(style.shown) }
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

/// How text is shown: on a terminal without what could steer it, and in colours where there are some; elsewhere as it is.
package struct Style: Sendable {
  private let isColoured: Bool
  private let isExact: Bool

  package static let plain = Style(isColoured: false, isExact: false)
  package static let coloured = Style(isColoured: true, isExact: false)
  /// For a pipe or a file, whose reader wants names as they are, line feeds among them.
  package static let exact = Style(isColoured: false, isExact: true)

  /// Text from elsewhere, such as a name.
  package func shown(_ text: String) -> String { isExact ? text : TextWidth.sanitised(text) }

  package func bold(_ text: String) -> String { wrapped(text, "1") }
  package func dim(_ text: String) -> String { wrapped(text, "2") }
  package func red(_ text: String) -> String { wrapped(text, "31") }
  package func green(_ text: String) -> String { wrapped(text, "32") }
  package func yellow(_ text: String) -> String { wrapped(text, "33") }

  private func wrapped(_ text: String, _ code: String) -> String {
    isColoured && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
  }
}
