import BlockModel
import ClusterLogic
import Testing

@Suite struct WriteQuorumTests {
  private func candidate(_ number: Int, zone zoneNumber: Int, up: Bool = true) -> WriteQuorum.Candidate {
    WriteQuorum.Candidate(node: node(number), zone: zone(zoneNumber), isUp: up)
  }

  /// Node 0 in zone 0 is first; 1 and 2 are the other replicas; 3 and 4 are spares.
  private func quorum(up: [Bool] = [true, true, true, true], spareZones: [Int] = [1, 2]) -> WriteQuorum {
    WriteQuorum(
      own: candidate(0, zone: 0),
      forwards: [
        candidate(1, zone: 1, up: up[0]), candidate(2, zone: 2, up: up[1]), candidate(3, zone: spareZones[0], up: up[2]),
        candidate(4, zone: spareZones[1], up: up[3]),
      ], configuration: .init(copiesWanted: 3, copiesNeeded: 2, zonesNeeded: 2))
  }

  @Test("a write with all replicas up asks exactly these and answers with all receipts at once")
  func allUp() {
    var write = quorum()
    #expect(write.step(.begin, now: .zero) == [.forward(to: node(1), insteadOf: nil), .forward(to: node(2), insteadOf: nil)])
    #expect(write.step(.bodyVerified, now: .zero) == [.wake(at: .seconds(0.5))])
    #expect(write.step(.acknowledged(node(2)), now: .zero) == [])
    #expect(write.step(.localDurable, now: .zero) == [.wake(at: .seconds(0.05))])
    #expect(write.step(.acknowledged(node(1)), now: .seconds(0.01)) == [.succeed(copies: [node(0), node(2), node(1)])])
    #expect(write.isFinished)
  }

  @Test("a quorum waits for the last copy no longer than the grace")
  func grace() {
    var write = quorum()
    _ = write.step(.begin, now: .zero)
    _ = write.step(.bodyVerified, now: .zero)
    _ = write.step(.localDurable, now: .seconds(1))
    #expect(write.step(.acknowledged(node(1)), now: .seconds(2)) == [.wake(at: .seconds(2.05))])
    #expect(write.step(.timer, now: .seconds(2.04)) == [])
    #expect(write.step(.timer, now: .seconds(2.05)) == [.succeed(copies: [node(0), node(1)])])
    #expect(write.step(.acknowledged(node(2)), now: .seconds(2.06)) == [])
  }

  @Test("nothing is answered before this node's own copy is durable")
  func ownCopy() {
    var write = quorum()
    _ = write.step(.begin, now: .zero)
    _ = write.step(.bodyVerified, now: .zero)
    #expect(write.step(.acknowledged(node(1)), now: .zero) == [])
    #expect(write.step(.acknowledged(node(2)), now: .zero) == [])
    #expect(write.step(.localDurable, now: .zero) == [.succeed(copies: [node(0), node(1), node(2)])])
  }

  @Test("a replica known to be down is replaced at the start by the spare of its zone")
  func downAtStart() {
    var write = quorum(up: [false, true, true, true], spareZones: [2, 1])
    #expect(write.step(.begin, now: .zero) == [.forward(to: node(2), insteadOf: nil), .forward(to: node(4), insteadOf: node(1))])
  }

  @Test("a replica that fails is replaced by a spare, and the write succeeds with it")
  func failsLater() {
    var write = quorum()
    _ = write.step(.begin, now: .zero)
    #expect(write.step(.failed(node(2), .unreachable), now: .zero) == [.forward(to: node(4), insteadOf: node(2))])
    _ = write.step(.bodyVerified, now: .zero)
    _ = write.step(.localDurable, now: .zero)
    _ = write.step(.acknowledged(node(4)), now: .zero)
    #expect(write.step(.acknowledged(node(1)), now: .zero) == [.succeed(copies: [node(0), node(4), node(1)])])
  }

  @Test("two copies in one zone are no quorum where two zones are needed")
  func zones() {
    var write = WriteQuorum(
      own: candidate(0, zone: 0), forwards: [candidate(1, zone: 0), candidate(2, zone: 1)],
      configuration: .init(copiesWanted: 3, copiesNeeded: 2, zonesNeeded: 2))
    _ = write.step(.begin, now: .zero)
    _ = write.step(.bodyVerified, now: .zero)
    _ = write.step(.localDurable, now: .zero)
    #expect(write.step(.acknowledged(node(1)), now: .zero) == [])
    #expect(write.step(.failed(node(2), .full), now: .zero) == [.fail(.tooFewCopies(durable: 2, zones: 1, full: true))])
  }

