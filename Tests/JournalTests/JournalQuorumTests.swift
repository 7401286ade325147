import BlockModel
import ClusterLogic
import TestSupport
import Testing

@Suite("Which nodes keep the journal")
struct JournalQuorumTests {
  private let start = MonotonicTime(nanoseconds: 1_000_000_000)

  private func candidate(_ name: String, _ zone: String, alive: Bool = true) -> JournalQuorum.Candidate {
    JournalQuorum.Candidate(node: NodeID(name)!, zone: ZoneID(zone)!, isAlive: alive)
  }

  private var four: [JournalQuorum.Candidate] {
    [candidate("a-1", "a"), candidate("a-2", "a"), candidate("b-1", "b"), candidate("c-1", "c"), candidate("d-1", "d")]
  }

  private func node(_ name: String) -> NodeID { NodeID(name)! }

  @Test("one more node than zones are asked for, each in a zone of its own")
  func members() {
    var quorum = JournalQuorum(stored: 0, zones: 2)
    check(quorum.update(four, now: start))
    #expect(quorum.members.map(\.node.text) == ["a-1", "b-1", "c-1"])
    check(quorum.update(four, now: start) == false)
  }

  @Test("a record is stored when as many zones as were asked for have it and all before it")
  func stored() {
    var quorum = JournalQuorum(stored: 10, zones: 2)
    _ = quorum.update(four, now: start)
    for sequence in UInt64(11)...13 { quorum.append(sequence, zones: 2) }
    #expect(quorum.toSend(node("a-1")) == 11...13)
    check(quorum.node(node("a-1"), has: 13, era: 0) == false)
    #expect(quorum.stored == 10)
    check(quorum.node(node("b-1"), has: 12, era: 0))
    #expect(quorum.stored == 12)
    check(quorum.node(node("d-1"), has: 13, era: 0) == false, "it is no member")
    check(quorum.node(node("c-1"), has: 13, era: 0))
    #expect(quorum.stored == 13)
  }

  @Test("two nodes of one zone count once, and dead ones do not lower what is asked for")
  func zonesCount() {
    var quorum = JournalQuorum(stored: 0, zones: 2)
    _ = quorum.update([candidate("a-1", "a"), candidate("a-2", "a"), candidate("b-1", "b", alive: false)], now: start)
    quorum.append(1, zones: 2)
    _ = quorum.node(node("a-1"), has: 1, era: 0)
    _ = quorum.node(node("a-2"), has: 1, era: 0)
    #expect(quorum.stored == 0)
  }

  @Test("more zones are asked for from the record on that the larger layout came with")
  func growing() {
    var quorum = JournalQuorum(stored: 0, zones: 1)
    _ = quorum.update([candidate("a-1", "a"), candidate("b-1", "b")], now: start)
    quorum.append(1, zones: 1)
    quorum.append(2, zones: 2)
    _ = quorum.node(node("a-1"), has: 2, era: 0)
    #expect(quorum.stored == 1)
    _ = quorum.node(node("b-1"), has: 2, era: 0)
    #expect(quorum.stored == 2)
    quorum.append(3, zones: 1)
    quorum.append(4, zones: 2)
    _ = quorum.node(node("b-1"), has: 4, era: 0)
    #expect(quorum.stored == 3)
  }

  @Test("the first record may ask for more zones than were asked for before it")
  func firstGrows() {
    var quorum = JournalQuorum(stored: 0, zones: 1)
    _ = quorum.update([candidate("a-1", "a"), candidate("b-1", "b")], now: start)
    quorum.append(1, zones: 2)
    _ = quorum.node(node("a-1"), has: 1, era: 0)
    #expect(quorum.stored == 0)
    _ = quorum.node(node("b-1"), has: 1, era: 0)
    #expect(quorum.stored == 1)
  }

