/// Numbers as people read them.
package enum HumanFormat {
  private static let sizeUnits = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]

  /// Binary units, three significant digits at most: `0 B`, `999 B`, `1.50 KiB`, `12.3 GiB`.
  package static func size(_ bytes: Int64) -> String {
    var value = Double(bytes.magnitude)
    var unit = 0
    // Above 999.5 the next unit reads better than four digits, and 1023.9 would else be shown as 1024.
    while value >= 999.5, unit < sizeUnits.count - 1 {
      value /= 1024
      unit += 1
    }
    let sign = bytes < 0 ? "-" : ""
    return sign + (unit == 0 ? "\(bytes.magnitude)" : significant(value)) + " " + sizeUnits[unit]
  }

  /// Bytes a second.
  package static func rate(_ bytesPerSecond: Double) -> String {
    guard bytesPerSecond.isFinite, bytesPerSecond >= 0 else { return "-" }
    return size(Int64(min(bytesPerSecond, 9e18))) + "/s"
  }

  /// The two largest units: `850 ms`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
  package static func duration(_ duration: Duration) -> String {
    let milliseconds = max(0, duration.components.seconds) * 1000 + max(0, duration.components.attoseconds) / 1_000_000_000_000_000
    let seconds = (milliseconds + 500) / 1000
    switch seconds {
    case _ where milliseconds < 1000: return "\(milliseconds) ms"
    case ..<60: return "\(seconds) s"
    case ..<3600: return pair(seconds / 60, "min", seconds % 60, "s")
    case ..<86_400: return pair(seconds / 3600, "h", seconds % 3600 / 60, "min")
    default: return pair(seconds / 86_400, "d", seconds % 86_400 / 3600, "h")
    }
  }

  /// With commas between thousands.
  package static func count(_ number: Int) -> String {
    let digits = Array(String(number.magnitude))
    var text = number < 0 ? "-" : ""
    for (index, digit) in digits.enumerated() {
      if index > 0, (digits.count - index) % 3 == 0 { text += "," }
      text.append(digit)
    }
    return text
  }

  /// `1 file`, `2 files`.
  package static func counted(_ number: Int, _ singular: String, _ plural: String? = nil) -> String {
    "\(count(number)) \(number == 1 ? singular : plural ?? singular + "s")"
  }

  private static func pair(_ first: Int64, _ firstUnit: String, _ second: Int64, _ secondUnit: String) -> String {
    second == 0 ? "\(first) \(firstUnit)" : "\(first) \(firstUnit) \(second) \(secondUnit)"
  }

  private static func significant(_ value: Double) -> String {
    let decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0
    let scale = [1.0, 10, 100][decimals]
    let scaled = Int64((value * scale).rounded())
    guard decimals > 0 else { return "\(scaled)" }
    let fraction = String(scaled % Int64(scale))
    return "\(scaled / Int64(scale))." + String(repeating: "0", count: decimals - fraction.count) + fraction
  }
}
