internal import BlockModel

/// One run of a simulated cluster: how it is built, and what clients, operators and bad luck do to it while. Everything follows from a
/// seed.
///
/// Steps name nodes, clients and files by numbers that are taken modulo what is there, so that a scenario with steps left out still plays.
package struct ClusterScenario: Sendable, Equatable {
  package struct Settings: Sendable, Equatable {
    package var nodes = 5
    package var zones = 3
    package var disksPerNode = 1
    package var replicationFactor = 3
    package var writeQuorum = 2
    package var partitionBits = 3
    package var clients = 3
    package var namespaces = 2
    /// Different blocks that there are, so that files share some.
    package var blocks = 48
    package var files = 8
    /// Faults of the network while there are faults.
    package var lossPerMille = 0
    package var duplicatePerMille = 0
    package var delayPerMille = 0
    package var isNetworkSlow = false
    /// How far nodes' clocks are from the gateway's, at most.
    package var skewMilliseconds = 0
    package var outAfterSeconds = 12
    package var urlSeconds = 20
    package var leaseSeconds = 40
    package var collectSeconds = 25
    /// How long a client that sent its receipts ahead takes to complete, at most.
    package var pauseSeconds = 6
    /// When the faults end.
    package var faultSeconds = 90
  }

  package struct Step: Sendable, Equatable {
    /// Milliseconds from the start.
    package var at: Int
    package var action: Action
  }

  /// What a run has more of than chance has in store, so that what takes two events within a moment happens in some of a thousand runs.
  package enum Mood: String, Sendable, Equatable, CaseIterable {
    /// Nothing.
    case even
    /// Few different blocks, deleted and uploaded again while collections follow one another and messages come late.
    case recycling
    /// Layouts that change all the time, on a network that repeats itself, and clients that take their time to complete.
    case restless
    /// Copies that rot, and disks that are lost.
    case rotten
  }

  package enum Action: Sendable, Equatable {
    // What clients do.
    case upload(client: Int, file: Int, blocks: [Int], overwrites: Bool)
    case download(client: Int, file: Int)
    case delete(client: Int, file: Int)
    case abandonUpload(client: Int, file: Int, blocks: [Int])
    // What operators do.
    case addNode(zone: Int)
    case weigh(node: Int, tenths: Int)
    case drain(node: Int)
    case abortRebalance
    case pauseRebalance(seconds: Int)
    case recheck
    // What goes wrong.
    case killNode(node: Int, seconds: Int)
    case failPower(node: Int, seconds: Int)
    case failZone(zone: Int, seconds: Int)
    case stallNode(node: Int, seconds: Int)
    case loseDisk(node: Int, disk: Int)
    case destroyNode(node: Int)
    case rot(node: Int, copy: Int)
    case fillDisk(node: Int, seconds: Int)
    case slowDisk(node: Int, seconds: Int)
    case cutOff(node: Int, incoming: Bool, outgoing: Bool, seconds: Int)
    case splitZone(zone: Int, seconds: Int)
    case killCoordinator(seconds: Int)
    case stallCoordinator(seconds: Int)
    case cutGateway(gateway: Int, seconds: Int)
  }

  package var seed: UInt64
  package var mood = Mood.even
  package var settings = Settings()
  /// Sorted by time.
  package var steps: [Step] = []

  /// - Parameter mood: in place of the seed's.
  package init(seed: UInt64, mood wanted: Mood? = nil) {
    self.seed = seed
    var random = SeededRandom(seed: seed)
    settings = ClusterScenario.settings(&random)
    let faults = 4 + random.below(14)
    let operations = 20 + random.below(50)
    let changes = random.below(5)
    for _ in 0..<operations { add(operation(&random), &random) }
    for _ in 0..<faults { add(fault(&random), &random) }
    for _ in 0..<changes { add(change(&random), &random) }
    let own = [Mood.even, .even, .recycling, .recycling, .restless, .rotten][random.below(6)]
    mood = wanted ?? own
    deepenMood(&random)
    steps.sort { $0.at < $1.at }
  }

  private mutating func deepenMood(_ random: inout SeededRandom) {
    switch mood {
    case .even: break
    case .recycling:
      settings.collectSeconds = 3 + random.below(4)
      settings.urlSeconds = 6 + random.below(8)
      settings.delayPerMille = max(settings.delayPerMille, 60)
      settings.blocks = 3 + random.below(4)
      steps.removeAll { $0.action.isOperation }
      for _ in 0..<120 { add(recycled(&random), &random) }
      for _ in 0..<4 { add(.stallNode(node: random.below(16), seconds: 2 + random.below(10)), &random) }
    case .restless:
      settings.duplicatePerMille = 200
      settings.delayPerMille = 100
      settings.pauseSeconds = settings.leaseSeconds + 5
      for _ in 0..<3 {
        add(.drain(node: random.below(16)), &random)
        add(.weigh(node: random.below(16), tenths: 1 + random.below(30)), &random)
      }
      for _ in 0..<6 { add(.addNode(zone: random.below(4)), &random) }
      for _ in 0..<10 { add(.killNode(node: random.below(16), seconds: 2 + random.below(8)), &random) }
    case .rotten:
      for _ in 0..<30 { add(.rot(node: random.below(16), copy: random.below(1000)), &random) }
      for _ in 0..<10 { add(.loseDisk(node: random.below(16), disk: random.below(2)), &random) }
    }
  }

  private mutating func add(_ action: Action, _ random: inout SeededRandom) {
    steps.append(Step(at: 4000 + random.below(settings.faultSeconds * 1000 - 4000), action: action))
  }

  private static func settings(_ random: inout SeededRandom) -> Settings {
    var settings = Settings()
    settings.zones = [1, 2, 3, 3, 3, 4][random.below(6)]
    settings.nodes = max(settings.zones, 3) + random.below(4)
    settings.disksPerNode = 1 + random.below(2)
    settings.replicationFactor = random.below(4) == 0 ? 2 : 3
    settings.writeQuorum = random.below(6) == 0 ? 1 : 2
    settings.partitionBits = 2 + random.below(3)
    settings.clients = 2 + random.below(3)
    settings.files = 4 + random.below(8)
    settings.blocks = 24 + random.below(40)
    if random.below(3) > 0 {
      settings.lossPerMille = [0, 5, 30, 100][random.below(4)]
      settings.duplicatePerMille = [0, 5, 50][random.below(3)]
      settings.delayPerMille = [0, 2, 10, 40][random.below(4)]
      settings.isNetworkSlow = random.below(5) == 0
    }
    settings.skewMilliseconds = [0, 500, 3000][random.below(3)]
    settings.outAfterSeconds = 8 + random.below(15)
    settings.collectSeconds = 8 + random.below(25)
    settings.leaseSeconds = 25 + random.below(30)
    settings.faultSeconds = 60 + random.below(80)
    return settings
  }

  private func blocks(_ random: inout SeededRandom) -> [Int] { (0..<(1 + random.below(5))).map { _ in random.below(settings.blocks) } }

  private func operation(_ random: inout SeededRandom) -> Action {
    let (client, file) = (random.below(settings.clients), random.below(settings.files))
    switch random.below(12) {
    case 0..<6: return .upload(client: client, file: file, blocks: blocks(&random), overwrites: random.below(2) == 0)
    case 6..<8: return .download(client: client, file: file)
    case 8..<11: return .delete(client: client, file: file)
    default: return .abandonUpload(client: client, file: file, blocks: blocks(&random))
    }
  }

  /// A file of one block, there or gone: each block is in the file of its number only.
  private func recycled(_ random: inout SeededRandom) -> Action {
    let (client, block) = (random.below(settings.clients), random.below(settings.blocks))
    return random.below(2) == 0
      ? .delete(client: client, file: block) : .upload(client: client, file: block, blocks: [block], overwrites: true)
  }

  private func change(_ random: inout SeededRandom) -> Action {
    switch random.below(9) {
    case 0, 1: return .addNode(zone: random.below(settings.zones))
    case 2, 3: return .weigh(node: random.below(16), tenths: 1 + random.below(30))
    case 4, 5: return .drain(node: random.below(16))
    case 6: return .abortRebalance
    case 7: return .pauseRebalance(seconds: 1 + random.below(20))
    default: return .recheck
    }
  }

  private func fault(_ random: inout SeededRandom) -> Action {
    let node = random.below(16)
    let seconds = random.below(3) == 0 ? 1 + random.below(40) : 1 + random.below(6)
    switch random.below(24) {
    case 0, 1: return .killNode(node: node, seconds: seconds)
    case 2..<5: return .failPower(node: node, seconds: seconds)
    case 5: return .failZone(zone: random.below(settings.zones), seconds: seconds)
    case 6, 7: return .stallNode(node: node, seconds: seconds)
    case 8..<11: return .loseDisk(node: node, disk: random.below(2))
    case 11: return .destroyNode(node: node)
    case 12..<15: return .rot(node: node, copy: random.below(1000))
    case 15: return .fillDisk(node: node, seconds: seconds)
    case 16: return .slowDisk(node: node, seconds: seconds)
    case 17, 18:
      let direction = random.below(3)
      return .cutOff(node: node, incoming: direction != 1, outgoing: direction != 0, seconds: seconds)
    case 19: return .splitZone(zone: random.below(settings.zones), seconds: seconds)
    case 20, 21: return .killCoordinator(seconds: 1 + random.below(8))
    case 22: return .stallCoordinator(seconds: 1 + random.below(20))
    default: return .cutGateway(gateway: random.below(2), seconds: seconds)
    }
  }
}

