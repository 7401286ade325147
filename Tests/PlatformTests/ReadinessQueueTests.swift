import Glibc
import Platform
import Testing

@Suite("waiting for descriptors") struct ReadinessQueueTests {
  private final class Pipe {
    let reading: Int32
    let writing: Int32
    init() {
      var ends: [Int32] = [0, 0]
      precondition(pipe(&ends) == 0)
      (reading, writing) = (ends[0], ends[1])
    }
    deinit {
      close(reading)
      close(writing)
    }
    func fill() { _ = write(writing, "x", 1) }
  }

  /// What one wait told.
  private static func told(_ queue: ReadinessQueue, _ milliseconds: Int32) -> [Int32: ReadinessQueue.Events] {
    var told: [Int32: ReadinessQueue.Events] = [:]
    queue.wait(milliseconds: milliseconds) { told[$0] = $1 }
    return told
  }

  @Test("tells which are ready and for what, again and again until that is taken") func tellsWhatIsReady() {
    let queue = ReadinessQueue()
    let (one, other) = (Pipe(), Pipe())
    queue.watch(one.reading, for: .readable)
    queue.watch(other.reading, for: .readable)
    #expect(Self.told(queue, 0).isEmpty)
    one.fill()
    #expect(Self.told(queue, 1000) == [one.reading: .readable])
    #expect(Self.told(queue, 1000) == [one.reading: .readable])
    other.fill()
    #expect(Self.told(queue, 1000) == [one.reading: .readable, other.reading: .readable])
  }

  @Test("what is watched for changes, and ends") func interestChanges() {
    let queue = ReadinessQueue()
    let pipe = Pipe()
    queue.watch(pipe.writing, for: .readable)
    #expect(Self.told(queue, 0).isEmpty)
    queue.watch(pipe.writing, for: [.readable, .writable])
    #expect(Self.told(queue, 1000) == [pipe.writing: .writable])
    queue.watch(pipe.writing, for: [])
    #expect(Self.told(queue, 0).isEmpty)
    queue.watch(pipe.writing, for: .writable)
    #expect(Self.told(queue, 1000) == [pipe.writing: .writable])
  }

  @Test("a peer that is gone is told without being asked for") func tellsOfBrokenPeers() {
    let queue = ReadinessQueue()
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    queue.watch(ends[1], for: .writable)
    close(ends[0])
    #expect(Self.told(queue, 1000)[ends[1]]?.contains(.broken) == true)
    close(ends[1])
    #expect(Self.told(queue, 0).isEmpty)
  }

  @Test("a wake ends the wait, also one that came before it, and is told of nobody") func wakes() async throws {
    let queue = ReadinessQueue()
    queue.wake()
    queue.wake()
    let begin = ContinuousClock.now
    #expect(Self.told(queue, 60_000).isEmpty)
    let pool = BlockingPool(name: "waits", threads: 1, queueLimit: 1)
    async let isQuiet = pool.run { Self.told(queue, 60_000).isEmpty }
    queue.wake()
    #expect(try await isQuiet)
    pool.shutDown()
    #expect(ContinuousClock.now - begin < .seconds(30))
  }
}
