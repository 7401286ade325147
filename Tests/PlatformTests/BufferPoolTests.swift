internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("Buffer pool")
struct BufferPoolTests {
  @Test("buffers are aligned for direct I/O and have the size asked for")
  func alignment() throws {
    let pool = BufferPool(bufferCapacity: 5000, limit: 3)
    let buffers = (0..<3).compactMap { _ in pool.tryAcquire() }
    #expect(buffers.count == 3)
    for buffer in buffers {
      #expect(Int(bitPattern: buffer.base) % 4096 == 0)
      #expect(buffer.capacity == 5000 && buffer.bytes(0..<5000).count == 5000)
    }
  }

  @Test("large buffers begin at a huge page, are writable to their last byte, and outlive their neighbours")
  func hugePages() {
    for capacity in [2 << 20, (2 << 20) + 1, (4 << 20) + 8192, 5_000_001] {
      var buffers = (0..<12).map { _ in IOBuffer(capacity: capacity) }
      for (index, buffer) in buffers.enumerated() {
        #expect(Int(bitPattern: buffer.base) % (2 << 20) == 0)
        for offset in stride(from: 0, to: capacity, by: 4096) {
          buffer.base.storeBytes(of: UInt8(index), toByteOffset: offset, as: UInt8.self)
        }
        buffer.base.storeBytes(of: UInt8(index), toByteOffset: capacity - 1, as: UInt8.self)
      }
      buffers = buffers.enumerated().filter { $0.offset % 2 == 1 }.map(\.element)
      for (index, buffer) in buffers.enumerated() {
        let bytes = buffer.bytes(0..<capacity)
        #expect(stride(from: 0, to: capacity, by: 4096).allSatisfy { bytes[$0] == UInt8(2 * index + 1) })
        #expect(bytes[capacity - 1] == UInt8(2 * index + 1))
      }
    }
  }

  @Test("no more than the limit are lent, and one that comes back is lent again")
  func limit() throws {
    let pool = BufferPool(bufferCapacity: 10, limit: 2)
    var first = pool.tryAcquire()
    let second = pool.tryAcquire()
    #expect(first != nil && second != nil && pool.tryAcquire() == nil)
    #expect(pool.lent == 2)
    first = nil
    #expect(pool.lent == 1)
    #expect(pool.tryAcquire() != nil)
    _ = second
  }

  @Test("who waits gets a buffer in the order of asking")
  func order() async throws {
    let pool = BufferPool(bufferCapacity: 10, limit: 1)
    var held = pool.tryAcquire()
    let (order, report) = AsyncStream.makeStream(of: Int.self)
    var tasks: [Task<Void, any Error>] = []
    for index in 0..<5 {
      tasks.append(
        Task {
          let buffer = try await pool.acquire(patience: .seconds(60))
          report.yield(index)
          withExtendedLifetime(buffer) {}
        })
      try await eventually { pool.waiting == index + 1 }
    }
    _ = held
    held = nil
    for task in tasks { try await task.value }
    report.finish()
    var served: [Int] = []
    for await index in order { served.append(index) }
    #expect(served == [0, 1, 2, 3, 4])
    #expect(pool.lent == 0)
  }

  @Test("the line is bounded, and patience ends, also when it is none at all")
  func refusals() async throws {
    let pool = BufferPool(bufferCapacity: 10, limit: 1, waitingLimit: 1)
    let held = pool.tryAcquire()
    let waiter = Task { try await pool.acquire(patience: .seconds(60)) }
    try await eventually { pool.waiting == 1 }
    await #expect(throws: BufferPool.Exhausted.tooManyWaiting) { try await pool.acquire(patience: .seconds(60)) }
    waiter.cancel()
    await #expect(throws: CancellationError.self) { try await waiter.value }
    #expect(pool.waiting == 0)
    for patience in [Duration.zero, .nanoseconds(1), .milliseconds(5)] {
      await #expect(throws: BufferPool.Exhausted.tooManyWaiting) { try await pool.acquire(patience: patience) }
    }
    #expect(pool.lent == 1)
    withExtendedLifetime(held) {}
  }

  @Test("no buffer is lost or lent twice under many tasks that wait, give up and cancel")
  func storm() async throws {
    let pool = BufferPool(bufferCapacity: 64, limit: 3, waitingLimit: 20)
    let seed = Seeds.next()
    await withTaskGroup(of: Void.self) { group in
      for index in 0..<400 {
        group.addTask {
          var random = SeededRandom(seed: seed &+ UInt64(index))
          let patience = Duration.microseconds(Int64.random(in: 0...2000, using: &random))
          let task = Task {
            guard let buffer = try? await pool.acquire(patience: patience) else { return }
            let mark = UInt8(truncatingIfNeeded: index)
            for byte in 0..<64 { buffer.mutableBytes(0..<64)[byte] = mark }
            await Task.yield()
            #expect(buffer.bytes(0..<64).allSatisfy { $0 == mark })
          }
          if Int.random(in: 0..<4, using: &random) == 0 { task.cancel() }
          await task.value
        }
      }
    }
    #expect(pool.lent == 0 && pool.waiting == 0)
    #expect((0..<3).compactMap { _ in pool.tryAcquire() }.count <= 3)
  }

  @Test("buffers that nobody needs are given back, and those that the load comes back to are kept", .timeLimit(.minutes(1)))
  func idleBuffers() async throws {
    let pool = BufferPool(bufferCapacity: 100_000, limit: 8, idleTime: .milliseconds(20))
    var held = (0..<8).compactMap { _ in pool.tryAcquire() }
    #expect(held.count == 8 && pool.allocated == 8)
    held.removeLast(6)
    try await eventually { pool.allocated == 2 }
    for buffer in held { buffer.mutableBytes(0..<100_000).initializeMemory(as: UInt8.self, repeating: 7) }
    #expect(held.allSatisfy { $0.bytes(0..<100_000).allSatisfy { $0 == 7 } })
    held.removeAll()
    try await eventually { pool.allocated == 0 }
    // After it ended for lack of idle buffers the watch begins anew.
    held = (0..<3).compactMap { _ in pool.tryAcquire() }
    #expect(pool.allocated == 3)
    held.removeAll()
    try await eventually { pool.allocated == 0 }
  }

  @Test("a pool whose buffers are in use in turn keeps them")
  func buffersInTurn() async throws {
    let pool = BufferPool(bufferCapacity: 64, limit: 2, idleTime: .seconds(3600))
    let base = try #require(pool.tryAcquire()).base
    for _ in 0..<10 { #expect(pool.tryAcquire()?.base == base) }
    #expect(pool.allocated == 1)
  }
}
