import BlockModel
import CommandLineKit
import HTTPTransport
import Platform

/// The load generator that `scripts/bench` calls; the servers that it loads are started there.
enum BenchCommands {
  static let tool = CommandLineTool(
    root: Command(
      "cairnbench", summary: "put a measured load on nodes, clusters and plain HTTP servers",
      discussion: "Prints rows of Markdown tables. scripts/bench starts what it needs and calls it.",
      options: [
        CommandOption("keys", value: "FILE", help: "the cluster's key file, to sign URLs with"),
        CommandOption("rounds", value: "N", help: "measured rounds, after one that warms up", kind: .integer(1...100), default: "3"),
        CommandOption("count", value: "N", help: "objects a round", kind: .integer(1...1_000_000), default: "100"),
        CommandOption("size", value: "BYTES", help: "bytes of an object", kind: .size, default: "4MiB"),
        CommandOption("concurrency", value: "N", help: "requests under way at once", kind: .integer(1...1024), default: "4"),
        CommandOption("label", value: "TEXT", help: "what the rows begin with", default: ""),
        CommandOption("goal", value: "N", help: "what the figure is held against"),
      ],
      subcommands: [
        node, blocks, urls, stall, FeedBench.command, FairnessBench.command, MetadataBench.command, StoreCommands.store,
        StoreCommands.files, StoreCommands.limits, StoreIndexBench.command, PlacementBench.command, ScaleBench.command,
        LatencyBench.command, ChunkingBench.command, AvailabilityBench.command,
      ]),
    version: CairnVersion.text)

  private static let node = Command(
    "node", summary: "measure one node against a plain HTTP server, in turn",
    options: [
      CommandOption("peer", value: "URL", help: "base URL of the plain server", isRequired: true),
      CommandOption("put-goal", value: "N", help: "ratio to reach with PUT"),
      CommandOption("get-goal", value: "N", help: "ratio to reach with GET"),
    ]
  ) { invocation in
    let setup = try await Setup(invocation)
    let comparison = NodeAgainstServer(
      load: setup.load, targets: setup.targets, peer: invocation.option("peer") ?? "", rounds: setup.rounds, count: setup.count,
      sizeBytes: setup.sizeBytes)
    let rows = try await comparison.run(
      label: setup.label, putGoal: invocation.option("put-goal").flatMap { Double($0) },
      getGoal: invocation.option("get-goal").flatMap { Double($0) })
    invocation.console.print(Comparison.header)
    for row in rows { invocation.console.print(row.row(\.megabytesPerSecond, unit: "MB/s")) }
  }

  private static let blocks = Command("blocks", summary: "put blocks straight to a cluster's nodes") { invocation in
    let setup = try await Setup(invocation)
    var rates: [RoundResult] = []
    for _ in 0..<setup.rounds {
      rates.append(try await ClusterBlocks(load: setup.load, targets: setup.targets).put(count: setup.count, sizeBytes: setup.sizeBytes))
    }
    let rate = Comparison.median(rates.map(\.operationsPerSecond))
    let goal = invocation.option("goal").map { "≥ \($0)" } ?? ""
    invocation.console.print("| \(setup.label) | \(rounded(rate)) | \(goal) |")
  }

  private static let urls = Command(
    "urls", summary: "put blocks and print the path and query of a signed GET URL for each", discussion: "For other load generators."
  ) { invocation in
    let setup = try await Setup(invocation)
    let objects = Objects(count: setup.count, sizeBytes: setup.sizeBytes)
    _ = try await ClusterBlocks(load: setup.load, targets: setup.targets).put(objects)
    for id in objects.ids {
      let url = try setup.targets.get(id, sizeBytes: setup.sizeBytes)
      invocation.console.print(String(url.drop { $0 != ":" }.dropFirst(3).drop { $0 != "/" }))
    }
  }

  private static let stall = Command(
    "stall", summary: "upload a file and print the longest time without progress, in seconds",
    options: [
      CommandOption("file", value: "FILE", help: "what to upload", isRequired: true),
      CommandOption("remote", value: "PATH", help: "where to", isRequired: true),
    ]
  ) { invocation in
    let longest = try await LongestStall.ofUpload(invocation.option("file") ?? "", to: invocation.option("remote") ?? "")
    invocation.console.print(rounded(longest.inSeconds, 2))
  }
}

/// What the commands that talk to a cluster share.
private struct Setup {
  let load: LoadGenerator
  let targets: ClusterTargets
  let rounds: Int
  let count: Int
  let sizeBytes: Int
  let label: String

  init(_ invocation: Invocation) async throws {
    guard let keyFile = invocation.option("keys") else {
      throw CommandFailure(.usage, "--keys is missing: name the cluster's key file, keys/cluster.keys in its folder.")
    }
    let environment = try BenchEnvironment()
    let concurrency = invocation.int("concurrency") ?? 4
    var configuration = HTTPClient.Configuration()
    configuration.caPEM = environment.authorityPEM
    configuration.connectionsPerHost = concurrency
    configuration.uploadBufferBytes = 1 << 20
    let client = HTTPClient(configuration: configuration)
    load = LoadGenerator(client: client, concurrency: concurrency)
    targets = try await ClusterTargets(
      coordinator: environment.coordinator, token: environment.operatorToken, keyFile: keyFile, client: client)
    rounds = invocation.int("rounds") ?? 3
    count = invocation.int("count") ?? 100
    sizeBytes = Int(invocation.size("size") ?? Int64(Limits.blockBytes))
    label = invocation.option("label") ?? ""
  }
}
