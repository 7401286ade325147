internal import BlockModel
internal import Platform
internal import ServiceAPI

/// One page of a download plan whose URLs can be renewed; blocks that ask at the same time share one request.
actor PlanPage {
  private let gateway: GatewayConnection
  private let file: EntryID
  private let version: Int64
  private let cursor: String?
  private var renewal: Task<[BlockID: [SignedTarget]], any Error>?

  init(gateway: GatewayConnection, file: EntryID, version: Int64, cursor: String?) {
    self.gateway = gateway
    self.file = file
    self.version = version
    self.cursor = cursor
  }

  func freshTargets(_ block: BlockID) async throws -> [SignedTarget] {
    if let renewal { return try await renewal.value[block] ?? [] }
    let task = Task {
      let plan = try await gateway.downloadPlan(file, version: version, cursor: cursor)
      return Dictionary(plan.blocks.map { ($0.id, $0.get) }, uniquingKeysWith: { first, _ in first })
    }
    renewal = task
    defer { if renewal == task { renewal = nil } }
    return try await task.value[block] ?? []
  }
}

/// Walks the pages of a plan and checks that they describe one whole file.
struct PlanWalk: Sendable {
  /// A block, its place in the file, and where fresh URLs come from.
  struct Step: Sendable {
    var index: Int
    var block: DownloadPlan.Block
    var page: PlanPage
  }

  private let gateway: GatewayConnection
  let head: DownloadPlan
  private var plan: DownloadPlan
  private var page: PlanPage
  private var position = 0
  private var index = 0
  private var offset: Int64 = 0
  private var hasher = PieceIDs()

  init(gateway: GatewayConnection, plan: DownloadPlan) {
    self.gateway = gateway
    head = plan
    self.plan = plan
    page = PlanPage(gateway: gateway, file: plan.file.id, version: plan.version, cursor: nil)
  }

  /// The next block, nil after the last.
  /// - Throws: `CairnError` `unexpected` when the plan has gaps, or blocks of sizes that cannot be.
  mutating func next() async throws -> Step? {
    while position == plan.blocks.count {
      guard let cursor = plan.next else {
        guard offset == head.size else { throw Self.contradiction("its blocks end before the file does") }
        return nil
      }
      plan = try await gateway.downloadPlan(head.file.id, version: head.version, cursor: cursor)
      guard plan.version == head.version, !plan.blocks.isEmpty else { throw Self.contradiction("its pages are of two versions") }
      page = PlanPage(gateway: gateway, file: head.file.id, version: head.version, cursor: cursor)
      position = 0
    }
    let block = plan.blocks[position]
    guard block.offset == offset, (1...Limits.blockBytes).contains(block.size), offset + Int64(block.size) <= head.size else {
      throw Self.contradiction("its blocks do not follow one another")
    }
    defer {
      position += 1
      index += 1
    }
    offset += Int64(block.size)
    hasher.ids.append(block.id)
    return Step(index: index, block: block, page: page)
  }

  /// After the last block: whether the blocks add up to the file's content hash. With content-defined blocks only the bytes can tell.
  func checkContentHash() throws {
    guard head.chunker == .fixed else { return }
    guard ContentHash.ofPieces(hasher.ids) == head.contentHash else {
      throw Self.contradiction("its blocks do not add up to the content hash")
    }
  }

  private struct PieceIDs: Sendable { var ids: [BlockID] = [] }

  static func contradiction(_ what: String) -> CairnError {
    CairnError(.unexpected, "The gateway's plan for the file contradicts itself (\(what)); try again, and tell the operator if it recurs.")
  }
}
