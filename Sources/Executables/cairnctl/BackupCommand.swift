import CommandLineKit
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// `cairnctl backup FILE`: a copy of the metadata as it is now.
enum BackupCommand {
  private struct Written: Encodable {
    var file: String
    var bytes: Int64
  }

  static let command = Command(
    "backup", summary: "write a copy of the metadata to a file, while the cluster goes on",
    discussion: """
      The copy is one state of the database: users, folders, versions, shares, the layout. It names blocks and has none: what it refers \
      to is \
      on the nodes for as long as versions and trash are kept (“version-retention-days”), so restore a backup that is younger than that. \
      What was deleted for good since it was made may be gone; “cairnctl audit” names it after a restore.

      The file holds names and hashes of passwords: keep it as you keep keys. With PostgreSQL use pg_basebackup or pg_dump.
      """,
    arguments: [CommandArgument("FILE", help: "where the copy goes; it must not be there yet")],
    examples: ["cairnctl backup /var/backups/cairn-2026-01-31.db"]
  ) { invocation in
    let path = invocation.argument("FILE")
    guard try Directory.attributes(path) == nil else { throw CommandFailure(.conflict, "\(path) is there already; name another file.") }
    let part = path + ".part"
    let file = try File(part, [.read, .write, .create, .truncate])
    let bytes: Int64
    do {
      bytes = try await CoordinatorConnection().download("/v1/backup", to: file)
    } catch {
      try? Directory.remove(part)
      throw error
    }
    try file.fsync()
    try Directory.renameDurably(part, to: path)
    try invocation.console.result(Written(file: path, bytes: bytes)) { "\(path): \(HumanFormat.size(bytes))" }
  }
}
