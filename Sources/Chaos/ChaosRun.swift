internal import BlockModel
internal import Platform
internal import Synchronization

/// One telling of a scenario on a private cluster of real processes: clients at work, faults by seed, then everything is healed, the
/// cluster is waited for and audited, and every file is read and compared with what its user was told.
package struct ChaosRun: Sendable {
  package struct Settings: Sendable {
    /// The repository, built in release mode.
    package var root: String
    /// Where the cluster and the clients' files go; removed afterwards unless something was wrong.
    package var folder: String
    package var seed: UInt64
    /// How long faults go on.
    package var duration: Duration
    /// In place of the scenario's number of clients.
    package var clients: Int?
    /// Told what happens as it happens.
    package var tell: @Sendable (String) -> Void

    package init(root: String, folder: String, seed: UInt64, duration: Duration, clients: Int?, tell: @escaping @Sendable (String) -> Void)
    {
      self.root = root
      self.folder = folder
      self.seed = seed
      self.duration = duration
      self.clients = clients
      self.tell = tell
    }
  }

  package struct Outcome: Sendable {
    package var scenario: Scenario
    package var seed: UInt64
    package var timeline: Timeline
    package var acknowledged = 0
    package var unknown = 0
    package var checked = 0
    /// Files that were promised and are not there or are another's.
    package var lost: [String] = []
    /// Everything else that should not be.
    package var faults: [String] = []
    package var succeeded: Bool { lost.isEmpty && faults.isEmpty }
  }

  private let scenario: Scenario
  private let settings: Settings
  private let log = RunLog()

  package init(_ scenario: Scenario, _ settings: Settings) {
    self.scenario = scenario
    self.settings = settings
  }

  package func run() async throws -> Outcome {
    try Directory.create(settings.folder)
    var cluster = ClusterProcesses(root: settings.root, folder: settings.folder + "/cluster")
    do {
      try await cluster.up(scenario, seed: settings.seed)
      let outcome = try await storm(cluster)
      if !outcome.succeeded { await cluster.keepWitnesses(in: settings.folder + "/witnesses") }
      try await cluster.down()
      if outcome.succeeded { try Directory.removeTree(settings.folder) }
      return outcome
    } catch {
      await cluster.keepWitnesses(in: settings.folder + "/witnesses")
      try? await cluster.down()
      throw error
    }
  }

  private func storm(_ cluster: ClusterProcesses) async throws -> Outcome {
    let token = try await signUp(cluster)
    let clients = try (0..<(settings.clients ?? scenario.clients)).map { number in
      try ChaosClient(
        number: number, folder: "\(settings.folder)/client-\(number)", command: settings.root + "/.build/release/cairn",
        environment: cluster.environment(["CAIRN_TOKEN": token]), log: log)
    }
    let isOver = Flag()
    var storyteller = Storyteller(scenario, cluster, SeededRandom(seed: settings.seed), log, settings.tell)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (number, client) in clients.enumerated() {
        group.addTask { await client.run(seed: settings.seed &+ UInt64(number) &* 1_000_003) { !isOver.isSet } }
      }
      group.addTask { await watch(cluster) { !isOver.isSet } }
      do {
        try await storyteller.tell(for: settings.duration)
      } catch {
        isOver.set()
        throw error
      }
      isOver.set()
      try await group.waitForAll()
    }
    settings.tell("healing")
    try await storyteller.heal()
    let healed = log.now
    log.change { $0.healed = healed }
    var outcome = Outcome(scenario: scenario, seed: settings.seed, timeline: Timeline())
    outcome.faults = storyteller.faults
    await becomeWhole(cluster, &outcome)
    await compare(clients, &outcome)
    noteUsage(cluster)
    let ended = log.now
    log.change { $0.end = ended }
    outcome.timeline = log.snapshot
    return outcome
  }

  /// Waits, in bounded time, until nothing is missing, and has every copy read again.
  private func becomeWhole(_ cluster: ClusterProcesses, _ outcome: inout Outcome) async {
    for arguments in [
      ["wait", "--healthy", "--timeout", "180"], ["repair", "--wait"], ["wait", "--healthy", "--timeout", "180"], ["audit"],
    ] {
      settings.tell("cairnctl " + arguments.joined(separator: " "))
      do { try await cluster.control(arguments) } catch { outcome.faults.append("\(error)") }
      if arguments[0] == "repair" {
        let whole = log.now
        log.change { $0.whole = whole }
      }
    }
  }

  private func compare(_ clients: [ChaosClient], _ outcome: inout Outcome) async {
    settings.tell("reading every file")
    for client in clients {
      let truth = client.acknowledgements
      outcome.acknowledged += truth.acknowledged
      outcome.unknown += truth.unknown
      outcome.faults += client.faults
      for path in truth.all {
        outcome.checked += 1
        guard let seen = await client.content(path) else {
          outcome.faults.append("\(path) cannot be read though everything is healed")
          continue
        }
        guard let fault = truth.fault(path, seen) else { continue }
        if truth.promised(path) { outcome.lost.append(fault) } else { outcome.faults.append(fault) }
      }
    }
  }

  /// Between two looks at what the daemons take.
  private static let usagePause = 5.0

  /// Asks the coordinator how it is, each second; while it cannot answer nothing is noted.
  private func watch(_ cluster: ClusterProcesses, while goesOn: @Sendable () -> Bool) async {
    var looked = -ChaosRun.usagePause
    while goesOn() {
      if log.now - looked >= ChaosRun.usagePause {
        looked = log.now
        noteUsage(cluster)
      }
      if let status = try? await cluster.control(["status", "--json"]), let count = JSONText.number("under_replicated_blocks", in: status) {
        let now = log.now
        log.change { $0.health.append(Timeline.Health(time: now, underReplicated: count)) }
      }
      try? await Task.sleep(for: .seconds(1))
    }
  }

  private func signUp(_ cluster: ClusterProcesses) async throws -> String {
    let folder = settings.folder + "/user"
    try Directory.create(folder)
    try AtomicFile.write(folder + "/password", Array("correct horse battery\n".utf8))
    func cairn(_ arguments: [String]) async throws -> String {
      var options = ChildProcess.Options()
      options.environment = cluster.environment(["XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder])
      options.input = .file(folder + "/password")
      options.output = .file(folder + "/output")
      options.error = .file(folder + "/output")
      try? Directory.remove(folder + "/output")
      let ending = try await ChildProcess.start(settings.root + "/.build/release/cairn", arguments, options).wait()
      let text = String(decoding: try AtomicFile.read(folder + "/output", limit: 1 << 20) ?? [], as: UTF8.self)
      guard ending == .exited(status: 0) else {
        throw ClusterProcesses.Failed(command: "cairn \(arguments[0])", ending: ending, text: text)
      }
      return String(text.trimmed)
    }
    _ = try await cairn(["signup", "chaos", "--password-stdin"])
    return try await cairn(["login", "chaos", "--password-stdin", "--device", "chaos", "--print-token"])
  }

  /// Notes the memory and the open files of every daemon that runs.
  private func noteUsage(_ cluster: ClusterProcesses) {
    for prefix in ["node", "coordinator", "gateway"] {
      for name in (try? cluster.names(prefix)) ?? [] {
        // One that dies while it is looked at is not noted.
        guard let id = try? cluster.processID(name), let status = try? AtomicFile.read("/proc/\(id)/status", limit: 1 << 16),
          let line = String(decoding: status, as: UTF8.self).split(separator: "\n").first(where: { $0.hasPrefix("VmRSS:") }),
          let kibibytes = Int64(line.filter(\.isNumber)), let files = try? Directory.list("/proc/\(id)/fd").count
        else { continue }
        let usage = Timeline.Usage(time: log.now, process: id, bytes: kibibytes << 10, files: files)
        log.change { $0.usage[name, default: []].append(usage) }
      }
    }
  }
}

/// Something that has happened, for many tasks to see.
private final class Flag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}
