internal import BlockModel
internal import Platform

/// Tells a scenario to a cluster: chooses victims by seed, strikes, and remembers what has to be undone.
struct Storyteller {
  /// What was done to whom under a name.
  private enum Done {
    case down([String])
    case paused([String])
    case withoutDisk(String)
  }

  private let scenario: Scenario
  private let cluster: ClusterProcesses
  private var random: SeededRandom
  private let log: RunLog
  private let tellUser: @Sendable (String) -> Void
  private var done: [(name: String, what: Done, fault: Int)] = []

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
          let share = Double(random.next() >> 11) / Double(1 << 53)
          let wait = Duration.seconds(seconds.lowerBound + share * (seconds.upperBound - seconds.lowerBound))
          try await Task.sleep(for: min(wait, end - clock.now))
        } else {
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
    case .strike(let blow, let victim, let name): try await strike(blow, victim, name)
    case .start(let name): try await undo(name)
    case .rot(let places): try rot(places)
    case .loseDisk(let name): try await loseDisk(name)
    case .control(let arguments):
      tellUser("cairnctl " + arguments.joined(separator: " "))
      begin("control", arguments.joined(separator: " "))
      // It may be refused while things are broken.
      _ = try? await cluster.control(arguments)
      end(log.snapshot.faults.count - 1)
    }
  }

  private mutating func strike(_ blow: Scenario.Blow, _ victim: Scenario.Victim, _ name: String) async throws {
    if done.contains(where: { $0.name == name }) { try await undo(name) }
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
    for target in targets { try await cluster.command("kill", [target, "--signal", signal]) }
    done.append((name, blow == .pause ? .paused(targets) : .down(targets), fault))
  }

  private mutating func undo(_ name: String) async throws {
    guard let place = done.firstIndex(where: { $0.name == name }) else { return }
    let (_, what, fault) = done.remove(at: place)
    switch what {
    case .down(let targets):
      tellUser("start \(targets.joined(separator: ", "))")
      for target in targets { try await start(target) }
    case .paused(let targets):
      tellUser("go on \(targets.joined(separator: ", "))")
      for target in targets { try await cluster.command("kill", [target, "--signal", "SIGCONT"]) }
    case .withoutDisk(let node):
      tellUser("give \(node) a new disk")
      try await cluster.command("kill", [node, "--signal", "SIGTERM"])
      let disk = "\(cluster.folder)/\(node)/disk-1"
      try Directory.create(disk)
      try await cluster.replaceDisk(disk, of: node)
      try await start(node)
    }
    end(fault)
  }

  /// A node's heartbeat needs a coordinator: while there is none, being ready is enough, and the wait for it comes later.
  private func start(_ name: String) async throws {
    do { try await cluster.command("start", [name]) } catch {
      guard name.hasPrefix("node-"), isDown("coordinator") else { throw error }
    }
  }

  private func isDown(_ prefix: String) -> Bool {
    done.contains { entry in
      switch entry.what {
      case .down(let names), .paused(let names): names.contains { $0.hasPrefix(prefix) }
      case .withoutDisk: false
      }
    }
  }

  /// Processes that nothing was done to.
  private func untouched(_ prefix: String) throws -> [String] {
    let touched = done.flatMap { entry -> [String] in
      switch entry.what {
      case .down(let names), .paused(let names): names
      case .withoutDisk(let name): [name]
      }
    }
    return try cluster.names(prefix).filter { !touched.contains($0) }
  }

  private mutating func choose(_ victim: Scenario.Victim) throws -> [String] {
    guard victim == .zone else { return try untouched(victim.rawValue).randomElement(using: &random).map { [$0] } ?? [] }
    let nodes = try untouched("node").map { (name: $0, zone: try cluster.zone(of: $0)) }
    guard let zone = Set(nodes.map(\.zone)).sorted().randomElement(using: &random) else { return [] }
    return nodes.filter { $0.zone == zone }.map(\.name)
  }

  private mutating func rot(_ places: Int) throws {
    guard let node = try untouched("node").randomElement(using: &random) else { return }
    let folder = "\(cluster.folder)/\(node)/disk-1/segments"
    let names = try Directory.list(folder).sorted()
    guard !names.isEmpty else { return }
    tellUser("rot \(places) places of \(node)")
    end(begin("rot", node))
    for _ in 0..<places {
      let name = names[Int(random.next() % UInt64(names.count))]
      let file = try File(folder + "/" + name, [.read, .write])
      // Behind the segment's own header, in what was written so far.
      let written = max(8192, min(try file.size(), 64 << 20))
      let place = 4096 + Int64(random.next() % UInt64(written - 4096))
      var byte: [UInt8] = [0]
      guard try byte.withUnsafeMutableBytes({ try file.pread(into: $0, at: place) }) == 1, byte[0] != 0 else { continue }
      byte[0] ^= 1 << UInt8(random.next() % 8)
      try byte.withUnsafeBytes { try file.pwrite($0, at: place) }
    }
  }

  private mutating func loseDisk(_ name: String) async throws {
    if done.contains(where: { $0.name == name }) { try await undo(name) }
    guard let node = try untouched("node").randomElement(using: &random) else { return }
    tellUser("take \(node)'s disk away")
    let fault = begin("lose disk", node)
    try Directory.removeTree("\(cluster.folder)/\(node)/disk-1")
    done.append((name, .withoutDisk(node), fault))
  }

  @discardableResult
  private func begin(_ kind: String, _ target: String) -> Int {
    let now = log.now
    log.change { $0.faults.append(Timeline.Fault(kind: kind, target: target, start: now, end: nil)) }
    return log.snapshot.faults.count - 1
  }

  private func end(_ fault: Int) {
    let now = log.now
    log.change { $0.faults[fault].end = now }
  }
}
