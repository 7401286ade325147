import CairnClient

/// Keeps a folder safe: puts it into a cluster under the day's name, and says what could not be stored.
///
///     cairn-snapshot http://127.0.0.1:8080 TOKEN ~/Documents 2026-11-21
///
/// Days share what did not change: equal blocks are stored once, and are not even sent.
@main
struct Snapshot {
  static func main() async throws {
    let arguments = CommandLine.arguments
    guard arguments.count == 5 else {
      print("usage: cairn-snapshot GATEWAY TOKEN FOLDER NAME")
      return
    }
    let client = try CairnClient(Configuration(gateway: arguments[1], token: arguments[2]))
    let progress = TransferProgress()
    let watcher = Task {
      for await snapshot in progress.updates(every: .seconds(1)) { print("\(snapshot.files) files, \(snapshot.bytes) bytes") }
    }
    defer { watcher.cancel() }
    let options = UploadOptions(chunking: .contentDefined)
    let result = try await client.put(
      [arguments[3]], to: "/snapshots/\(arguments[4])", recursive: true, options: options, progress: progress)
    print("\(result.files) files with \(result.bytes) bytes are stored.")
    for failure in result.failures { print("\(failure.path): \(failure.error)") }
  }
}
