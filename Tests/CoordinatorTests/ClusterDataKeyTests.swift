import BlockModel
import ClusterLogic
import Coordinator
import Credentials
import MetadataStore
import Platform
import ServiceAPI
import Testing

@Suite struct ClusterDataKeyTests {
  private let check = String(repeating: "ab", count: 32)

  @Test("one node founds the key, the others wait, then fetch it, then use it")
  func founding() async throws {
    let cluster = FakeCluster(nodes: 3, isEncrypted: true)
    try await cluster.start()
    let key = DataKeyStatement(epoch: 1, check: check)
    #expect(try await cluster.perform(cluster.heartbeat(node(2))).dataKeys == .create(epoch: 1))
    #expect(try await cluster.perform(cluster.heartbeat(node(1))).dataKeys == .wait(epoch: 1))
    #expect(try await cluster.perform(cluster.heartbeat(node(2))).dataKeys == .create(epoch: 1))
    #expect(try await cluster.perform(cluster.heartbeat(node(2), keys: [key])).dataKeys == .use(current: 1))
    #expect(try await cluster.perform(cluster.heartbeat(node(1))).dataKeys == .fetch(epoch: 1))
    #expect(try await cluster.perform(cluster.heartbeat(node(1), keys: [key])).dataKeys == .use(current: 1))
    let other = DataKeyStatement(epoch: 1, check: String(repeating: "cd", count: 32))
    #expect(try await cluster.perform(cluster.heartbeat(node(3), keys: [other])).dataKeys == .fetch(epoch: 1))
    #expect(try await cluster.metadata.dataKeyEpochs() == [DataKeyEpochRecord(epoch: 1, founder: node(2), check: check)])
  }

  @Test("a founder that dies before it stated its key is replaced, under the next epoch")
  func founderDies() async throws {
    let cluster = FakeCluster(nodes: 3, isEncrypted: true)
    try await cluster.start()
    _ = try await cluster.perform(cluster.heartbeat(node(1)))
    for _ in 0..<20 {
      cluster.time.advance(by: .milliseconds(200))
      _ = try await cluster.perform(cluster.heartbeat(node(3)))
      await cluster.service.tick()
    }
    #expect(try await cluster.perform(cluster.heartbeat(node(2))).dataKeys == .wait(epoch: 2))
    #expect(try await cluster.perform(cluster.heartbeat(node(3))).dataKeys == .create(epoch: 2))
    let key = DataKeyStatement(epoch: 2, check: check)
    #expect(try await cluster.perform(cluster.heartbeat(node(3), keys: [key])).dataKeys == .use(current: 2))
    #expect(try await cluster.perform(cluster.heartbeat(node(1))).dataKeys == .fetch(epoch: 2))
  }

