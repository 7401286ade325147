internal import BlockModel
internal import Platform
internal import Synchronization

/// Where a client's journals lie, and the name of the cluster in them.
struct TransferJournals: Sendable {
  let folder: String
  let gateway: String
  let sweep: JournalSweep

  var cuts: CutRecords { CutRecords(folder: folder + "/cuts") }
}

/// Removes what interrupted transfers left behind that nobody came back for: journals, and the part files of downloads.
///
/// What must hold: nothing of a transfer that is under way is touched, because who transfers holds its journal's lock and keeps it young.
final class JournalSweep: Sendable {
  /// An upload's session has ended long before; a download that nobody asked for again in two weeks is not missed.
  static let age = Duration.seconds(14 * 24 * 3600)

  private let folder: String
  private let time: any TimeSource
  private let hasRun = Mutex(false)

  init(folder: String, time: any TimeSource) {
    self.folder = folder
    self.time = time
  }

  /// Sweeps the first time that it is called. Blocks.
  func runOnce() {
    let isFirst = hasRun.withLock { hasRun in
      defer { hasRun = true }
      return !hasRun
    }
    guard isFirst else { return }
    for kind in ["uploads", "downloads"] {
      let folder = "\(folder)/\(kind)"
      for name in (try? Directory.list(folder)) ?? [] where name.hasSuffix(".journal") { sweep("\(folder)/\(name)") }
    }
  }

  private func sweep(_ path: String) {
    guard isOld(path), let opened = try? Journal.open(path) else { return }
    // Somebody may have taken it up between the two looks.
    guard isOld(path) else { return }
    DownloadJournal.part(opened.lines)?.discard()
    try? opened.journal.remove()
  }

  private func isOld(_ path: String) -> Bool {
    guard let attributes = try? Directory.attributes(path), attributes.kind == .file else { return false }
    return time.wall() - WallTime(microseconds: attributes.modifiedNanoseconds / 1000) > JournalSweep.age
  }
}
