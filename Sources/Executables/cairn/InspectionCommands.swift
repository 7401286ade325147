import CairnClient
import CommandLineKit
import Platform

/// `explain` and `bench`: how a file is kept, and how quick the cluster is.
enum InspectionCommands {
  static let all = [explain, bench]

  // MARK: explain

  private struct Explanation: Encodable {
    var path: String
    /// The one that the blocks are of.
    var version: Int64
    /// Newest first.
    var versions: [Revision]
    var blocks: [BlockPlacement]
  }

  private static let explain = Command(
    "explain", summary: "show a file's revisions, the blocks of one, and where their copies are",
    arguments: [CommandArgument("REMOTE", help: "the file")],
    options: [
      CommandOption("version", value: "V", help: "whose blocks are shown; the newest by default", kind: .integer(1...Int.max)),
      CommandOption("limit", value: "N", help: "revisions at most", kind: .integer(1...100_000), default: "100"),
    ],
    examples: ["cairn explain /photos/2026.jpg", "cairn explain /docs/report.pdf --version 3 --json"]
  ) { invocation in
    let client = try Profile.current().client()
    let path = invocation.argument("REMOTE")
    let entry = try await client.entry(at: path)
    let versions = try await client.revisions(of: path, limit: invocation.int("limit") ?? 100)
    let version = invocation.int("version").map { Int64($0) } ?? versions.first?.version ?? entry.version
    let blocks = try await client.blocks(of: path, version: version)
    let console = invocation.console
    guard !console.isJSON else {
      return try console.printJSON(Explanation(path: entry.path, version: version, versions: versions, blocks: blocks))
    }
    var revisions = Table([.right("VERSION"), .right("SIZE"), .left("COMMITTED"), .left("BY"), .left("CONTENT HASH")])
    for revision in versions {
      revisions.add([
        String(revision.version), HumanFormat.size(revision.size), String(revision.committedAt.rfc3339.prefix(19)), revision.author,
        String(revision.contentHash.prefix(16)),
      ])
    }
    var table = Table([.right("OFFSET"), .right("SIZE"), .left("BLOCK"), .left("COPIES")])
    for block in blocks {
      table.add([
        String(block.offset), HumanFormat.size(block.size), block.id,
        block.copies.map { "\($0.node) in \($0.zone)" }.joined(separator: ", "),
      ])
    }
    console.write(revisions.render(style: console.style))
    console.write("\nversion \(version): \(HumanFormat.counted(blocks.count, "block"))\n\n")
    console.write(table.render(style: console.style))
  }

  // MARK: bench

  private static let bench = Command(
    "bench", summary: "measure how quick the cluster is for you",
    discussion: """
      Makes a folder of its own, works in it as any client does, and removes it for good. put uploads files of random bytes, get reads \
      them back, mixed does either in turn; meta makes, looks up, renames and removes empty folders. The times are of whole operations.
      """,
    options: [
      CommandOption(
        "mode", value: "MODE", help: "put, get, mixed or meta", kind: .choice(["put", "get", "mixed", "meta"]), default: "put"),
      CommandOption("size", value: "SIZE", help: "bytes of each file", kind: .size, default: "4MiB"),
      CommandOption("objects", value: "N", help: "files, or folders with meta", kind: .integer(1...1_000_000), default: "64"),
      CommandOption("concurrency", value: "C", help: "operations at a time", kind: .integer(1...256), default: "4"),
    ],
    examples: ["cairn bench", "cairn bench --mode get --size 64MiB --objects 16", "cairn bench --mode meta --objects 1000 --json"]
  ) { invocation in
    let run = BenchRun(
      client: try Profile.current().client(), size: Int(invocation.size("size") ?? 4 << 20), objects: invocation.int("objects") ?? 64,
      concurrency: invocation.int("concurrency") ?? 4)
    let result = try await run.measure(BenchRun.Mode(rawValue: invocation.option("mode") ?? "put") ?? .put)
    try invocation.console.result(result) {
      let bytes = result.bytesPerSecond > 0 ? "\(HumanFormat.rate(result.bytesPerSecond)), " : ""
      return "\(result.mode.rawValue): \(bytes)\(rounded(result.operationsPerSecond)) operations/s, "
        + "p50 \(rounded(result.p50Milliseconds)) ms, p99 \(rounded(result.p99Milliseconds)) ms "
        + "(\(HumanFormat.counted(result.operations, "operation")))"
    }
  }

  private static func rounded(_ value: Double) -> String {
    value >= 100 ? "\(Int(value.rounded()))" : "\((value * 10).rounded() / 10)"
  }
}
