import BlockModel
import CommandLineKit
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// What metadata operations take through gateway and coordinator, over a tree that `scripts/bench meta` has filled in bulk.
enum MetadataBench {
  static let command = Command(
    "metadata", summary: "measure metadata operations through a gateway, one row for each part",
    discussion: """
      CAIRN_TOKEN is the owner of the seeded tree, CAIRN_MEMBER_TOKEN somebody with whom a part of it is shared, CAIRN_CROWD_TOKENS are \
      other users, by blanks.
      """,
    options: [
      CommandOption(
        "part", value: "NAME", help: "commits, crowd, listing, stat, large, shared or rename", isRequired: true),
      CommandOption(
        "files-per-leaf", value: "N", help: "files in each folder at the end of the seeded tree (4900: five million in all)"),
    ]
  ) { invocation in
    let bench = try await Bench(invocation)
    for row in try await bench.measure(invocation.option("part") ?? "") { invocation.console.print(row) }
  }
}

private struct Bench: Sendable {
  private let owner: APICaller
  private let member: APICaller
  private let crowd: [APICaller]
  private let nodes: StandInNodes
  private let rounds: Int
  private let count: Int
  private let concurrency: Int
  private let label: String
  private let tree: SeededTree

  init(_ invocation: Invocation) async throws {
    guard let keyFile = invocation.option("keys") else { throw CommandFailure(.usage, "--keys is missing: name the cluster's key file.") }
    let environment = try BenchEnvironment()
    concurrency = invocation.int("concurrency") ?? 32
    var configuration = HTTPClient.Configuration()
    configuration.caPEM = environment.authorityPEM
    configuration.connectionsPerHost = concurrency
    let http = HTTPClient(configuration: configuration)
    let gateway = try BenchEnvironment.required("CAIRN_GATEWAY")
    owner = APICaller(http: http, gateway: gateway, token: try BenchEnvironment.required("CAIRN_TOKEN"))
    member = APICaller(http: http, gateway: gateway, token: BenchEnvironment.optional("CAIRN_MEMBER_TOKEN") ?? "")
    crowd = (BenchEnvironment.optional("CAIRN_CROWD_TOKENS") ?? "").split(separator: " ").map {
      APICaller(http: http, gateway: gateway, token: String($0))
    }
    nodes = try await StandInNodes(environment, keyFile: keyFile, client: http)
    rounds = invocation.int("rounds") ?? 3
    count = invocation.int("count") ?? 1000
    label = invocation.option("label") ?? ""
    tree = SeededTree(filesPerLeaf: invocation.int("files-per-leaf") ?? 4900)
  }

  func measure(_ part: String) async throws -> [String] {
    switch part {
    case "commits": try await commits()
    case "crowd": try await commitsOfCrowd()
    case "listing": try await listing()
    case "stat": try await stat()
    case "large": try await large()
    case "shared": try await shared()
    case "rename": try await rename()
    default: throw CommandFailure(.usage, "There is no part “\(part)” of the metadata's measurements.")
    }
  }

  // MARK: - Parts

  /// New files of one block each. Prints rates alone, a second: commits of sessions that are open, whole files one by one (a session and a
  /// commit each), and whole files in batches as the client sends small ones. The script knows what they are held against.
  private func commits() async throws -> [String] {
    var (commits, files, batched): ([Double], [Double], [Double]) = ([], [], [])
    // The first round warms up.
    for round in 0...rounds {
      let opened = try await sessions(in: folder(), of: [owner])
      let commit = try await run { index in try await complete(opened[index], as: owner) }
      let name = folder()
      let whole = try await run { index in
        let session = try await open(request(name, index), [StandInNodes.newBlock(sizeBytes: 16_384)], as: owner)
        try await complete(session, as: owner)
      }
      let together = folder()
      let begin = ContinuousClock.now
      let batches = count / MetadataBench.filesTogether
      try await LoadGenerator.run(count: batches, concurrency: 4) { batch in
        try await commitTogether((0..<MetadataBench.filesTogether).map { request(together, batch * MetadataBench.filesTogether + $0) })
        return 0
      }.check()
      let seconds = (ContinuousClock.now - begin).inSeconds
      guard round > 0 else { continue }
      commits.append(commit.operationsPerSecond)
      files.append(whole.operationsPerSecond)
      batched.append(Double(batches * MetadataBench.filesTogether) / seconds)
    }
    return [[commits, files, batched].map { rounded(Comparison.median($0)) }.joined(separator: " ")]
  }

