import BlockModel
import CommandLineKit
import Platform

/// Finding the ends of content-defined blocks by itself, on one core: what chunking adds to reading and hashing.
enum ChunkingBench {
  static let command = Command("chunking", summary: "find the ends of content-defined blocks in random bytes; prints GB/s") { invocation in
    let setup = LoadShape(invocation)
    let rounds = invocation.int("rounds") ?? 3
    let buffer = IOBuffer(capacity: setup.sizeBytes)
    SecureRandom.fill(buffer.mutableBytes(0..<setup.sizeBytes))
    let rates = (0..<rounds).map { _ in rate(buffer.bytes(0..<setup.sizeBytes), times: setup.count) }
    invocation.console.print(rounded(Comparison.median(rates), 2))
  }

  private static func rate(_ bytes: UnsafeRawBufferPointer, times: Int) -> Double {
    let clock = ContinuousClock()
    let began = clock.now
    var blocks = 0
    for _ in 0..<times {
      var rest = bytes
      while !rest.isEmpty {
        var block = ContentDefinedChunking.standard.block()
        let end = block.end(in: rest) ?? rest.count
        rest = UnsafeRawBufferPointer(rebasing: rest[end...])
        blocks += 1
      }
    }
    // The number is looked at, so that the loop is not left out.
    precondition(blocks > 0, "there are bytes to cut")
    return Double(bytes.count * times) / 1e9 / (clock.now - began).inSeconds
  }
}
