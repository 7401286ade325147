internal import BlockModel

/// Names for the file that is put beside another one: `report (conflicted copy laptop 2026-11-21 060900).txt`.
enum ConflictedCopyName {
  /// - Parameters:
  ///   - attempt: 0 first; above it a number is added, for a second conflict within a second.
  static func make(for name: String, device: String, at time: WallTime, attempt: Int) -> String {
    let stamp = time.rfc3339.prefix(19)
    let clock = stamp.suffix(8).filter { $0 != ":" }
    let number = attempt == 0 ? "" : " \(attempt + 1)"
    let device = device.map { $0 == "/" || $0.isNewline ? "-" : $0 }.prefix(64)
    let mark = " (conflicted copy \(String(device)) \(stamp.prefix(10)) \(clock)\(number))"
    var (base, suffix) = split(name)
    if suffix.utf8.count > 32 { (base, suffix) = (name, "") }
    while base.utf8.count + mark.utf8.count + suffix.utf8.count > Limits.nameBytes, !base.isEmpty { base.removeLast() }
    return base + mark + suffix
  }

  /// Cuts before the last dot; a name that begins with its only dot has no suffix.
  private static func split(_ name: String) -> (base: String, suffix: String) {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return (name, "") }
    return (String(name[..<dot]), String(name[dot...]))
  }
}