  /// New files of one block each, whose sessions are open, of as many users as there are in turn: the rate of commits alone, a second.
  private func commitsOfCrowd() async throws -> [String] {
    guard !crowd.isEmpty else { throw CommandFailure(.usage, "CAIRN_CROWD_TOKENS is missing: name some users' tokens.") }
    var rates: [Double] = []
    for round in 0...rounds {
      let opened = try await sessions(in: folder(), of: crowd)
      let commit = try await run { index in try await complete(opened[index], as: crowd[index % crowd.count]) }
      if round > 0 { rates.append(commit.operationsPerSecond) }
    }
    return [rounded(Comparison.median(rates))]
  }

  private func folder() -> String { "/commits-\(UInt32.random(in: 0...(.max)))" }

  private func request(_ folder: String, _ index: Int) -> UploadRequest {
    UploadRequest(path: "\(folder)/\(index % 8)/\(index)", parents: true)
  }

  /// Open sessions, with their receipts, of these callers in turn.
  private func sessions(in folder: String, of callers: [APICaller]) async throws -> [(id: UploadID, receipts: [String])] {
    let opened = Mutex<[Int: (id: UploadID, receipts: [String])]>([:])
    _ = try await run { index in
      let one = try await open(
        request(folder, index), [StandInNodes.newBlock(sizeBytes: 16_384)], as: callers[index % callers.count])
      opened.withLock { $0[index] = one }
    }
    return opened.withLock { found in (0..<count).compactMap { found[$0] } }
  }

  /// One request that opens all and one that commits them.
  private func commitTogether(_ requests: [UploadRequest]) async throws {
    let announced = requests.map { request in
      var request = request
      request.blocks = [StandInNodes.newBlock(sizeBytes: 16_384)]
      return request
    }
    let opened = try await owner.call(.post, "/v1/uploads/batch", BatchOpenRequest(uploads: announced), as: BatchOpenResponse.self)
    let items = try opened.results.map { result in
      let state = try Bench.value(of: result)
      let receipts = state.missing.flatMap { nodes.receipts(BlockRef(id: $0.id, size: $0.size), state.uploadID) }
      return BatchCompleteRequest.Item(uploadID: state.uploadID, complete: CompleteRequest(receipts: receipts))
    }
    let done = try await owner.call(
      .post, "/v1/uploads/batch/complete", BatchCompleteRequest(uploads: items), as: BatchCompleteResponse.self)
    for result in done.results { _ = try Bench.value(of: result) }
  }

  private static func value<Value>(of result: ItemResult<Value>) throws -> Value {
    guard let value = result.value else { throw BenchFailed(reason: result.problem?.detail ?? "neither a value nor a problem came") }
    return value
  }

  private func listing() async throws -> [String] {
    var rates: [Double] = []
    for round in 0...rounds {
      let begin = ContinuousClock.now
      let entries = try await list(SeededTree.wide, checks: round == 0)
      // The first round warms up, and looks at every entry in place of measuring.
      if round > 0 { rates.append(Double(entries) / (ContinuousClock.now - begin).inSeconds) }
    }
    return [row("list a folder of 100,000 entries, pages of 1,000, entries/s", rounded(Comparison.median(rates)), "≥ 100,000")]
  }

