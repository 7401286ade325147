package import BlockModel
internal import Platform

/// How far the scrub of one disk has come; kept in the disk's folder, so that it goes on where it was (`docs/formats.md`, "Scrub").
///
/// What must hold: a place is passed only after every copy before it was read, or was not there. Losing this file costs time and nothing
/// else.
package struct ScrubProgress: Sendable, Equatable {
  static let fileName = "scrub"
  static let limitBytes = 4096
  private static let magic = "cairn scrub 1"

  /// One walk over all copies of the disk.
  package struct Pass: Sendable, Equatable {
    /// Every copy before this place was read.
    package var position = CopyPosition.start
    /// Where it ends: what came after it began is new, and read as such. So a walk ends however fast blocks come.
    package var end: CopyPosition
    package var started: WallTime
    package var doneCopies = 0
    package var doneBytes: Int64 = 0
    package init(started: WallTime, end: CopyPosition) {
      self.started = started
      self.end = end
    }
  }

  /// Every block that came after the disk was first scrubbed and lies before this place was read once.
  package var fresh: CopyPosition
  /// The pass under way; nil between two.
  package var pass: Pass?
  package var lastStarted: WallTime?
  package var lastFinished: WallTime?
  /// Copies found bad, and copies that the disk could not read, ever.
  package var rottenCopies = 0
  package var unreadableCopies = 0
  /// An operator stopped it.
  package var isPaused = false

  package init(fresh: CopyPosition) { self.fresh = fresh }

  var text: String {
    var lines = ScrubProgress.magic + "\nfresh \(fresh.segment) \(fresh.unit)\n"
    if let pass {
      lines += "pass \(pass.position.segment) \(pass.position.unit) \(pass.end.segment) \(pass.end.unit) "
      lines += "\(pass.started.rfc3339) \(pass.doneCopies) \(pass.doneBytes)\n"
    }
    if let lastStarted, let lastFinished { lines += "last \(lastStarted.rfc3339) \(lastFinished.rfc3339)\n" }
    lines += "rotten \(rottenCopies)\nunreadable \(unreadableCopies)\npaused \(isPaused ? 1 : 0)\n"
    return lines + "crc \(CRC32C.checksum(Array(lines.utf8)))\n"
  }

  /// Nil for anything that `text` does not write.
  init?(_ text: String) {
    var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.split(separator: " ").map(String.init) }
    guard lines.count > 3, lines.removeLast().isEmpty, lines.removeLast().first == "crc", lines.removeFirst() == ["cairn", "scrub", "1"]
    else { return nil }
    self.init(fresh: .start)
    for line in lines {
      guard take(line) else { return nil }
    }
    guard self.text == text else { return nil }
  }

  private mutating func take(_ line: [String]) -> Bool {
    let numbers = line.dropFirst().map { Int64($0) ?? -1 }
    func position(_ from: Int) -> CopyPosition? {
      guard let segment = UInt32(exactly: numbers[from]), let unit = UInt32(exactly: numbers[from + 1]) else { return nil }
      return CopyPosition(segment: segment, unit: unit)
    }
    switch (line.first, numbers.count) {
    case ("fresh", 2):
      guard let place = position(0) else { return false }
      fresh = place
    case ("pass", 7):
      guard let place = position(0), let end = position(2), let started = WallTime(rfc3339: line[5]), numbers[5] >= 0, numbers[6] >= 0
      else { return false }
      var pass = Pass(started: started, end: end)
      (pass.position, pass.doneCopies, pass.doneBytes) = (place, Int(numbers[5]), numbers[6])
      self.pass = pass
    case ("last", 2):
      guard let started = WallTime(rfc3339: line[1]), let finished = WallTime(rfc3339: line[2]) else { return false }
      (lastStarted, lastFinished) = (started, finished)
    case ("rotten", 1): rottenCopies = Int(numbers[0])
    case ("unreadable", 1): unreadableCopies = Int(numbers[0])
    case ("paused", 1): isPaused = numbers[0] == 1
    default: return false
    }
    return true
  }
}
