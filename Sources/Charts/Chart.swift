/// A picture of figures over two axes, as SVG that a browser shows by itself.
package struct Chart: Sendable {
  package enum Series: Sendable {
    /// One bar for each figure, side by side, beginning at zero.
    case bars([Double], colour: String)
    /// A line through points.
    case line([Point], colour: String)
  }

  package struct Point: Sendable, Equatable {
    package var x: Double
    package var y: Double
    package init(_ x: Double, _ y: Double) { (self.x, self.y) = (x, y) }
  }

  package var title: String
  package var xLabel: String
  package var yLabel: String
  /// What each bar is, where there is room for words below it.
  package var names: [String] = []
  package var series: [Series] = []
  /// Names of the series, in their order.
  package var legend: [String] = []
  /// A dashed line across, and what it says.
  package var goal: (y: Double, text: String)?
  /// Nil: from zero to the greatest figure.
  package var yDomain: ClosedRange<Double>?

  package init(_ title: String, x: String, y: String) {
    self.title = title
    xLabel = x
    yLabel = y
  }

  static let size = (width: 900.0, height: 420.0)
  static let frame = (left: 80.0, right: 20.0, top: 56.0, bottom: 64.0)
  private static let baseline = size.height - frame.bottom

  var yScale: Scale {
    let domain = yDomain ?? Scale.rangeFromZero(series.flatMap(Chart.heights) + (goal.map { [$0.y] } ?? []))
    return Scale(domain, from: Chart.baseline, to: Chart.frame.top)
  }

  /// Bars stand at whole numbers, each half a unit to both sides.
  var xScale: Scale {
    let bars = series.map { if case .bars(let values, _) = $0 { values.count } else { 0 } }.max() ?? 0
    let points = series.flatMap { series -> [Double] in if case .line(let points, _) = series { points.map(\.x) } else { [] } }
      .filter(\.isFinite)
    let low = bars > 0 ? -0.5 : points.min() ?? 0
    let high = bars > 0 ? Double(bars) - 0.5 : points.max() ?? 1
    return Scale(
      min(low, points.min() ?? low)...max(high, points.max() ?? high), from: Chart.frame.left, to: Chart.size.width - Chart.frame.right)
  }

  private static func heights(_ series: Series) -> [Double] {
    switch series {
    case .bars(let values, _): values
    case .line(let points, _): points.map(\.y)
    }
  }

  // MARK: Drawing

  package func render() -> String {
    let (x, y) = (xScale, yScale)
    let size = Chart.size
    var parts = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(Int(size.width))\" height=\"\(Int(size.height))\" "
        + "viewBox=\"0 0 \(Int(size.width)) \(Int(size.height))\" font-family=\"sans-serif\" font-size=\"12\">",
      "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>",
      text(title, Chart.frame.left, 20, size: 15),
      text(yLabel, Chart.frame.left, 42), text(xLabel, size.width / 2, size.height - 10, anchor: "middle"),
    ]
    parts += axes(x, y)
    for (number, one) in series.enumerated() { parts.append(draw(one, number, x, y)) }
    if let goal {
      let place = SVG.number(y.place(goal.y))
      parts.append(
        "<line x1=\"\(SVG.number(x.start))\" x2=\"\(SVG.number(x.end))\" y1=\"\(place)\" y2=\"\(place)\" stroke=\"#c62828\" "
          + "stroke-dasharray=\"6 4\"/>")
      parts.append(text(goal.text, x.end, y.place(goal.y) - 4, anchor: "end", colour: "#c62828"))
    }
    parts += legendParts()
    return parts.joined(separator: "\n") + "\n</svg>\n"
  }

  private func axes(_ x: Scale, _ y: Scale) -> [String] {
    var parts: [String] = []
    for tick in y.ticks() {
      let place = SVG.number(y.place(tick))
      parts.append(
        "<line x1=\"\(SVG.number(x.start))\" x2=\"\(SVG.number(x.end))\" y1=\"\(place)\" y2=\"\(place)\" stroke=\"#ddd\"/>")
      parts.append(text(Scale.label(tick), Chart.frame.left - 6, y.place(tick) + 4, anchor: "end"))
    }
    if names.isEmpty {
      for tick in x.ticks(10) { parts.append(text(Scale.label(tick), x.place(tick), Chart.baseline + 18, anchor: "middle")) }
    } else {
      for (index, name) in names.enumerated() { parts.append(text(name, x.place(Double(index)), Chart.baseline + 18, anchor: "middle")) }
    }
    return parts
  }

  private func draw(_ one: Series, _ number: Int, _ x: Scale, _ y: Scale) -> String {
    switch one {
    case .line(let points, let colour):
      let places = points.map { "\(SVG.number(x.place($0.x))),\(SVG.number(y.place($0.y)))" }
      return "<polyline fill=\"none\" stroke=\"\(colour)\" stroke-width=\"1.5\" points=\"\(places.joined(separator: " "))\"/>"
    case .bars(let values, let colour):
      let groups = series.count { if case .bars = $0 { true } else { false } }
      return values.enumerated().map { index, value in
        bar(at: index, value, colour, groups: groups, number: number, x, y)
      }.joined(separator: "\n")
    }
  }

  /// Series of bars share a unit's width, with a fifth of it left free.
  private func bar(at index: Int, _ value: Double, _ colour: String, groups: Int, number: Int, _ x: Scale, _ y: Scale) -> String {
    let unit = x.place(1) - x.place(0)
    let width = unit * 0.8 / Double(max(1, groups))
    let left = x.place(Double(index)) - unit * 0.4 + Double(number) * width
    let (top, bottom) = (y.place(max(value, 0)), y.place(min(value, 0)))
    return "<rect x=\"\(SVG.number(left))\" y=\"\(SVG.number(top))\" width=\"\(SVG.number(max(0.2, width)))\" "
      + "height=\"\(SVG.number(bottom - top))\" fill=\"\(colour)\"/>"
  }

  private func legendParts() -> [String] {
    var parts: [String] = []
    var left = Chart.size.width - Chart.frame.right
    for (name, one) in zip(legend, series).reversed() {
      let colour =
        switch one {
        case .bars(_, let colour), .line(_, let colour): colour
        }
      // Seven points a letter is more than enough for most.
      left -= Double(name.count) * 7 + 24
      parts.append("<rect x=\"\(SVG.number(left))\" y=\"32\" width=\"10\" height=\"10\" fill=\"\(colour)\"/>")
      parts.append(text(name, left + 14, 42))
    }
    return parts
  }

  private func text(
    _ text: String, _ x: Double, _ y: Double, anchor: String = "start", size: Int = 12, colour: String = "#444"
  ) -> String {
    "<text x=\"\(SVG.number(x))\" y=\"\(SVG.number(y))\" text-anchor=\"\(anchor)\" font-size=\"\(size)\" fill=\"\(colour)\">"
      + "\(SVG.escaped(text))</text>"
  }
}