  @Test("a node that dies or takes nothing is replaced, and its spare begins with what is not stored")
  func replacing() {
    var quorum = JournalQuorum(stored: 0, zones: 2)
    _ = quorum.update(four, now: start)
    quorum.append(1, zones: 2)
    _ = quorum.node(node("a-1"), has: 1, era: 0)
    _ = quorum.node(node("b-1"), has: 1, era: 0)
    quorum.append(2, zones: 2)
    let dead = four.map { $0.node.text == "b-1" ? candidate("b-1", "b", alive: false) : $0 }
    check(quorum.update(dead, now: start))
    #expect(quorum.members.map(\.node.text) == ["a-1", "c-1", "d-1"])
    #expect(quorum.toSend(node("d-1")) == 2...2)
    check(quorum.node(node("c-1"), failedAt: start) == false)
    check(quorum.node(node("c-1"), failedAt: start + .seconds(2)) == false)
    #expect(quorum.members.map(\.node.text) == ["a-1", "c-1", "d-1"], "nobody better is left")
    check(quorum.update(four, now: start + .seconds(3)), "another one is back")
    #expect(quorum.members.map(\.node.text) == ["a-1", "b-1", "d-1"])
    check(quorum.update(four, now: start + .seconds(20)) == false, "who serves well stays")
  }

  private func outside(_ name: String, _ zone: String, alive: Bool = true) -> JournalQuorum.Candidate {
    JournalQuorum.Candidate(node: NodeID(name)!, zone: ZoneID(zone)!, isAlive: alive, isInLayout: false)
  }

  @Test("a node that leaves the layout leaves the journal, unless the layout's zones are too few for a record")
  func leavingTheLayout() {
    var quorum = JournalQuorum(stored: 0, zones: 2)
    let three = [candidate("a-1", "a"), candidate("b-1", "b"), candidate("c-1", "c")]
    _ = quorum.update(three, now: start)
    check(quorum.update([three[0], three[1], outside("c-1", "c")], now: start))
    #expect(quorum.members.map(\.node.text) == ["a-1", "b-1"])
    let dead = [candidate("a-1", "a"), candidate("b-1", "b", alive: false), outside("c-1", "c")]
    check(quorum.update(dead, now: start))
    #expect(quorum.members.map(\.node.text) == ["a-1", "b-1", "c-1"], "the dead one may come back")
    check(quorum.update([three[0], three[1], outside("c-1", "c")], now: start))
    #expect(quorum.members.map(\.node.text) == ["a-1", "b-1"], "and the one outside may go again")
  }

  @Test("a record of a larger layout gets its zones from nodes that left the layout, and then they are not needed any more")
  func olderDemand() {
    var quorum = JournalQuorum(stored: 0, zones: 2)
    _ = quorum.update([candidate("a-1", "a"), candidate("b-1", "b", alive: false), candidate("c-1", "c", alive: false)], now: start)
    quorum.append(1, zones: 2)
    _ = quorum.node(node("a-1"), has: 1, era: 0)
    // Two zones were silent for so long that the layout went on without them.
    quorum.append(2, zones: 1)
    _ = quorum.update([candidate("a-1", "a"), outside("b-1", "b", alive: false), outside("c-1", "c", alive: false)], now: start)
    _ = quorum.node(node("a-1"), has: 2, era: 0)
    #expect(quorum.stored == 0)
    let back = [candidate("a-1", "a"), outside("b-1", "b"), outside("c-1", "c")]
    _ = quorum.update(back, now: start + .seconds(20))
    let helper = quorum.members.map(\.node).first { $0 != node("a-1") }
    let range = helper.flatMap { quorum.toSend($0) }
    #expect(range == 1...2)
    if let helper { _ = quorum.node(helper, has: 2, era: 0) }
    #expect(quorum.stored == 2)
    _ = quorum.update(back, now: start + .seconds(21))
    #expect(quorum.members.map(\.node.text) == ["a-1"])
  }

  @Test("what was sent before a number was given again does not count for what has it now")
  func retracting() {
    var quorum = JournalQuorum(stored: 4, zones: 1)
    _ = quorum.update(four, now: start)
    quorum.append(5, zones: 1)
    quorum.node(node("a-1"), wasSent: 5)
    quorum.retract(5)
    quorum.append(5, zones: 1)
    check(quorum.node(node("a-1"), has: 5, era: 0) == false)
    #expect(quorum.stored == 4)
    #expect(quorum.toSend(node("a-1")) == 5...5)
    check(quorum.node(node("a-1"), has: 5, era: 1))
  }