  @Test("a rotation has one node make the key, and it is used when every live node of the layout has it")
  func rotation() async throws {
    let cluster = FakeCluster(nodes: 3, isEncrypted: true)
    try await cluster.start()
    let first = DataKeyStatement(epoch: 1, check: check)
    let second = DataKeyStatement(epoch: 2, check: String(repeating: "cd", count: 32))
    func beat(_ number: Int, _ keys: [DataKeyStatement]) async throws -> DataKeyOrder {
      try await cluster.perform(cluster.heartbeat(node(number), keys: keys)).dataKeys
    }
    await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.RotateDataKeys()) }
    _ = try await beat(1, [])
    for number in 1...3 { _ = try await beat(number, [first]) }
    await cluster.service.tick()
    #expect(cluster.service.view!.layout.version == 1)
    let begun = try await cluster.perform(OperatorOperations.RotateDataKeys())
    #expect(begun.current == 1 && begun.epochs.map(\.epoch) == [1, 2] && begun.epochs[1].founder == node(1))
    await #expect(throws: Problem.self) { try await cluster.perform(OperatorOperations.RotateDataKeys()) }
    // Nobody but the founder makes it; the others go on as before meanwhile.
    #expect(try await beat(2, [first]) == .use(current: 1))
    #expect(try await beat(1, [first]) == .create(epoch: 2))
    #expect(try await beat(1, [first, second]) == .use(current: 1))
    #expect(try await beat(2, [first]) == .fetch(epoch: 2))
    #expect(try await beat(2, [first, second]) == .use(current: 1))
    await #expect(throws: Problem.self, "not with all yet") { try await cluster.perform(OperatorOperations.RotateDataKeys()) }
    #expect(try await beat(3, [first, second]) == .use(current: 2))
    for number in 1...3 { #expect(try await beat(number, [first, second]) == .use(current: 2)) }
    let status = try await cluster.perform(OperatorOperations.GetDataKeys())
    #expect(status.current == 2 && status.epochs[1].holders.count == 3 && status.epochs[1].lacking.isEmpty)
    // One that was away comes without it: it fetches, and what it needs to read it fetches too.
    #expect(try await beat(3, []) == .fetch(epoch: 2))
    #expect(try await beat(3, [second]) == .fetch(epoch: 1))
    #expect(try await beat(3, [first, second]) == .use(current: 2))
    #expect(try await cluster.perform(OperatorOperations.RotateDataKeys()).epochs.count == 3)
  }

  @Test("a founder that dies while the keys are rotated is replaced, and the key in use stays in use")
  func rotationFounderDies() async throws {
    let cluster = FakeCluster(nodes: 3, isEncrypted: true)
    try await cluster.start()
    let first = DataKeyStatement(epoch: 1, check: check)
    for keys in [[], [first]] { for number in 1...3 { _ = try await cluster.perform(cluster.heartbeat(node(number), keys: keys)) } }
    for number in 1...3 { _ = try await cluster.perform(cluster.heartbeat(node(number), keys: [first])) }
    await cluster.service.tick()
    #expect(try await cluster.perform(OperatorOperations.RotateDataKeys()).epochs.last?.founder == node(1))
    for _ in 0..<20 {
      cluster.time.advance(by: .milliseconds(200))
      for number in 2...3 { _ = try await cluster.perform(cluster.heartbeat(node(number), keys: [first])) }
      await cluster.service.tick()
    }
    let third = DataKeyStatement(epoch: 3, check: String(repeating: "ef", count: 32))
    #expect(try await cluster.perform(cluster.heartbeat(node(2), keys: [first])).dataKeys == .create(epoch: 3))
    #expect(try await cluster.perform(cluster.heartbeat(node(2), keys: [first, third])).dataKeys == .use(current: 1))
    #expect(try await cluster.perform(cluster.heartbeat(node(3), keys: [first])).dataKeys == .fetch(epoch: 3))
    #expect(try await cluster.perform(cluster.heartbeat(node(3), keys: [first, third])).dataKeys == .use(current: 3))
  }

  @Test("a ticket is a control URL for one holder and one request, for members only")
  func ticket() async throws {
    let cluster = FakeCluster(nodes: 3, isEncrypted: true)
    try await cluster.start()
    let body = BlockID(words: (1, 2, 3, 4))
    let request = ClusterOperations.GetDataKeyTicket(epoch: 1, body: body, bodyBytes: 200)
    _ = try await cluster.perform(cluster.heartbeat(node(1)))
    await #expect(throws: Problem.self) { _ = try await cluster.dispatcher.performOn(cluster.service, request, node: node(1)) }
    _ = try await cluster.perform(cluster.heartbeat(node(1), keys: [DataKeyStatement(epoch: 1, check: check)]))
    _ = try await cluster.perform(cluster.heartbeat(node(2)))
    let ticket = try await cluster.dispatcher.performOn(cluster.service, request, node: node(2))
    #expect(ticket.holder == node(1) && ticket.check == check)
    #expect(ticket.url.hasPrefix("\(FakeNodes.address(node(1)))/v1/control/\(body.hex)?"))
    await #expect { _ = try await cluster.dispatcher.performOn(cluster.service, request, node: node(1)) } throws: {
      ($0 as? Problem)?.kind == .unavailable
    }
    await #expect { _ = try await cluster.dispatcher.performOn(cluster.service, request) } throws: { ($0 as? Problem)?.kind == .forbidden }
    await #expect { _ = try await cluster.dispatcher.performOn(cluster.service, request, node: node(3)) } throws: {
      ($0 as? Problem)?.kind == .forbidden
    }
  }

  @Test("without encryption every node is told so")
  func plain() async throws {
    let cluster = FakeCluster(nodes: 3)
    try await cluster.start()
    #expect(try await cluster.perform(cluster.heartbeat(node(1))).dataKeys == .use(current: 0))
  }
}
