internal import BlockModel
internal import HTTPTransport
internal import Platform

/// Clients of two users change and read the same few files through a private cluster while coordinators are killed and, where there is one,
/// the database's primary; then everything is healed, every folder is looked at once more, and the whole history is checked.
///
/// Folders are left after a while, so that each one's history stays short enough to be searched.
package struct LinearizabilityRun: Sendable {
  package struct Settings: Sendable {
    /// The repository, built in release mode.
    package var root: String
    /// Where the cluster and the history go; removed afterwards unless something was wrong.
    package var folder: String
    package var seed: UInt64
    package var duration: Duration
    /// PostgreSQL with a standby and two coordinators; else SQLite with one.
    package var usesPostgreSQL: Bool
    package var tell: @Sendable (String) -> Void

    package init(
      root: String, folder: String, seed: UInt64, duration: Duration, usesPostgreSQL: Bool, tell: @escaping @Sendable (String) -> Void
    ) {
      self.root = root
      self.folder = folder
      self.seed = seed
      self.duration = duration
      self.usesPostgreSQL = usesPostgreSQL
      self.tell = tell
    }
  }

  package struct Outcome: Sendable {
    package var findings: History.Findings
    /// By kind, in alphabetical order.
    package var strikes: [(kind: String, count: Int)]
    /// Seconds.
    package var longestWithoutCommit: Double
    package var historyPath: String
    package var faults: [String] { findings.faults }
  }

  private static let users = 2
  private static let clientsPerUser = 3
  private static let foldersAtOnce: UInt64 = 2
  private static let folderLife: Double = 3
  private static let contents = 48

  private let settings: Settings
  private let log = RunLog()
  private let recorder = HistoryRecorder(users: users)

  package init(_ settings: Settings) { self.settings = settings }

  package func run() async throws -> Outcome {
    try Directory.create(settings.folder)
    var cluster = ClusterProcesses(root: settings.root, folder: settings.folder + "/cluster")
    do {
      try await cluster.up(
        ["--nodes", "3"] + (settings.usesPostgreSQL ? ["--metadata", "postgres", "--coordinators", "2"] : []))
      let outcome = try await storm(cluster)
      try await cluster.down()
      if outcome.faults.isEmpty { try Directory.removeTree(settings.folder) }
      return outcome
    } catch {
      recorder.finish()
      try? await cluster.down()
      throw error
    }
  }

  private func storm(_ cluster: ClusterProcesses) async throws -> Outcome {
    let http = HTTPClient()
    defer { http.shutdown() }
    let contents = (0..<Self.contents).map { MetadataAPI.Content("content \($0) of a run with seed \(settings.seed)") }
    var apis: [MetadataAPI] = []
    for user in 0..<Self.users { apis.append(try await signUp(user, cluster, http)) }
    for (user, api) in apis.enumerated() { try await prepare(api, contents, user) }
    var random = SeededRandom(seed: settings.seed)
    let faultSeed = random.next()
    let clientSeeds = (0..<(Self.users * Self.clientsPerUser)).map { _ in random.next() }
    let begin = log.now
    let strikes = try await withThrowingTaskGroup(of: [String].self) { group in
      for (user, api) in apis.enumerated() {
        group.addTask {
          await makeFolders(api)
          return []
        }
        for number in 0..<Self.clientsPerUser {
          let client = HistoryClient(api: api, contents: contents, clock: log) { [recorder] in recorder.add($0, of: user) }
          let seed = clientSeeds[user * Self.clientsPerUser + number]
          group.addTask {
            await client.run(seed: seed) { [recorder, log] random in recorder.isOver ? nil : Self.folder(at: log.now, &random) }
            return []
          }
        }
      }
      var faults = SeededRandom(seed: faultSeed)
      do {
        let strikes = try await strike(cluster, &faults, until: begin + settings.duration.inSeconds)
        recorder.finish()
        try await group.waitForAll()
        return strikes
      } catch {
        recorder.finish()
        throw error
      }
    }
    settings.tell("looking at every folder, and checking")
    var history = History()
    for (user, api) in apis.enumerated() { history.namespaces.append(try await lookAtAll(api, user)) }
    let path = settings.folder + "/history.json"
    try history.write(to: path)
    var findings = history.check()
    findings.faults = recorder.faults + findings.faults
    return Outcome(
      findings: findings, strikes: Set(strikes).sorted().map { kind in (kind, strikes.count { $0 == kind }) },
      longestWithoutCommit: longestGap(history), historyPath: path)
  }

  // MARK: - Before

  private func signUp(_ user: Int, _ cluster: ClusterProcesses, _ http: HTTPClient) async throws -> MetadataAPI {
    struct Session: Decodable { var token: String }
    let gateway = cluster.variables["CAIRN_GATEWAY"] ?? ""
    let stranger = MetadataAPI(http: http, gateway: gateway, token: "") { _ in }
    let account = "{\"name\":\"user\(user)\",\"password\":\"correct horse battery\",\"device\":\"chaos\"}"
    guard case .ok = await stranger.send(.post, "/v1/users", account),
      case .ok(let bytes) = await stranger.send(.post, "/v1/sessions", account)
    else { throw Failed(reason: "a user could not be signed up") }
    let token = try JSONCoding.decode(Session.self, from: bytes).token
    return MetadataAPI(http: http, gateway: gateway, token: token) { [recorder] in recorder.note("user \(user): \($0)") }
  }

  /// Stores every content that will be written, so that no write needs a node.
  private func prepare(_ api: MetadataAPI, _ contents: [MetadataAPI.Content], _ user: Int) async throws {
    guard await api.makeFolder("/contents") else { throw Failed(reason: "the first folder could not be made") }
    for (number, content) in contents.enumerated() {
      let start = log.nanoseconds
      guard let file = await api.store(content, path: "/contents/\(number)") else { throw Failed(reason: "a block could not be stored") }
      recorder.add(
        RecordedCall(
          group: "contents", request: .write(name: "\(number)", content: content.hash, base: nil), answer: .file(file), start: start,
          end: log.nanoseconds), of: user)
    }
  }

  struct Failed: Error, CustomStringConvertible {
    var reason: String
    var description: String { reason }
  }

  // MARK: - Folders

  private static func name(_ round: Int, _ number: UInt64) -> String { "round-\(round)-\(number)" }

  private static func folder(at time: Double, _ random: inout SeededRandom) -> String {
    name(Int(time / folderLife), random.next() % foldersAtOnce)
  }

  private func makeFolders(_ api: MetadataAPI, _ round: Int) async {
    for number in 0..<Self.foldersAtOnce {
      while !recorder.isOver, !(await api.makeFolder("/" + Self.name(round, number))) { try? await Task.sleep(for: .milliseconds(100)) }
    }
  }

  /// Keeps a few rounds ahead of the clients.
  private func makeFolders(_ api: MetadataAPI) async {
    var next = Int(log.now / Self.folderLife)
    while !recorder.isOver {
      if next > Int(log.now / Self.folderLife) + 3 {
        try? await Task.sleep(for: .milliseconds(200))
      } else {
        await makeFolders(api, next)
        next += 1
      }
    }
  }

  // MARK: - Faults

  /// Kills and starts until the time is over; everything runs when it returns. Answers the kinds of what was killed.
  private func strike(_ cluster: ClusterProcesses, _ random: inout SeededRandom, until end: Double) async throws -> [String] {
    var kinds: [String] = []
    while log.now < end {
      try await pause(3...6, &random)
      let coordinators = try cluster.names("coordinator")
      if settings.usesPostgreSQL, random.next() % 3 != 0 {
        settings.tell("kill the database's primary")
        try await cluster.command("kill", ["postgres-primary"])
        kinds.append("kill primary")
        try await pause(6...12, &random)
        // Whatever is down is started, and the new primary has a standby before the next blow.
        try await cluster.command("start", ["postgres-1"])
      } else {
        let victim = coordinators[Int(random.next() % UInt64(coordinators.count))]
        settings.tell("kill \(victim)")
        try await cluster.command("kill", [victim, "--signal", "SIGKILL"])
        kinds.append("kill coordinator")
        try await pause(0...2, &random)
        try await cluster.command("start", [victim])
      }
    }
    return kinds
  }

  private func pause(_ seconds: ClosedRange<Double>, _ random: inout SeededRandom) async throws {
    let share = Double(random.next() >> 11) / Double(1 << 53)
    try await Task.sleep(for: .seconds(seconds.lowerBound + share * (seconds.upperBound - seconds.lowerBound)))
  }

  // MARK: - After

  /// One more look at each folder, the feed, and the tree. In bounded time everything has to be answered again.
  private func lookAtAll(_ api: MetadataAPI, _ user: Int) async throws -> History.Namespace {
    let client = HistoryClient(api: api, contents: [], clock: log) { [recorder] in recorder.add($0, of: user) }
    let end = ContinuousClock.now + .seconds(60)
    for group in Set(recorder.all(of: user).map(\.group)).sorted() {
      while await client.call(group, .list) {
        guard ContinuousClock.now < end else { throw Failed(reason: "a minute after the last fault \(group) cannot be listed") }
        try await Task.sleep(for: .milliseconds(200))
      }
    }
    var namespace = History.Namespace()
    namespace.calls = recorder.all(of: user)
    guard let listing = await api.everything() else { throw Failed(reason: "the tree could not be listed") }
    guard let feed = await api.changes(since: nil) else { throw Failed(reason: "the feed could not be read") }
    namespace.listing = listing
    namespace.changes = feed.changes
    return namespace
  }

  private func longestGap(_ history: History) -> Double {
    let ends = history.namespaces.flatMap(\.calls).filter { $0.isMutation && $0.answer != .unknown }.map(\.end).sorted()
    return Double(zip(ends, ends.dropFirst()).map { $1 - $0 }.max() ?? 0) / 1e9
  }
}
