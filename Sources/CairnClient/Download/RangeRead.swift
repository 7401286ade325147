internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Reads a file, or a range of it, in order: the blocks ahead are fetched while the one before is being used.
struct RangeRead: Sendable {
  let gateway: GatewayConnection
  let resources: TransferResources
  let progress: TransferProgress?

  /// - Parameters:
  ///   - range: bytes; cut to the file's end. Nil is all of it.
  ///   - consume: gets the bytes piece by piece, in order, on a thread that may block. They are valid inside the call only.
  func read(
    _ plan: FilePlan, range: Range<Int64>?, consume: @escaping @Sendable (UnsafeRawBufferPointer) throws -> Void
  ) async throws {
    let range = (range ?? 0..<plan.size).clamped(to: 0..<plan.size)
    // Of an encrypted file nothing is handed out before all of it is known to be what somebody with the key put together.
    let expected = plan.cipher == nil ? nil : try await PlanWalk.checkedBlocks(of: plan, gateway)
    try await withThrowingTaskGroup(of: (Int, FetchedBlock).self) { group in
      var walk = PlanWalk(gateway: gateway, plan: plan, expected: expected)
      var ready: [Int: FetchedBlock] = [:]
      var fetching = 0
      var order: [PlanWalk.Step] = []
      var isAtEnd = false
      while true {
        // A buffer is waited for only when this reader holds none, so that several readers cannot wait for one another.
        while !isAtEnd, order.count < resources.parallel, let step = try await nextInside(range, &walk, &isAtEnd, holding: order.count) {
          let buffer = step.buffer
          order.append(step.step)
          fetching += 1
          group.addTask {
            let fetched = try await BlockFetcher(resources: resources, cipher: plan.cipher).fetch(step.step.block, into: buffer) {
              try await step.step.page.freshTargets(step.step.block.id)
            }
            return (step.step.index, fetched)
          }
        }
        guard let head = order.first else { return }
        while ready[head.index] == nil, fetching > 0, let (index, fetched) = try await group.next() {
          fetching -= 1
          ready[index] = fetched
        }
        guard let fetched = ready.removeValue(forKey: head.index) else { return }
        order.removeFirst()
        let wanted = (head.offset..<head.offset + Int64(head.size)).clamped(to: range)
        let from = fetched.range.lowerBound + Int(wanted.lowerBound - head.offset)
        let piece = from..<(from + wanted.count)
        try await resources.threads.run { try consume(fetched.buffer.bytes(piece)) }
        progress?.moved(bytes: Int64(piece.count))
      }
    }
  }

  private func nextInside(
    _ range: Range<Int64>, _ walk: inout PlanWalk, _ isAtEnd: inout Bool, holding: Int
  ) async throws -> (step: PlanWalk.Step, buffer: IOBuffer)? {
    let buffer: IOBuffer
    if holding > 0 {
      guard let free = resources.buffers.tryAcquire() else { return nil }
      buffer = free
    } else {
      buffer = try await resources.buffer()
    }
    while !range.isEmpty, let step = try await walk.next() {
      if step.offset >= range.upperBound { break }
      if step.offset + Int64(step.size) > range.lowerBound { return (step, buffer) }
    }
    isAtEnd = true
    return nil
  }
}