  @Test("one zone is enough where the layout has one")
  func oneZone() {
    var write = WriteQuorum(
      own: candidate(0, zone: 0), forwards: [candidate(1, zone: 0)], configuration: .init(copiesWanted: 3, copiesNeeded: 2, zonesNeeded: 1))
    _ = write.step(.begin, now: .zero)
    _ = write.step(.bodyVerified, now: .zero)
    _ = write.step(.localDurable, now: .zero)
    #expect(write.step(.acknowledged(node(1)), now: .zero) == [.succeed(copies: [node(0), node(1)])])
  }

  @Test("a stopped replica is hedged with a spare after the patience, and the write ends at its limit")
  func late() {
    var write = quorum()
    _ = write.step(.begin, now: .zero)
    _ = write.step(.bodyVerified, now: .zero)
    _ = write.step(.localDurable, now: .zero)
    #expect(
      write.step(.timer, now: .seconds(0.5)) == [
        .forward(to: node(3), insteadOf: node(1)), .forward(to: node(4), insteadOf: node(2)), .wake(at: .seconds(15)),
      ])
    #expect(write.step(.timer, now: .seconds(15)) == [.fail(.timedOut(durable: 1, zones: 1))])
  }

  @Test("a client that is slow to send is no reason to ask a spare")
  func slowClient() {
    var write = quorum()
    _ = write.step(.begin, now: .zero)
    #expect(write.step(.timer, now: .seconds(100)) == [])
  }

  @Test("nodes that seem down are asked when nobody else is left")
  func lastResort() {
    var write = quorum(up: [false, false, false, false])
    let effects = write.step(.begin, now: .zero)
    #expect(effects == [.forward(to: node(1), insteadOf: node(1))])
  }

  @Test("the own disk failing ends the write at once")
  func localFailure() {
    var write = quorum()
    _ = write.step(.begin, now: .zero)
    #expect(write.step(.localFailed(.full), now: .zero) == [.fail(.localStorage(.full))])
    #expect(write.step(.localDurable, now: .zero) == [])
  }

  @Test("whatever happens, success means a quorum, and there is one answer", arguments: UInt64(1)...400)
  func random(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let zoneCount = Int.random(in: 1...4, using: &random)
    let needed = Int.random(in: 1...3, using: &random)
    let forwards = (1...Int.random(in: 1...6, using: &random)).map {
      candidate($0, zone: Int.random(in: 0..<zoneCount, using: &random), up: Bool.random(using: &random))
    }
    var write = WriteQuorum(
      own: candidate(0, zone: 0), forwards: forwards,
      configuration: .init(copiesWanted: 3, copiesNeeded: needed, zonesNeeded: min(needed, zoneCount)))
    var now = MonotonicTime.zero
    var sent: [NodeID] = []
    var durable: [NodeID] = []
    var answers = 0
    var pending: [WriteQuorum.Event] = [.begin, .bodyVerified]
    var local: WriteQuorum.Event? = Int.random(in: 0..<10, using: &random) == 0 ? .localFailed(.refused) : .localDurable
    for step in 0..<62 {
      if step >= 60 { now += .seconds(20) }
      now += .milliseconds(Int.random(in: 0...600, using: &random))
      let event: WriteQuorum.Event
      if step >= 60 {
        event = .timer
      } else if step < 2 {
        event = pending.removeFirst()
      } else if pending.isEmpty || Int.random(in: 0..<3, using: &random) == 0 {
        if let once = local, Bool.random(using: &random) { (event, local) = (once, nil) } else { event = .timer }
      } else {
        event = pending.remove(at: Int.random(in: 0..<pending.count, using: &random))
      }
      if case .acknowledged(let node) = event { durable.append(node) }
      if event == .localDurable { durable.append(node(0)) }
      for effect in write.step(event, now: now) {
        switch effect {
        case .forward(let target, _):
          #expect(!sent.contains(target), "a node is asked once (seed \(seed))")
          sent.append(target)
          switch Int.random(in: 0..<4, using: &random) {
          case 0: pending.append(.failed(target, .unreachable))
          case 1: break
          default: pending.append(.acknowledged(target))
          }
        case .wake(let time): #expect(time >= now, "seed \(seed)")
        case .succeed(let copies):
          answers += 1
          let zones = Set(copies.map { copy in copy == node(0) ? zone(0) : forwards.first { $0.node == copy }!.zone })
          #expect(copies.count >= needed && zones.count >= min(needed, zoneCount), "seed \(seed)")
          #expect(copies.allSatisfy(durable.contains), "only durable copies are reported (seed \(seed))")
        case .fail: answers += 1
        }
      }
    }
    #expect(answers == 1, "seed \(seed)")
  }
}
