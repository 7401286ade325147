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
      let plan = try await gateway.planPage(file, version: version, cursor: cursor)
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
    /// As it is stored.
    var block: DownloadPlan.Block
    var page: PlanPage
    /// Of its bytes in the file.
    var offset: Int64
    /// Bytes of the file in it.
    var size: Int
  }

  private let gateway: GatewayConnection
  let head: FilePlan
  /// The blocks that there have to be, where they are known already.
  private let expected: [BlockID]?
  private var plan: DownloadPlan
  private var page: PlanPage
  private var position = 0
  private var index = 0
  private var offset: Int64 = 0
  private var plainOffset: Int64 = 0
  /// Those before `next`, as they are stored.
  private(set) var blocks: [BlockRef] = []

  init(gateway: GatewayConnection, plan: FilePlan, expected: [BlockID]? = nil) {
    self.gateway = gateway
    head = plan
    self.expected = expected
    self.plan = plan.plan
    page = PlanPage(gateway: gateway, file: plan.file.id, version: plan.version, cursor: nil)
  }

  /// The next block, nil after the last.
  /// - Throws: `CairnError` `unexpected` when the plan has gaps, or blocks of sizes that cannot be.
  mutating func next() async throws -> Step? {
    while position == plan.blocks.count {
      guard let cursor = plan.next else {
        guard offset == head.plan.size, plainOffset == head.size else { throw Self.contradiction("its blocks end before the file does") }
        return nil
      }
      plan = try await gateway.planPage(head.file.id, version: head.version, cursor: cursor)
      guard plan.version == head.version, !plan.blocks.isEmpty else { throw Self.contradiction("its pages are of two versions") }
      page = PlanPage(gateway: gateway, file: head.file.id, version: head.version, cursor: cursor)
      position = 0
    }
    let block = plan.blocks[position]
    let size = block.size - head.overhead
    guard block.offset == offset, size > 0, block.size <= Limits.blockBytes, offset + Int64(block.size) <= head.plan.size else {
      throw Self.contradiction("its blocks do not follow one another")
    }
    defer {
      position += 1
      index += 1
    }
    guard expected.map({ index < $0.count && $0[index] == block.id }) ?? true else { throw Self.contradiction("its blocks changed") }
    offset += Int64(block.size)
    plainOffset += Int64(size)
    blocks.append(BlockRef(id: block.id, size: block.size))
    return Step(index: index, block: block, page: page, offset: plainOffset - Int64(size), size: size)
  }

  /// After the last block: whether the blocks add up to the file's content hash. With content-defined blocks only the bytes can tell,
  /// except in an encrypted folder, where it is made of the blocks' names and the envelope says what the bytes are.
  func checkContentHash() throws {
    guard head.chunker == .fixed || head.cipher != nil else { return }
    guard ContentHash.ofPieces(blocks.lazy.map(\.id)) == head.plan.contentHash else {
      throw Self.contradiction("its blocks do not add up to the content hash")
    }
  }

  /// All blocks of a plan, which add up to its content hash; nothing is fetched.
  static func checkedBlocks(of plan: FilePlan, _ gateway: GatewayConnection) async throws -> [BlockID] {
    var walk = PlanWalk(gateway: gateway, plan: plan)
    while try await walk.next() != nil {}
    try walk.checkContentHash()
    return walk.blocks.map(\.id)
  }

  static func contradiction(_ what: String) -> CairnError {
    CairnError(.unexpected, "The gateway's plan for the file contradicts itself (\(what)); try again, and tell the operator if it recurs.")
  }
}
