/// Names with a mark before their suffix, cut to what a name may have: `report (restored 2026-11-21 060900).txt`.
package enum MarkedName {
  /// Bytes of the longest suffix, its dot counted; what is longer is part of the name.
  private static let suffixBytes = 32

  /// - Parameter limit: UTF-8 bytes that the result may have. It is longer only when mark and suffix alone are.
  package static func make(_ name: String, _ mark: String, limit: Int = Limits.nameBytes) -> String {
    guard !mark.isEmpty else { return name }
    var (base, suffix) = (name[...], Substring())
    // A name that begins with its only dot has no suffix.
    if let dot = name.lastIndex(of: "."), dot != name.startIndex, name[dot...].utf8.count <= suffixBytes {
      (base, suffix) = (name[..<dot], name[dot...])
    }
    while base.utf8.count + mark.utf8.count + suffix.utf8.count > limit, !base.isEmpty { base.removeLast() }
    return base + mark + suffix
  }
}

/// What the file is called that is kept beside somebody else's: `report (conflicted copy laptop 2026-11-21 093015).txt`, whoever names it:
/// the cluster, the client in an encrypted folder, or the sync agent.
package struct ConflictNaming: Sendable {
  /// Bytes of the device in a name, so that something of the name itself is left in every case.
  private static let deviceBytes = 64
  private static let beginning = " (conflicted copy "

  private let device: String
  private let stamp: String

  /// - Parameters:
  ///   - device: anything that a user typed; what cannot be part of a name is replaced.
  ///   - time: of the conflict, written in UTC to the second.
  package init(device: String, at time: WallTime) {
    var device = String(device.map { $0 == "/" || $0.isNewline || $0 == "\0" ? "-" : $0 })
    while device.utf8.count > Self.deviceBytes { device.removeLast() }
    self.device = (try? EntryName(device)) == nil ? "device" : device
    let text = time.rfc3339
    stamp = "\(text.prefix(10)) \(text.dropFirst(11).prefix(8).filter { $0 != ":" })"
  }

  /// - Parameters:
  ///   - attempt: from 0; above it a number is added, for another conflict within a second.
  ///   - limit: UTF-8 bytes that a name may have where it is going.
  package func name(for name: String, attempt: Int, limit: Int = Limits.nameBytes) -> String {
    MarkedName.make(name, "\(Self.beginning)\(device) \(stamp)\(attempt == 0 ? "" : " \(attempt + 1)"))", limit: limit)
  }

  /// Whether a name was made here, on whatever device.
  package static func isConflictedCopy(_ name: String) -> Bool { name.contains(beginning) }
}
