import BlockModel
import CairnClient
import CommandLineKit
import Platform

/// What a transfer shows while it runs and when it is done.
enum TransferReport {
  /// Runs a transfer with a progress line on a terminal.
  static func watching<Value: Sendable>(
    _ console: Console, _ body: @Sendable (TransferProgress) async throws -> Value
  ) async throws -> Value {
    guard console.isErrorTerminal, !console.isQuiet, !console.isJSON else { return try await body(TransferProgress()) }
    let progress = TransferProgress()
    let bar = ProgressBar(console, label: "")
    let drawing = Task {
      for await snapshot in progress.updates() { draw(snapshot, on: bar) }
    }
    do {
      let value = try await body(progress)
      drawing.cancel()
      await drawing.value
      draw(progress.snapshot, on: bar)
      bar.finish()
      return value
    } catch {
      drawing.cancel()
      await drawing.value
      bar.finish(keepLine: false)
      throw error
    }
  }

  private static func draw(_ snapshot: TransferProgress.Snapshot, on bar: ProgressBar) {
    let files = snapshot.totalFiles ?? 0
    let name = snapshot.current.split(separator: "/").last.map(String.init) ?? ""
    bar.setLabel(files > 1 ? "\(HumanFormat.count(snapshot.files)) of \(HumanFormat.count(files)) files" : name)
    bar.setTotal(snapshot.totalBytes)
    bar.advance(by: Int(snapshot.bytes - bar.done))
    bar.tick()
  }

  private struct Summary: Encodable {
    struct Failure: Encodable {
      var path: String
      var kind: String
      var message: String
    }
    var files: Int
    var folders: Int
    var links: Int
    var bytes: Int64
    var entries: [Entry]
    var skipped: [String]
    var failures: [Failure]
  }

  /// Prints what was done. One file alone is shown as an entry, everything else as a summary.
  /// - Throws: `CommandFailure` when something failed: with the status of the first failure.
  static func finish(_ result: TreeResult, _ console: Console) throws {
    if console.isJSON {
      if result.entries.count == 1, result.files == 1, result.folders == 0, result.links == 0, result.failures.isEmpty {
        try console.printJSON(result.entries[0])
      } else {
        try console.printJSON(summary(result))
      }
    } else {
      for path in result.skipped { console.note("cairn: \(path) was left out: \(reason(path)).") }
      if result.files + result.folders + result.links > 1 { console.note(sentence(result)) }
    }
    guard let first = result.failures.first else { return }
    let status = CairnCommands.status(of: first.error)
    let hasDone = result.files + result.folders + result.links > 0
    guard result.failures.count > 1 || hasDone else { throw CommandFailure(status, sentence(first)) }
    for failure in result.failures { console.complain("cairn: \(sentence(failure))") }
    let count = HumanFormat.counted(result.failures.count, "item")
    // A name that cannot be stored is no mistake of the command line.
    throw CommandFailure(
      status == .usage ? .failed : status, "\(count) could not be transferred\(hasDone ? "; the others are done" : "").")
  }

  private static func sentence(_ failure: TransferFailure) -> String {
    CairnCommands.sentence(failure.error.message, naming: failure.path)
  }

  private static func reason(_ path: String) -> String {
    path.split(separator: "/").last?.contains(".cairn-part-") == true
      ? "it is what an interrupted download left" : "sockets, pipes and devices are not stored"
  }

  /// Says where conflicted copies are.
  /// - Parameter names: paths whose last components are the names that were meant; what has one of them is no copy.
  static func tellCopies(_ entries: [Entry], of names: [String], _ policy: OnConflict, _ console: Console) {
    guard policy == .copy else { return }
    let meant = Set(names.compactMap { $0.split(separator: "/").last.map(String.init) })
    for entry in entries where ConflictNaming.isConflictedCopy(entry.name) && !meant.contains(entry.name) {
      console.note("Somebody else's change came first; yours is \(entry.path).")
    }
  }

  private static func summary(_ result: TreeResult) -> Summary {
    Summary(
      files: result.files, folders: result.folders, links: result.links, bytes: result.bytes, entries: result.entries,
      skipped: result.skipped,
      failures: result.failures.map { .init(path: $0.path, kind: $0.error.kind.rawValue, message: $0.error.message) })
  }

  private static func sentence(_ result: TreeResult) -> String {
    var parts = ["\(HumanFormat.counted(result.files, "file")) with \(HumanFormat.size(result.bytes))"]
    if result.folders > 0 { parts.append(HumanFormat.counted(result.folders, "folder")) }
    if result.links > 0 { parts.append(HumanFormat.counted(result.links, "link")) }
    return parts.joined(separator: ", ") + "."
  }
}