extension ClusterScenario.Action {
  /// The kind of fault, by which faults are counted; nil for what clients and operators do.
  package var fault: String? {
    switch self {
    case .upload, .download, .delete, .abandonUpload, .addNode, .weigh, .drain, .abortRebalance, .pauseRebalance, .recheck: nil
    case .killNode: "kill"
    case .failPower: "power"
    case .failZone: "zone"
    case .stallNode: "stall"
    case .loseDisk: "disk"
    case .destroyNode: "node"
    case .rot: "rot"
    case .fillDisk: "full"
    case .slowDisk: "slow"
    case .cutOff: "cut"
    case .splitZone: "split"
    case .killCoordinator: "coordinator"
    case .stallCoordinator: "coordinator-stall"
    case .cutGateway: "gateway"
    }
  }

  /// What a client does.
  var isOperation: Bool {
    switch self {
    case .upload, .download, .delete, .abandonUpload: true
    default: false
    }
  }

  /// What an operator does to the layout.
  package var isLayoutChange: Bool {
    switch self {
    case .addNode, .weigh, .drain, .abortRebalance: true
    default: false
    }
  }
}

extension ClusterScenario: CustomStringConvertible {
  package var description: String {
    (["seed \(seed), \(mood), \(settings)"] + steps.map { "  \($0.at) ms: \($0.action)" }).joined(separator: "\n")
  }
}

extension SeededRandom {
  /// 0 to one less than `count`.
  mutating func below(_ count: Int) -> Int { Int(next() % UInt64(max(1, count))) }
}