  @Test("a record that enough nodes have and whose own commit failed is stored no more")
  func retractingStored() {
    var quorum = JournalQuorum(stored: 4, zones: 1)
    _ = quorum.update(four, now: start)
    quorum.append(5, zones: 1)
    check(quorum.node(node("a-1"), has: 5, era: 0))
    quorum.retract(5)
    #expect(quorum.stored == 4)
    quorum.append(5, zones: 1)
    #expect(quorum.toSend(node("a-1")) == 5...5)
  }

  @Test("a snapshot is due at the start, when members change, and when records are many; not while one is under way")
  func upkeep() {
    var upkeep = JournalUpkeep(isWanted: true)
    check(upkeep.begin(start))
    check(!upkeep.begin(start))
    upkeep.ended(bytes: 400 << 20, at: start)
    check(!upkeep.begin(start + .seconds(100)))
    upkeep.appended(bytes: 100 << 20)
    check(!upkeep.begin(start + .seconds(100)), "less than half a snapshot")
    upkeep.appended(bytes: 100 << 20)
    check(upkeep.begin(start + .seconds(100)))
    upkeep.ended(bytes: nil, at: start + .seconds(101))
    check(!upkeep.begin(start + .milliseconds(101_500)))
    check(upkeep.begin(start + .seconds(140)), "the last one failed")
    upkeep.ended(bytes: 1, at: start + .seconds(141))
    upkeep.membersChanged()
    check(!upkeep.begin(start + .seconds(142)), "not at once")
    check(upkeep.begin(start + .seconds(180)))
  }

  private func hash(_ number: UInt64) -> BlockID { BlockID(words: (number, 0, 0, 0)) }

  private func entry(_ term: UInt64, _ sequence: UInt64, _ own: UInt64, after previous: UInt64) -> JournalHistory.Entry {
    .init(term: .test(term), sequence: sequence, hash: hash(own), previous: hash(previous), place: 0)
  }

  @Test("a database goes on with what follows on it, and with nothing where another history is whole, be it a snapshot alone")
  func continuing() {
    func chain(_ entries: [JournalHistory.Entry], _ bases: [JournalHistory.Base] = []) -> [UInt64]? {
      JournalHistory.continuation(of: hash(10), term: .test(1), sequence: 10, in: entries, bases)?.map(\.sequence)
    }
    let following = [entry(1, 11, 11, after: 10), entry(2, 12, 12, after: 11)]
    #expect(chain([]) == [])
    #expect(chain(following) == [11, 12])
    #expect(chain(following, [.init(term: .test(1), sequence: 11, hash: hash(11), place: 0)]) == [11, 12], "a snapshot on the way")
    #expect(chain([], [.init(term: .test(1), sequence: 8, hash: hash(8), place: 0)]) == [], "an older snapshot")
    let restored = JournalHistory.Base(term: .test(3), sequence: 13, hash: hash(99), place: 0)
    #expect(chain([], [restored]) == nil)
    #expect(chain([following[0]], [restored]) == nil, "what follows here was never safe")
    #expect(chain(following + [entry(3, 14, 100, after: 99)], [restored]) == nil)
    #expect(chain([entry(3, 9, 9, after: 88), entry(3, 10, 101, after: 9)]) == nil, "a hole: nobody knows what it follows on")
  }

  @Test("who misses nodes of fewer zones than a record has heard enough")
  func hearing() {
    let nodes = four.map { ($0.node, $0.zone) }
    func enough(_ heard: [String]) -> Bool {
      JournalHistory.hasHeardEnough(of: nodes.map { (node: $0.0, zone: $0.1) }, heard: heard.map { node($0) }, zones: 2)
    }
    #expect(enough(["a-1", "a-2", "b-1", "c-1", "d-1"]))
    #expect(enough(["a-1", "b-1", "c-1", "d-1"]), "one zone is missed in part")
    #expect(enough(["b-1", "c-1", "d-1"]))
    #expect(!enough(["a-1", "c-1", "d-1"]), "a-2 and b-1 may have the two copies of a record")
    #expect(!enough([]))
  }
}
