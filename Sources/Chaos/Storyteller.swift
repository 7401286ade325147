internal import BlockModel
internal import Platform

/// Tells a scenario to a cluster: chooses victims by seed, strikes, and remembers what has to be undone.
///
/// What must hold: whatever lasts has an entry in `done` before it begins to hurt, so that healing undoes it even when a step failed
/// halfway.
struct Storyteller {
  /// What was done to whom under a name.
  enum Done {
    case down([String])
    case paused([String])
    case database
    case links(victims: [String])
    case withoutDisk(String)
    case filled(node: String, ballast: String)
    /// A tracer hangs on the node and makes its system calls fail or wait; the node has to start anew when it trusts its disk no more.
    case traced(String, ChildProcess, startsAnew: Bool)
    case clock(String)

    var targets: [String] {
      switch self {
      case .down(let names), .paused(let names), .links(let names): names
      case .withoutDisk(let name), .filled(let name, _), .traced(let name, _, _), .clock(let name): [name]
      case .database: ["database"]
      }
    }

    /// Whether a process of the kind is away.
    func keepsAway(_ prefix: String) -> Bool {
      switch self {
      case .down, .paused, .links: targets.contains { $0.hasPrefix(prefix) }
      default: false
      }
    }
  }

  let scenario: Scenario
  let cluster: ClusterProcesses
  var random: SeededRandom
  let log: RunLog
  let tellUser: @Sendable (String) -> Void
  var done: [(name: String, what: Done, fault: Int)] = []
  /// What had to succeed and did not.
  private(set) var faults: [String] = []

  init(
    _ scenario: Scenario, _ cluster: ClusterProcesses, _ random: SeededRandom, _ log: RunLog, _ tell: @escaping @Sendable (String) -> Void
  ) {
    self.scenario = scenario
    self.cluster = cluster
    self.random = random
    self.log = log
    tellUser = tell
  }

  mutating func tell(for duration: Duration) async throws {
    let clock = ContinuousClock()
    let end = clock.now + duration
    while clock.now < end {
      for step in scenario.steps where clock.now < end {
        if case .wait(let seconds) = step {
          try await Task.sleep(for: min(.seconds(draw(seconds)), end - clock.now))
        } else {
          if let name = step.boundName, done.contains(where: { $0.name == name }) { try await undo(name) }
          try await perform(step)
        }
      }
    }
  }

  /// Undoes everything that was done, in the order of doing.
  mutating func heal() async throws {
    while let name = done.first?.name { try await undo(name) }
  }

  private mutating func perform(_ step: Scenario.Step) async throws {
    switch step {
    case .wait: break
    case .strike(let blow, .database, let name): try await strikeDatabase(blow, name)
    case .strike(let blow, let victim, let name): try await strike(blow, victim, name)
    case .killAt(let call, let times, let victim, let name): try await killAt(call, times, victim, name)
    case .cut(let victim, let peers, let bothWays, let name): try cut(victim, peers, bothWays, name)
    case .slowLinks(let victim, let delay, let loss, let name): try slowLinks(victim, delay, loss, name)
    case .disk(let fault, let name): try await disk(fault, name)
    case .turnClock(let victim, let seconds, let name): try turnClock(victim, seconds, name)
    case .weigh(let weights): try await weigh(weights)
    case .end(let name): try await undo(name)
    case .rot(let places): try rot(places)
    case .control(let arguments):
      tellUser("cairnctl " + arguments.joined(separator: " "))
      let fault = begin("control", arguments.joined(separator: " "))
      // It may be refused while things are broken.
      _ = try? await cluster.control(arguments)
      end(fault)
    case .must(let arguments):
      tellUser("cairnctl " + arguments.joined(separator: " "))
      do { try await cluster.control(arguments) } catch { faults.append("\(error)") }
    }
  }

