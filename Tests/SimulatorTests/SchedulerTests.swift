import BlockModel
import Platform
import Simulator
import Synchronization
import Testing

private final class Log: Sendable {
  private let state = Mutex<[Int]>([])
  func add(_ number: Int) { state.withLock { $0.append(number) } }
  var numbers: [Int] { state.withLock { $0 } }
}

@Suite struct SchedulerTests {
  private static func play(seed: UInt64) -> [Int] {
    let log = Log()
    let scheduler = SimulatedScheduler(fibers: FiberPool(), interruptionShare: 1)
    let queue = scheduler.makeQueue(threads: 2, queueLimit: 10)
    for number in 0..<4 {
      Task(executorPreference: scheduler) {
        log.add(number)
        let answer = try await queue.run {
          for point in 1...5 {
            log.add(number * 100 + point)
            scheduler.passPoint()
          }
          return number * 1000
        }
        log.add(answer)
      }
    }
    var random = SeededRandom(seed: seed)
    #expect(scheduler.run(&random))
    return log.numbers
  }

  @Test("the same seed gives the same order, others give others, and everything runs")
  func order() {
    let orders = (0..<40).map { Self.play(seed: $0) }
    for (seed, order) in orders.enumerated() {
      #expect(order == Self.play(seed: UInt64(seed)))
      #expect(order.count == 4 * 7)
    }
    #expect(Set(orders).count > 30)
    // Work that has begun is stopped for other work: 101 … 105 do not follow each other.
    #expect(orders.contains { order in order.firstIndex(of: 105)! - order.firstIndex(of: 101)! > 6 })
  }

  @Test("a queue runs no more at once than it has threads, in order, and refuses more than may wait")
  func queues() {
    let scheduler = SimulatedScheduler(fibers: FiberPool(), interruptionShare: 1)
    let queue = scheduler.makeQueue(threads: 1, queueLimit: 2)
    let log = Log()
    let refusals = (0..<4).map { number in
      queue.submit {
        log.add(number)
        scheduler.passPoint()
        log.add(number)
      }
    }
    #expect(refusals == [nil, nil, nil, .overloaded])
    var random = SeededRandom(seed: 1)
    #expect(scheduler.run(&random))
    #expect(log.numbers == [0, 0, 1, 1, 2, 2])
  }
}
