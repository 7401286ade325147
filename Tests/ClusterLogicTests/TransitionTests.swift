import BlockModel
import ClusterLogic
import Testing

@Suite struct TransitionTests {
  private func layout(_ version: UInt64, _ row: [UInt16]) -> Layout {
    Layout(
      version: version, partitionBits: 0, replicationFactor: 3, writeQuorum: 2,
      nodes: (0..<6).map { LayoutNode(id: node($0), zone: zone($0 % 3), weight: 1) }, table: row)
  }

  @Test("the first layout leaves nothing to be filled")
  func first() {
    let empty = Layout.empty(partitionBits: 0, replicationFactor: 3, writeQuorum: 2)
    #expect(LayoutTransition.filling(from: empty, filling: [], to: layout(1, [0, 1, 2]), unreliable: []).isEmpty)
  }

  @Test("a new replica is to be filled, and the one that left still holds the partition")
  func move() {
    let rows = LayoutTransition.filling(from: layout(1, [0, 1, 2]), filling: [], to: layout(2, [3, 1, 2]), unreliable: [])
    #expect(rows == [PlanFilling(partition: 0, targets: [node(3)], sources: [node(0)])])
  }

  @Test("a node that went out is no source, and when it comes back it is filled again")
  func outAndBack() {
    let out = LayoutTransition.filling(from: layout(1, [0, 1, 2]), filling: [], to: layout(2, [3, 1, 2]), unreliable: [node(0)])
    #expect(out == [PlanFilling(partition: 0, targets: [node(3)], sources: [])])
    let back = LayoutTransition.filling(from: layout(2, [3, 1, 2]), filling: out, to: layout(3, [0, 1, 2]), unreliable: [node(0)])
    #expect(back == [PlanFilling(partition: 0, targets: [node(0)], sources: [node(3)])], "the half-filled node 3 may have some of it")
  }

  @Test("a change only moves replicas when none was lacking, none was lost, and none comes to those that there were")
  func onlyMoves() {
    let (old, new) = (layout(1, [0, 1, 2]), layout(2, [3, 1, 2]))
    let lacking = [PlanFilling(partition: 0, targets: [node(1)], sources: [])]
    let leaving = [PlanFilling(partition: 0, targets: [], sources: [node(5)])]
    #expect(LayoutTransition.onlyMoves(from: old, filling: [], to: new, unreliable: []))
    #expect(LayoutTransition.onlyMoves(from: old, filling: leaving, to: new, unreliable: [node(9)]), "node 9 was never in it")
    #expect(!LayoutTransition.onlyMoves(from: old, filling: lacking, to: new, unreliable: []))
    #expect(!LayoutTransition.onlyMoves(from: old, filling: [], to: new, unreliable: [node(0)]))
    var narrow = old
    narrow.nodes = Array(old.nodes.prefix(2))
    narrow.table = [0, 1]
    #expect(!LayoutTransition.onlyMoves(from: narrow, filling: [], to: new, unreliable: []))
    #expect(LayoutTransition.onlyMoves(from: new, filling: [], to: narrow, unreliable: []))
  }

  @Test("a replica that was never filled is not taken for a holder by the next change")
  func chain() {
    let first = LayoutTransition.filling(from: layout(1, [0, 1, 2]), filling: [], to: layout(2, [3, 1, 2]), unreliable: [])
    let second = LayoutTransition.filling(from: layout(2, [3, 1, 2]), filling: first, to: layout(3, [3, 4, 2]), unreliable: [])
    #expect(second == [PlanFilling(partition: 0, targets: [node(3), node(4)], sources: [node(1), node(0)])])
    let home = LayoutTransition.filling(from: layout(3, [3, 4, 2]), filling: second, to: layout(4, [0, 1, 2]), unreliable: [])
    #expect(
      home == [PlanFilling(partition: 0, targets: [node(0), node(1)], sources: [node(3), node(4)])],
      "what came in since they left went to others, who stay named until they have given it up")
  }

  @Test("a source retires only after every target is filled, and remembers who took its place")
  func steps() {
    var row = PlanFilling(partition: 0, targets: [node(3), node(4)], sources: [node(0)])
    row.fill(node(3))
    row.fill(node(5))
    #expect(row.targets == [node(4)] && row.arrivals == [node(3)] && !row.isDone)
    row.fill(node(4))
    #expect(row.targets.isEmpty && row.arrivals == [node(3), node(4)] && !row.isDone)
    row.retire(node(0))
    #expect(row.isDone)
  }

  @Test("a source that is out is not waited for; what a node holds beyond the layout becomes its to give up")
  func sources() {
    let rows = [
      PlanFilling(partition: 0, targets: [], sources: [node(5)]), PlanFilling(partition: 1, targets: [node(1)], sources: [node(4)]),
    ]
    #expect(LayoutTransition.withoutSource(node(5), filling: rows) == [PlanFilling(partition: 0, targets: [], sources: [])])
    #expect(LayoutTransition.withoutSource(node(0), filling: rows).isEmpty)
    let table = layout(1, [0, 1, 2])
    #expect(LayoutTransition.leftovers(node(1), of: [0], in: table, filling: []).isEmpty, "a replica has no leftovers")
    #expect(
      LayoutTransition.leftovers(node(4), of: [0], in: table, filling: Array(rows.prefix(1)))
        == [PlanFilling(partition: 0, targets: [], sources: [node(5), node(4)])])
    #expect(LayoutTransition.leftovers(node(5), of: [0], in: table, filling: Array(rows.prefix(1))).isEmpty)
  }

  @Test("a node that lost a disk is a target wherever it is a replica")
  func refill() {
    let rows = LayoutTransition.refilling(node(1), in: layout(1, [0, 1, 2]), filling: [])
    #expect(rows == [PlanFilling(partition: 0, targets: [node(1)], sources: [])])
    #expect(LayoutTransition.refilling(node(4), in: layout(1, [0, 1, 2]), filling: []).isEmpty)
  }

  @Test("a dead node alone is no failure; a missing, rotten or lost copy is")
  func judgement() {
    func judge(_ answers: [CopyJudgement.Answer], filling: Bool = false, known: Bool = false) -> CopyJudgement {
      CopyJudgement(
        block: block(partition: 0, bits: 0, tail: 1),
        copies: answers.enumerated().map { CopyJudgement.Copy(node: node($0), answer: $1, isReplica: true, isFilling: filling) },
        writeQuorum: 2, isKnown: known)
    }
    #expect(judge([.valid, .valid, .valid]).violations.isEmpty)
    #expect(judge([.valid, .valid, .silent]).violations.isEmpty)
    #expect(judge([.valid, .silent, .silent]).violations.isEmpty)
    #expect(judge([.valid, .valid, .missing]).violations.map(\.invariant) == [.fullyReplicated])
    #expect(judge([.valid, .valid, .missing], filling: true).violations.isEmpty)
    #expect(judge([.valid, .missing, .missing], known: true).violations.isEmpty)
    #expect(judge([.valid, .missing, .missing], known: true).needsRepair)
    #expect(judge([.valid, .valid, .damaged], known: true).violations.map(\.invariant) == [.fullyReplicated])
    #expect(judge([.missing, .missing, .missing]).violations.map(\.invariant).prefix(2) == [.readsBack, .committedAtQuorum])
    #expect(judge([.silent, .silent, .missing]).violations.first?.invariant == .readsBack)
  }

  @Test("the invariants are numbered as the design numbers them")
  func numbers() {
    #expect(Invariant.allCases.map(\.number) == Array(1...14))
    #expect(Invariant.fullyReplicated.number == 6 && Invariant.countsEqualRecount.number == 12)
  }
}