  private mutating func strike(_ blow: Scenario.Blow, _ victim: Scenario.Victim, _ name: String) async throws {
    let targets = try choose(victim)
    guard !targets.isEmpty else { return }
    tellUser("\(blow.rawValue) \(targets.joined(separator: ", "))")
    let signal =
      switch blow {
      case .kill: "SIGKILL";
      case .pause: "SIGSTOP";
      case .terminate: "SIGTERM"
      }
    let fault = begin("\(blow.rawValue) \(victim.rawValue)", targets.joined(separator: ", "))
    done.append((name, blow == .pause ? .paused(targets) : .down(targets), fault))
    for target in targets { try await cluster.command("kill", [target, "--signal", signal]) }
  }

  /// Kills the server that writes; another takes its place, and a new standby is made in the end.
  private mutating func strikeDatabase(_ blow: Scenario.Blow, _ name: String) async throws {
    tellUser("kill the database's primary")
    done.append((name, .database, begin("\(blow.rawValue) database", "postgres-primary")))
    // It may have none at this moment.
    _ = try? await cluster.command("kill", ["postgres-primary"])
  }

  private mutating func killAt(_ call: String, _ times: ClosedRange<Int>, _ victim: Scenario.Victim, _ name: String) async throws {
    guard let target = try choose(victim).first else { return }
    let count = Int.random(in: times, using: &random)
    tellUser("kill \(target) at its \(call) number \(count)")
    let fault = begin("kill \(victim.rawValue) at \(call)", target)
    let tracer = try cluster.trace(target, [call], "signal=KILL:when=\(count)")
    done.append((name, .traced(target, tracer, startsAnew: false), fault))
  }

  mutating func undo(_ name: String) async throws {
    guard let place = done.firstIndex(where: { $0.name == name }) else { return }
    let (_, what, fault) = done[place]
    switch what {
    case .down(let targets):
      tellUser("start \(targets.joined(separator: ", "))")
      for target in targets { try await start(target) }
    case .paused(let targets):
      tellUser("go on \(targets.joined(separator: ", "))")
      for target in targets { try await cluster.command("kill", [target, "--signal", "SIGCONT"]) }
    case .database:
      tellUser("start the database's servers")
      try await cluster.command("start", ["postgres-1"])
    case .links(let victims):
      tellUser("link \(victims.joined(separator: ", ")) again")
      cluster.links?.change { $0.remove(name) }
    default: try await undoOnDisk(what)
    }
    done.remove(at: place)
    end(fault)
  }

  /// A node's heartbeat needs a coordinator: while there is none, being ready is enough, and the wait for it comes later.
  func start(_ name: String) async throws {
    do { try await cluster.command("start", [name]) } catch {
      let hasNoCoordinator = done.contains { $0.what.keepsAway("coordinator") || $0.what.keepsAway("database") }
      guard name.hasPrefix("node-"), hasNoCoordinator else { throw error }
    }
  }

  /// Processes that nothing was done to.
  func untouched(_ prefix: String) throws -> [String] {
    let touched = done.flatMap(\.what.targets)
    return try cluster.names(prefix).filter { !touched.contains($0) }
  }

  mutating func choose(_ victim: Scenario.Victim) throws -> [String] {
    guard victim == .zone else { return try untouched(victim.rawValue).randomElement(using: &random).map { [$0] } ?? [] }
    let nodes = try untouched("node").map { (name: $0, zone: try cluster.zone(of: $0)) }
    guard let zone = Set(nodes.map(\.zone)).sorted().randomElement(using: &random) else { return [] }
    return nodes.filter { $0.zone == zone }.map(\.name)
  }

  mutating func draw(_ range: ClosedRange<Double>) -> Double {
    range.lowerBound + Double(random.next() >> 11) / Double(1 << 53) * (range.upperBound - range.lowerBound)
  }

  /// Notes that something begins; answers its place in the timeline.
  func begin(_ kind: String, _ target: String) -> Int {
    let now = log.now
    log.change { $0.faults.append(Timeline.Fault(kind: kind, target: target, start: now, end: nil)) }
    return log.snapshot.faults.count - 1
  }

  func end(_ fault: Int) {
    let now = log.now
    log.change { $0.faults[fault].end = now }
  }
}
