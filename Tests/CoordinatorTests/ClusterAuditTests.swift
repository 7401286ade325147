import BlockModel
import ClusterLogic
import Coordinator
import MetadataStore
import ServiceAPI
import Synchronization
import Testing

@Suite struct ClusterAuditTests {
  private func audited(_ prepare: (FakeCluster, [BlockID]) async throws -> Void) async throws -> [AuditFinding] {
    let cluster = FakeCluster()
    try await cluster.start()
    #expect(try await cluster.run { cluster.service.view!.layout.version == 1 })
    try await prepare(cluster, cluster.store(200, seed: 20))
    #expect(try await cluster.perform(OperatorOperations.StartAudit()).running)
    // No steps: time stands still, so that nothing is repaired meanwhile.
    while try await cluster.perform(OperatorOperations.GetAudit()).running { try await Task.sleep(for: .milliseconds(5)) }
    let progress = try await cluster.perform(OperatorOperations.GetAudit())
    #expect(progress.blocksTotal == 200 && progress.blocksDone == 200)
    return try #require(progress.findings)
  }

  @Test("a sound cluster passes, and each copy was read")
  func sound() async throws {
    let findings = try await audited { _, _ in }
    #expect(findings.filter { !$0.holds }.isEmpty, "\(findings)")
    #expect(findings.map(\.invariant) == [1, 2, 3, 6, 8, 10, 11, 12])
    #expect(findings.first { $0.invariant == 1 }?.checked == 200)
  }

  @Test("a dead node alone is no failure")
  func deadNode() async throws {
    let findings = try await audited { cluster, _ in cluster.kill(node(2)) }
    #expect(findings.filter { !$0.holds }.isEmpty, "\(findings)")
  }

  @Test("a rotten copy and a missing one that nobody noted break the sixth invariant, and are noted for repair")
  func rotten() async throws {
    var repairs = 0
    let findings = try await audited { cluster, blocks in
      let layout = cluster.service.view!.layout
      cluster.nodes.state.withLock { nodes in
        nodes[layout.replicas(of: blocks[0])[0]]!.rotten.insert(blocks[0])
        nodes[layout.replicas(of: blocks[150])[1]]!.blocks.remove(blocks[150])
      }
      repairs = 2
    }
    let sixth = try #require(findings.first { $0.invariant == 6 })
    #expect(!sixth.holds && sixth.violations.count == repairs)
    #expect(findings.filter { !$0.holds }.map(\.invariant) == [6])
  }

  @Test("a lost block breaks the first invariant")
  func lost() async throws {
    let findings = try await audited { cluster, blocks in
      cluster.nodes.state.withLock { nodes in for name in cluster.names { nodes[name]!.blocks.remove(blocks[7]) } }
    }
    #expect(findings.first { $0.invariant == 1 }?.violations.count == 1)
    #expect(findings.first { $0.invariant == 2 }?.holds == false)
  }

  @Test("a node that serves without a capability breaks the eleventh")
  func open() async throws {
    let findings = try await audited { cluster, _ in
      cluster.nodes.state.withLock { nodes in for name in cluster.names { nodes[name]!.isOpen = true } }
    }
    #expect(findings.first { $0.invariant == 11 }?.holds == false)
  }

  @Test("what a recount finds stands under its invariant")
  func recount() async throws {
    let findings = try await audited { cluster, _ in
      cluster.metadata.state.withLock { $0.findings = [RecountFinding(invariant: 10, sentence: "A change is missing.")] }
    }
    #expect(findings.filter { !$0.holds }.map(\.invariant) == [10])
    #expect(findings.first { $0.invariant == 10 }?.violations == ["A change is missing."])
  }
}
