internal import BlockModel
internal import Platform

/// What is done to links, clocks and weights.
extension Storyteller {
  mutating func cut(_ victim: Scenario.Victim, _ peers: Scenario.Peers, _ bothWays: Bool, _ name: String) throws {
    let (victims, others) = try ends(victim, peers)
    guard !victims.isEmpty else { return }
    let way = bothWays ? "from" : "to"
    tellUser("cut \(victims.joined(separator: ", ")) \(way) \(peers.rawValue)")
    done.append((name, .links(victims: victims), begin("cut \(victim.rawValue) \(way) \(peers.rawValue)", victims.joined(separator: ", "))))
    cluster.links?.change { rules in
      rules.add(name, from: victims, to: others, LinkRules.Effect(isCut: true))
      if bothWays { rules.add(name, from: others, to: victims, LinkRules.Effect(isCut: true)) }
    }
  }

  mutating func slowLinks(_ victim: Scenario.Victim, _ milliseconds: ClosedRange<Double>, _ loss: Double, _ name: String) throws {
    let (victims, others) = try ends(victim, .everybody)
    guard !victims.isEmpty else { return }
    tellUser("slow the links of \(victims.joined(separator: ", "))")
    done.append((name, .links(victims: victims), begin("slow \(victim.rawValue)", victims.joined(separator: ", "))))
    let delay = milliseconds.lowerBound / 1000...milliseconds.upperBound / 1000
    cluster.links?.change { rules in
      rules.add(name, from: victims, to: others, LinkRules.Effect(delay: delay, loss: loss))
      rules.add(name, from: others, to: victims, LinkRules.Effect(delay: delay, loss: loss))
    }
  }

  /// The victims, and the processes of the peers' kind that are none of them.
  private mutating func ends(_ victim: Scenario.Victim, _ peers: Scenario.Peers) throws -> (victims: [String], others: [String]) {
    let victims = try choose(victim)
    var others: [String] = []
    if peers == .nodes || peers == .everybody { others += try cluster.names("node") }
    if peers == .coordinator || peers == .everybody { others += try cluster.names("coordinator") }
    if peers == .gateway || peers == .everybody { others += try cluster.names("gateway") }
    if peers == .clients || peers == .everybody { others.append(LinkProxy.outside) }
    return (victims, others.filter { !victims.contains($0) })
  }

  mutating func turnClock(_ victim: Scenario.Victim, _ seconds: ClosedRange<Double>, _ name: String) throws {
    guard let target = try choose(victim).first else { return }
    let turn = Int(draw(seconds).rounded())
    tellUser("turn the clock of \(target) by \(turn) s")
    done.append((name, .clock(target), begin("turn clock of \(victim.rawValue)", "\(target) by \(turn) s")))
    try cluster.turnClock(of: target, bySeconds: turn)
  }

  /// Changes a weight in the layout; like any command it may be refused while things are broken.
  mutating func weigh(_ weights: ClosedRange<Double>) async throws {
    guard let node = try cluster.names("node").randomElement(using: &random) else { return }
    let weight = (draw(weights) * 10).rounded() / 10
    tellUser("give \(node) the weight \(weight)")
    let fault = begin("weigh", "\(node) \(weight)")
    _ = try? await cluster.weigh(node, zone: cluster.zone(of: node), weight: weight)
    end(fault)
  }
}
