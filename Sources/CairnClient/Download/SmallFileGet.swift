internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Downloads many small files with few requests. They are in place when it returns, and durable once the file system has been synced.
struct SmallFileGet: Sendable {
  static let files = 256

  enum Outcome: Sendable {
    case written(FileEntry)
    case refused(any Error)
    /// Not one small block any more: to be downloaded by itself.
    case alone
  }

  private struct Planned: Sendable {
    var place: Int
    var plan: FilePlan
  }

  let gateway: GatewayConnection
  let resources: TransferResources

  /// Runs of files whose bytes fit into memory together.
  static func split(_ files: [TreeGet.Item]) -> [[TreeGet.Item]] {
    var batches: [[TreeGet.Item]] = []
    var current: [TreeGet.Item] = []
    var bytes: Int64 = 0
    for file in files {
      if current.count == SmallFileGet.files || bytes + file.entry.size > Int64(Limits.blockBytes) {
        batches.append(current)
        (current, bytes) = ([], 0)
      }
      current.append(file)
      bytes += file.entry.size
    }
    if !current.isEmpty { batches.append(current) }
    return batches
  }

  /// - Returns: one outcome a file, in the order of `items`.
  func get(_ items: [TreeGet.Item]) async throws -> [Outcome] {
    var outcomes = [Outcome](repeating: .alone, count: items.count)
    let present = try await resources.threads.run { items.map { isThere($0) } }
    for (place, isPresent) in present.enumerated() where isPresent { outcomes[place] = .written(items[place].entry) }
    let wanted = items.indices.filter { !present[$0] }
    guard !wanted.isEmpty else { return outcomes }
    var planned: [Planned] = []
    for (place, answer) in zip(wanted, try await gateway.downloadPlans(wanted.map { (items[$0].entry.id, items[$0].entry.keyFolder) })) {
      do {
        let plan = try answer.get()
        if Self.isSmall(plan) { planned.append(Planned(place: place, plan: plan)) }
      } catch { outcomes[place] = .refused(error) }
    }
    let results = try await fetch(planned)
    let files = planned
    let written = try await resources.threads.run {
      zip(files, results).map { file, result -> Outcome in
        do {
          try write(try result.get(), file.plan, to: items[file.place].destination)
          return .written(file.plan.file)
        } catch { return .refused(error) }
      }
    }
    for (file, outcome) in zip(planned, written) { outcomes[file.place] = outcome }
    return outcomes
  }

  private static func isSmall(_ plan: FilePlan) -> Bool {
    guard plan.plan.next == nil, plan.blocks.count <= 1, plan.chunker == .fixed else { return false }
    guard let block = plan.blocks.first else { return plan.size == 0 }
    return block.offset == 0 && Int64(block.size) == plan.plan.size && (1...BlockBatch.itemDataBytes).contains(block.size)
  }

  // MARK: Bytes

  private func fetch(_ planned: [Planned]) async throws -> [Result<[UInt8], any Error>] {
    let places = planned.indices.filter { !planned[$0].plan.blocks.isEmpty }
    var bytes = [Result<[UInt8], any Error>](repeating: .success([]), count: planned.count)
    let together =
      places.count > 1
      ? try await SmallBlocks(resources: resources).get(places.map { planned[$0].plan.blocks[0] })
      : [[UInt8]?](repeating: nil, count: places.count)
    var lacking: [Int] = []
    for (place, found) in zip(places, together) {
      if let found { bytes[place] = .success(found) } else { lacking.append(place) }
    }
    for (place, result) in await fetchAlone(lacking.map { ($0, planned[$0].plan) }) { bytes[place] = result }
    return bytes
  }

  /// What the batch did not bring, each block by itself.
  private func fetchAlone(_ files: [(place: Int, plan: FilePlan)]) async -> [(place: Int, result: Result<[UInt8], any Error>)] {
    await withTaskGroup(of: Alone.self) { group in
      for file in files {
        group.addTask {
          do { return Alone(place: file.place, result: .success(try await fetchAlone(file.plan))) } catch {
            return Alone(place: file.place, result: .failure(error))
          }
        }
      }
      var results: [(place: Int, result: Result<[UInt8], any Error>)] = []
      for await one in group { results.append((one.place, one.result)) }
      return results
    }
  }

  private struct Alone: Sendable {
    var place: Int
    var result: Result<[UInt8], any Error>
  }

  private func fetchAlone(_ plan: FilePlan) async throws -> [UInt8] {
    let block = plan.blocks[0]
    let page = PlanPage(gateway: gateway, file: plan.file.id, version: plan.version, cursor: nil)
    return try await resources.smallBlocks.run {
      let buffer = IOBuffer(capacity: block.size)
      let fetched = try await BlockFetcher(resources: resources).fetch(block, into: buffer) { try await page.freshTargets(block.id) }
      return Array(fetched.buffer.bytes(fetched.range))
    }
  }

  // MARK: Files

  /// Blocks, as all below does.
  private func write(_ stored: [UInt8], _ plan: FilePlan, to destination: String) throws {
    let pieces = stored.isEmpty ? [] : plan.blocks.map(\.id)
    guard ContentHash.ofPieces(pieces) == plan.plan.contentHash else {
      throw PlanWalk.contradiction("its blocks do not add up to the content hash")
    }
    let bytes = try stored.isEmpty ? [] : plan.cipher?.opened(block: stored) ?? stored
    guard Int64(bytes.count) == plan.size else { throw PlanWalk.contradiction("its blocks do not have the file's size") }
    if let there = try FileIdentity.at(destination, followingLinks: false), there.isDirectory {
      throw CairnError(.localFile, "\(destination) is a folder and in the way of a file; move it away.")
    }
    let part = try PartFile(beside: destination, executable: plan.file.executable)
    do {
      try bytes.withUnsafeBytes { try part.file.pwrite($0, at: 0) }
      try part.finish(modified: plan.file.modifiedAt, executable: plan.file.executable, durably: false)
    } catch {
      part.discard()
      throw error
    }
  }

  /// Whether the destination is this very file already.
  private func isThere(_ item: TreeGet.Item) -> Bool {
    guard let identity = try? FileIdentity.at(item.destination, followingLinks: false), identity.isRegular,
      identity.size == item.entry.size,
      identity.modifiedNanoseconds == item.entry.modifiedAt.nanoseconds, identity.isExecutable == item.entry.executable,
      let file = try? File(item.destination, [.read, .noFollow])
    else { return false }
    return (try? ContentHash.ofFile(file, buffer: resources.scratch.tryAcquire() ?? IOBuffer(capacity: Limits.blockBytes)))
      == item.entry.contentHash
  }
}
