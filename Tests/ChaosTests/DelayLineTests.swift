import BlockModel
import Chaos
import TestSupport
import Testing

@Suite("A slow direction of a connection") struct DelayLineTests {
  @Test("bytes leave in their order, none before its time, and the end leaves last")
  func order() {
    var random = Seeds.random()
    for _ in 0..<50 { order(&random) }
  }

  private func order(_ random: inout SeededRandom) {
    var line = DelayLine()
    var (sent, received) = ([UInt8](), [UInt8]())
    var (now, isOver) = (0.0, false)
    let effect = LinkRules.Effect(delay: 0.01...0.5, loss: 0.3)
    while !isOver {
      if !line.hasEnded, line.room > 0, Bool.random(using: &random) {
        let count = sent.count > 2000 ? 0 : Int.random(in: 1...40, using: &random)
        let piece = (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        line.take(piece[...], at: now, effect, &random)
        sent += piece
        #expect(line.nextDue ?? 0 >= 0.01)
      }
      now += 0.03
      while let bytes = line.ready(at: now), !isOver {
        if bytes.isEmpty {
          isOver = true
          line.wrote(0)
        } else {
          let count = Int.random(in: 1...bytes.count, using: &random)
          received += bytes.prefix(count)
          line.wrote(count)
        }
      }
    }
    #expect(sent == received && line.isEmpty && line.count == 0)
  }

  @Test("it takes no more than it may hold, and again when something has left")
  func bound() {
    var random = SeededRandom(seed: 1)
    var line = DelayLine()
    let piece = [UInt8](repeating: 7, count: DelayLine.capacity)
    line.take(piece[...], at: 0, .init(delay: 1...1), &random)
    #expect(line.room == 0 && line.ready(at: 0.9) == nil && line.ready(at: 1)?.count == DelayLine.capacity)
    line.wrote(1000)
    #expect(line.room == 1000 && line.count == DelayLine.capacity - 1000)
    line.take([], at: 0, .init(), &random)
    #expect(line.room == 0 && line.hasEnded && line.nextDue == 1, "the end does not overtake what came before")
  }
}