  private func stat() async throws -> [String] {
    let result = try await run { _ in
      let path = SeededTree.deepPath(leaf: .random(in: 0..<SeededTree.leaves), file: .random(in: 0..<tree.filesPerLeaf))
      let entry = try await owner.get("/v1/files?path=\(path)", as: FileEntry.self)
      guard entry.path == path else { throw BenchFailed(reason: "\(entry.path) came for \(path)") }
    }
    return [
      row(
        "stat by path at depth 10 in a tree of \(SeededTree.text(tree.files)) entries, \(concurrency) at once, p50 / p99 ms",
        "\(rounded(result.percentile(0.5), 2)) / \(rounded(result.percentile(0.99), 2))", "p99 ≤ 5")
    ]
  }

  private func large() async throws -> [String] {
    let path = "/large-\(UInt32.random(in: 0...(.max))).img"
    var blocks = (0..<12_800).map { _ in StandInNodes.newBlock(sizeBytes: Limits.blockBytes) }
    var (commits, sessions): ([Double], [Double]) = ([], [])
    for round in 0...rounds {
      let begin = ContinuousClock.now
      let upload = try await open(
        UploadRequest(path: path, size: Int64(blocks.count * Limits.blockBytes), onConflict: .overwrite), blocks, as: owner)
      let opened = ContinuousClock.now
      _ = try await owner.call(
        .post, "/v1/uploads/\(upload.id.hex)/complete", CompleteRequest(receipts: upload.receipts), as: FileEntry.self)
      if round > 0 {
        commits.append((ContinuousClock.now - opened).inSeconds * 1000)
        sessions.append((ContinuousClock.now - begin).inSeconds * 1000)
      }
      blocks[Int.random(in: 0..<blocks.count)] = StandInNodes.newBlock(sizeBytes: Limits.blockBytes)
    }
    return [
      row("commit of a 50 GB version (12,800 blocks), one block changed, ms", rounded(Comparison.median(commits)), "≤ 300"),
      row("the same with the whole session: 13 pages of the block list, and the commit, ms", rounded(Comparison.median(sessions)), ""),
    ]
  }

  private func shared() async throws -> [String] {
    // Pages from anywhere in the list: one walk over it all collects the cursors.
    var cursors: [String?] = [nil]
    var total = 0
    while true {
      let page = try await member.get("/v1/shared?limit=100" + MetadataBench.cursor(cursors[cursors.count - 1]), as: Page<ShareInfo>.self)
      total += page.items.count
      guard let next = page.next else { break }
      cursors.append(next)
    }
    guard total == tree.sharesOfMember else {
      throw BenchFailed(reason: "\(total) shares came in place of \(tree.sharesOfMember)")
    }
    let places = cursors
    let result = try await run { _ in
      let bytes = try await member.raw(.get, "/v1/shared?limit=100" + MetadataBench.cursor(places[.random(in: 0..<places.count)]))
      guard bytes.count > 10_000 else { throw BenchFailed(reason: "a page of \(bytes.count) bytes") }
    }
    return [
      row(
        "“shared with me” of a user with \(SeededTree.text(total)) shares among \(SeededTree.text(tree.files)), a page of 100, "
          + "\(concurrency) at once, p50 / p99 ms",
        "\(rounded(result.percentile(0.5), 2)) / \(rounded(result.percentile(0.99), 2))", "p99 ≤ 10")
    ]
  }

  private func rename() async throws -> [String] {
    let folder = try await owner.get("/v1/files?path=\(SeededTree.top)", as: FileEntry.self)
    var times: [Double] = []
    // An even number, so that the folder ends as it was.
    for turn in 0..<(count / 2 * 2) {
      let begin = ContinuousClock.now
      _ = try await owner.call(
        .patch, "/v1/files/\(folder.id.hex)", ["path": turn % 2 == 0 ? SeededTree.top + "-renamed" : SeededTree.top], as: FileEntry.self)
      times.append((ContinuousClock.now - begin).inSeconds * 1000)
    }
    let sorted = times.sorted()
    return [
      row(
        "rename of a folder with \(SeededTree.text(tree.filesPerLeaf * SeededTree.leaves / 5)) files below it, p50 / p99 ms",
        "\(rounded(Comparison.median(times), 2)) / \(rounded(sorted[sorted.count * 99 / 100], 2))", "≤ 10")
    ]
  }

