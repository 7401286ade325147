import BlockModel
import CommandLineKit
import Platform

/// Cutting by itself, on one core: finding the ends of content-defined blocks in memory, and reading fixed ones from the page cache, which
/// is all that there is to them.
enum ChunkingBench {
  static let command = Command(
    "chunking", summary: "find the ends of content-defined blocks in random bytes; prints GB/s",
    options: [CommandOption("fixed", value: "FILE", help: "read blocks of 4 MiB of such a file instead, made for it and removed")]
  ) { invocation in
    let setup = LoadShape(invocation)
    let rounds = invocation.int("rounds") ?? 3
    let buffer = IOBuffer(capacity: setup.sizeBytes)
    SecureRandom.fill(buffer.mutableBytes(0..<setup.sizeBytes))
    let bytes = buffer.bytes(0..<setup.sizeBytes)
    var rates: [Double] = []
    if let path = invocation.option("fixed") {
      let file = try File(path, [.read, .write, .create, .exclusive], mode: 0o600)
      defer { try? Directory.remove(path) }
      try file.pwrite(bytes, at: 0)
      for _ in 0..<rounds { rates.append(try fixedRate(file, byteCount: setup.sizeBytes, times: setup.count)) }
    } else {
      rates = (0..<rounds).map { _ in rate(bytes, times: setup.count) }
    }
    invocation.console.print(rounded(Comparison.median(rates), 2))
  }

  private static func fixedRate(_ file: File, byteCount: Int, times: Int) throws -> Double {
    let block = IOBuffer(capacity: Limits.blockBytes)
    let clock = ContinuousClock()
    let began = clock.now
    for _ in 0..<times {
      var offset = 0
      while offset < byteCount {
        let count = min(Limits.blockBytes, byteCount - offset)
        offset += try file.pread(into: block.mutableBytes(0..<count), at: Int64(offset))
      }
    }
    return Double(byteCount * times) / 1e9 / (clock.now - began).inSeconds
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
