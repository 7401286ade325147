/// How full a disk is, in steps at which something changes.
package enum SpaceLevel: Int, Sendable, Comparable, CaseIterable {
  case normal
  /// Somebody should know.
  case warning
  /// Takes no copies that repair or rebalance would bring; clients' blocks still go in.
  case noCopies
  /// Takes no blocks at all. Deletes, reads, and compaction go on.
  case noBlocks

  package static func < (a: SpaceLevel, b: SpaceLevel) -> Bool { a.rawValue < b.rawValue }
}

/// The shares of a disk's capacity at which its level changes (design, section 4). A value that decides, and does nothing.
package struct Watermarks: Sendable, Equatable {
  /// In thousandths of the capacity.
  package var warning = 850
  package var noCopies = 900
  package var noBlocks = 950

  package init() {}

  package func level(capacityBytes: Int64, freeBytes: Int64) -> SpaceLevel {
    let used = max(0, capacityBytes - freeBytes)
    func reaches(_ thousandths: Int) -> Bool { used >= Watermarks.part(thousandths, of: capacityBytes) }
    return reaches(noBlocks) ? .noBlocks : reaches(noCopies) ? .noCopies : reaches(warning) ? .warning : .normal
  }

  /// Bytes of the capacity that blocks never take.
  package func keptBytes(capacityBytes: Int64) -> Int64 { capacityBytes - Watermarks.part(noBlocks, of: capacityBytes) }

  /// Rounded up, and without multiplying what may be large.
  private static func part(_ thousandths: Int, of bytes: Int64) -> Int64 {
    let (thousands, rest) = bytes.quotientAndRemainder(dividingBy: 1000)
    return thousands * Int64(thousandths) + (rest * Int64(thousandths) + 999) / 1000
  }
}
