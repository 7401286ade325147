import Charts
import Testing

@Suite struct ScaleTests {
  @Test("the ends of the domain are the ends of the line, and what lies beyond stays on it", arguments: [(0.0, 100.0), (300, 40)])
  func places(start: Double, end: Double) {
    let scale = Scale(-10...30, from: start, to: end)
    #expect(scale.place(-10) == start && scale.place(30) == end && scale.place(10) == (start + end) / 2)
    #expect(scale.place(-1000) == start && scale.place(1000) == end && scale.place(.nan) == start)
  }

  @Test("a domain of one figure has it in the middle", arguments: [0.0, 7, -3])
  func single(value: Double) { #expect(Scale(value...value, from: 0, to: 10).place(value) == 5) }

  @Test(
    "ticks are round, lie in the domain, and are neither too few nor too many",
    arguments: [(0.0, 1.0), (0.998, 1.003), (0, 12_345), (-7, 3), (1e6, 3e9), (0, 1e-6)])
  func ticks(low: Double, high: Double) {
    let scale = Scale(low...high, from: 0, to: 100)
    let ticks = scale.ticks(6)
    #expect((2...8).contains(ticks.count), "\(ticks)")
    #expect(ticks.allSatisfy { $0 >= low - 1e-9 * abs(low) && $0 <= high * (1 + 1e-9) })
    let step = ticks[1] - ticks[0]
    var digit = step
    while digit >= 9.999 { digit /= 10 }
    while digit < 0.999 { digit *= 10 }
    #expect([1.0, 2, 5].contains { abs(digit - $0) < 1e-3 }, "the step is \(step)")
  }

  @Test(
    "labels say no more digits than there are",
    arguments: [(0.0, "0"), (1, "1"), (0.25, "0.25"), (9999, "9999"), (10_000, "10k"), (2_500_000, "2.5M"), (3e9, "3G"), (-20_000, "-20k")])
  func labels(value: Double, text: String) { #expect(Scale.label(value) == text) }
}

@Suite struct ChartTests {
  /// The attribute's figures, in the order of the tags that match.
  private static func attributes(_ name: String, of tag: String, in picture: String) -> [Double] {
    picture.split(separator: "\n").filter { $0.hasPrefix("<\(tag)") }.compactMap { line in
      guard let start = line.firstRange(of: " \(name)=\"")?.upperBound else { return nil }
      return Double(line[start...].prefix { $0 != "\"" })
    }
  }

  @Test("bars are as high as their figures say, and stand on the same line")
  func bars() {
    var chart = Chart("loads", x: "node", y: "partitions")
    chart.series = [.bars([10, 20, 40], colour: "#1565c0")]
    let picture = chart.render()
    let heights = Self.attributes("height", of: "rect", in: picture).filter { $0 > 10 && $0 < 400 }
    let tops = Self.attributes("y", of: "rect", in: picture)
    #expect(heights.count == 3 && abs(heights[1] / heights[0] - 2) < 0.02 && abs(heights[2] / heights[0] - 4) < 0.02, "\(heights)")
    #expect(zip(tops, heights).allSatisfy { abs($0 + $1 - (tops[0] + heights[0])) < 0.2 })
  }

  @Test("two series of bars stand side by side, not one before the other")
  func groups() {
    var chart = Chart("moves", x: "change", y: "replicas")
    chart.series = [.bars([1, 1], colour: "#111111"), .bars([1, 1], colour: "#222222")]
    let picture = chart.render()
    let places = Self.attributes("x", of: "rect", in: picture)
    let widths = Self.attributes("width", of: "rect", in: picture)
    #expect(places.count == 4)
    #expect(abs(places[2] - places[0] - widths[1]) < 0.3 && places[1] > places[2] + widths[1] - 0.3, "\(places) \(widths)")
  }

  @Test("what a title says stays text")
  func escaping() {
    let picture = Chart("a<b> & \"c\"", x: "", y: "").render()
    #expect(picture.contains("a&lt;b&gt; &amp; &quot;c&quot;") && !picture.contains("<b>"))
  }

  @Test("no figures, and figures that are none, make a picture all the same", arguments: [[Double](), [.nan], [.infinity, 1]])
  func empty(values: [Double]) {
    var chart = Chart("nothing", x: "x", y: "y")
    chart.series = [.bars(values, colour: "#000000"), .line(values.map { Chart.Point($0, $0) }, colour: "#000000")]
    let picture = chart.render()
    #expect(!picture.contains("nan") && !picture.contains("inf") && picture.hasSuffix("</svg>\n"))
  }
}