  // MARK: - Steps

  private func run(_ operation: @escaping @Sendable (Int) async throws -> Void) async throws -> RoundResult {
    let result = await LoadGenerator.run(count: count, concurrency: concurrency) { index in
      try await operation(index)
      return 0
    }
    try result.check()
    return result
  }

  private func complete(_ upload: (id: UploadID, receipts: [String]), as caller: APICaller) async throws {
    _ = try await caller.call(
      .post, "/v1/uploads/\(upload.id.hex)/complete", CompleteRequest(receipts: upload.receipts), as: FileEntry.self)
  }

  /// Announces all blocks in pages, hands in receipts for all but the last page, and answers with these.
  private func open(_ request: UploadRequest, _ blocks: [BlockRef], as caller: APICaller) async throws -> (id: UploadID, receipts: [String])
  {
    var request = request
    request.blocks = Array(blocks.prefix(Limits.blocksPerRequest))
    var state = try await caller.call(.post, "/v1/uploads", request, as: UploadState.self)
    let id = state.uploadID
    var receipts = state.missing.flatMap { nodes.receipts(BlockRef(id: $0.id, size: $0.size), id) }
    for start in stride(from: Limits.blocksPerRequest, to: blocks.count, by: Limits.blocksPerRequest) {
      if receipts.count > Limits.blocksPerRequest {
        for first in stride(from: 0, to: receipts.count, by: Limits.blocksPerRequest) {
          let some = Array(receipts[first..<min(receipts.count, first + Limits.blocksPerRequest)])
          _ = try await caller.raw(.post, "/v1/uploads/\(id.hex)/receipts", JSONCoding.encode(ReceiptsRequest(receipts: some)))
        }
        receipts = []
      }
      let page = Array(blocks[start..<min(blocks.count, start + Limits.blocksPerRequest)])
      state = try await caller.call(.post, "/v1/uploads/\(id.hex)/blocks", BlocksRequest(start: start, blocks: page), as: UploadState.self)
      receipts += state.missing.flatMap { nodes.receipts(BlockRef(id: $0.id, size: $0.size), id) }
    }
    return (id, receipts)
  }

  /// - Returns: how many entries came.
  private func list(_ folder: String, checks: Bool) async throws -> Int {
    var cursor: String?
    var entries = 0
    repeat {
      let bytes = try await owner.raw(.get, "/v1/files?path=\(folder)&children=1&limit=1000" + MetadataBench.cursor(cursor))
      if checks {
        let page = try JSONCoding.decode(Page<FileEntry>.self, from: bytes)
        entries += page.items.count
        cursor = page.next
      } else {
        entries += 1000
        cursor = MetadataBench.next(in: bytes)
      }
    } while cursor != nil
    guard entries == SeededTree.wideFiles else { throw BenchFailed(reason: "\(entries) entries came from \(folder)") }
    return entries
  }

  private func row(_ what: String, _ value: String, _ goal: String) -> String { "| \(label)\(what) | \(value) | \(goal) |" }
}

extension RoundResult {
  fileprivate func check() throws {
    if let failure = failures.first { throw BenchFailed(reason: "\(failures.count) failed, the first: \(failure)") }
  }
}

extension MetadataBench {
  /// Small files in a batch.
  fileprivate static let filesTogether = 64

  fileprivate static func cursor(_ cursor: String?) -> String { cursor.map { "&cursor=\($0)" } ?? "" }

  /// The cursor in a page, without reading the rest of it: the reader is not what is measured. No name has an unescaped quote in it.
  fileprivate static func next(in page: [UInt8]) -> String? {
    let mark = Array("\"next\":\"".utf8)
    // It comes first or last.
    for part in [page.prefix(4096), page.suffix(4096)] {
      guard let place = part.indices.first(where: { part[$0...].starts(with: mark) }) else { continue }
      return String(decoding: part[(place + mark.count)...].prefix { $0 != UInt8(ascii: "\"") }, as: UTF8.self)
    }
    return nil
  }
}
