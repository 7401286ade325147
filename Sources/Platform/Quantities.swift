/// Sizes as people write them: `4096`, `64KiB`, `1.5 GiB`, `2 GB`.
package enum ByteSize {
  private static let units: [(name: String, factor: Double)] = [
    ("b", 1), ("k", 1024), ("m", 1_048_576), ("g", 1_073_741_824), ("t", 1_099_511_627_776), ("kib", 1024), ("mib", 1_048_576),
    ("gib", 1_073_741_824), ("tib", 1_099_511_627_776), ("pib", 1_125_899_906_842_624), ("kb", 1e3), ("mb", 1e6), ("gb", 1e9), ("tb", 1e12),
    ("pb", 1e15),
  ]

  /// Bytes; nil when it is not a size. Single letters and the names with `i` are binary, `kB` and its like are decimal.
  package static func parse(_ text: String) -> Int64? {
    guard let (number, unit) = Quantity.split(text) else { return nil }
    let name = unit.lowercased()
    guard let factor = name.isEmpty ? 1 : units.first(where: { $0.name == name })?.factor else { return nil }
    if factor == 1 { return Int64(number) }
    guard let value = Double(number), value * factor < 9.2e18 else { return nil }
    return Int64((value * factor).rounded())
  }
}

/// Durations as people write them: `250ms`, `10s`, `5m`, `12h`, `30d`, `2w`.
package enum DurationText {
  private static let units: [(name: String, nanoseconds: Double)] = [
    ("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 6e10), ("min", 6e10), ("h", 3.6e12), ("d", 8.64e13), ("w", 6.048e14),
  ]

  /// Nil when it is not a duration, has no unit (except `0`), or is over 292 years.
  package static func parse(_ text: String) -> Duration? {
    guard let (number, unit) = Quantity.split(text) else { return nil }
    if unit.isEmpty { return Double(number) == 0 ? .zero : nil }
    guard let factor = units.first(where: { $0.name == unit })?.nanoseconds, let value = Double(number), value * factor < 9.2e18 else {
      return nil
    }
    return .nanoseconds(Int64((value * factor).rounded()))
  }
}

enum Quantity {
  /// A number without a sign, and the unit after it with at most one space in between.
  static func split(_ text: String) -> (number: String, unit: String)? {
    let number = text.prefix { ("0"..."9").contains($0) || $0 == "." }
    var unit = text[number.endIndex...]
    if unit.first == " " { unit = unit.dropFirst() }
    guard let first = number.first, first != ".", number.last != ".", number.filter({ $0 == "." }).count <= 1,
      unit.allSatisfy({ $0.isASCII && $0.isLetter })
    else { return nil }
    return (String(number), String(unit))
  }
}
