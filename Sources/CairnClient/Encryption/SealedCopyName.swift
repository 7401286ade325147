internal import BlockModel

/// Names for the file that is put beside another one in an encrypted folder, where only a client can make them:
/// `report (conflicted copy laptop 2026-11-21 060900).txt`, as the cluster makes them elsewhere.
enum SealedCopyName {
  /// - Parameters:
  ///   - path: of the file that was there first.
  ///   - attempt: 0 first; above it a number is added.
  static func make(for path: RemotePath, device: String, at time: WallTime, attempt: Int) throws -> RemotePath {
    guard let name = path.name else { throw CairnError(.invalidArgument, "“/” is a folder; name the file that is to be made.") }
    let stamp = time.rfc3339.prefix(19)
    let device = String(device.map { $0 == "/" || $0.isNewline ? "-" : $0 }.prefix(32))
    let number = attempt == 0 ? "" : " \(attempt + 1)"
    let mark = " (conflicted copy \(device) \(stamp.prefix(10)) \(stamp.suffix(8).filter { $0 != ":" })\(number))"
    var (base, suffix) = split(name.text)
    if suffix.utf8.count > 32 { (base, suffix) = (name.text, "") }
    while base.utf8.count + mark.utf8.count + suffix.utf8.count > SealedForm.nameBytes, !base.isEmpty { base.removeLast() }
    return RemotePath(components: path.components.dropLast() + [try EntryName(base + mark + suffix)])
  }

  /// Cuts before the last dot; a name that begins with its only dot has no suffix.
  private static func split(_ name: String) -> (base: String, suffix: String) {
    guard let dot = name.lastIndex(of: "."), dot != name.startIndex else { return (name, "") }
    return (String(name[..<dot]), String(name[dot...]))
  }
}
