import BlockModel
import BlockStore
import ServiceAPI
import TestSupport
import Testing

@Suite("What the garbage collector asks of a node") struct GarbageCommandTests {
  @Test("blocks below an epoch are listed page by page, those at or above it are left out", arguments: StoreKind.allCases)
  func listBelow(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = (0..<25).map { _ in random.bytes(300) }
    try await withCluster(.init(store: store)) { cluster in
      for block in blocks { _ = try await cluster.store(block) }
      let names = blocks.map { TestCluster.name($0) }
      for name in names.prefix(10) { #expect(try await cluster.nodes[1].disk.raiseEpoch(of: name, to: 7)) }
      for (epoch, expected) in [(UInt64(1), []), (7, names.dropFirst(10).sorted()), (8, names.sorted())] as [(UInt64, [BlockID])] {
        var listed: [BlockID] = []
        var after: BlockID?
        repeat {
          let reply = try await cluster.command(.listBelow(epoch: epoch, partition: 0, bits: 0, after: after, limit: 3), at: 1)
          guard case .listBelow(let page, let bytes, let next) = reply else {
            Issue.record("a list is answered by a list")
            return
          }
          #expect(page.count <= 3 && bytes.count == page.count && bytes.allSatisfy { $0 > 300 })
          listed += page
          after = next
        } while after != nil
        #expect(listed == expected, "below epoch \(epoch)")
      }
    }
  }

  @Test("deleted blocks are listed under their epochs, and come back by epoch or by a PUT", arguments: StoreKind.allCases)
  func undo(store: StoreKind) async throws {
    var random = Seeds.random()
    let blocks = (0..<6).map { _ in random.bytes(300) }
    let names = blocks.map { TestCluster.name($0) }
    try await withCluster(.init(store: store)) { cluster in
      for block in blocks { _ = try await cluster.store(block) }
      #expect(try await cluster.command(.delete(blocks: Array(names[0..<3])), at: 0, gcEpoch: 2) == .delete(deleted: 3))
      #expect(try await cluster.command(.delete(blocks: Array(names[2..<5])), at: 0, gcEpoch: 3) == .delete(deleted: 2))
      func quarantined() async throws -> [BlockID: UInt64] {
        var found: [BlockID: UInt64] = [:]
        var after: BlockID?
        repeat {
          guard
            case .quarantined(let page, let epochs, let next) = try await cluster.command(
              .listQuarantined(after: after, limit: 2), at: 0)
          else { return [:] }
          for (block, epoch) in zip(page, epochs) { found[block] = epoch }
          after = next
        } while after != nil
        return found
      }
      #expect(try await quarantined() == [names[0]: 2, names[1]: 2, names[2]: 2, names[3]: 3, names[4]: 3])
      // A PUT under a URL of an older epoch takes its block back all the same.
      _ = try await cluster.store(blocks[0])
      #expect(cluster.holders(names[0]).contains(0))
      var restored = 0
      var after: BlockID?
      repeat {
        guard case .restored(let count, let next) = try await cluster.command(.restore(sinceEpoch: 3, after: after, limit: 1), at: 0) else {
          Issue.record("a restore is answered by its count")
          return
        }
        restored += count
        after = next
      } while after != nil
      #expect(restored == 2)
      #expect(try await quarantined() == [names[1]: 2, names[2]: 2])
      #expect(try await cluster.command(.restore(sinceEpoch: 0, after: nil, limit: 1000), at: 0) == .restored(blocks: 2, next: nil))
      for name in names { #expect(cluster.holders(name) == [0, 1, 2]) }
    }
  }

  @Test("pages without a limit, or with too large a one, are refused")
  func limits() async throws {
    try await withCluster { cluster in
      for command: NodeCommand in [
        .listBelow(epoch: 1, partition: 0, bits: 0, after: nil, limit: 0),
        .listBelow(epoch: 1, partition: 1, bits: 0, after: nil, limit: 1),
        .listQuarantined(after: nil, limit: 10_001), .restore(sinceEpoch: 0, after: nil, limit: 1001),
      ] {
        await #expect(throws: Unexpected.self) { try await cluster.command(command, at: 0) }
      }
    }
  }
}
