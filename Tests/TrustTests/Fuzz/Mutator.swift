import BlockModel
import Foundation
import TestSupport

/// Changes good samples a little: what a fuzzer without a view of the code does, repeatable by its seed.
struct Mutator {
  private var random: SeededRandom
  private let samples: [[UInt8]]
  /// What formats hang on: separators, signs, ends of ranges.
  private static let words = [
    "0", "-1", "+1", "00", "18446744073709551615", "18446744073709551616", "9223372036854775808", "4294967296", "\0", "\n", "\r\n", "%00",
    "%2f", "%", "//", "..", "/", "&", "=", "?", "#", ":", ",", ".", "{", "[", "\"", "\\u0000", "\\ud800", "null", "1e309", "é", "\u{301}",
    "**", "[!", "\\",
  ].map { Array($0.utf8) }
  private static let longest = 4096

  /// - Parameter samples: good ones, at least one.
  init(samples: [[UInt8]], random: SeededRandom) {
    self.samples = samples
    self.random = random
  }

  /// A sample with one to eight changes.
  mutating func next() -> [UInt8] {
    var bytes = samples[Int.random(in: samples.indices, using: &random)]
    for _ in 0..<Int.random(in: 1...8, using: &random) { change(&bytes) }
    return Array(bytes.prefix(max(Mutator.longest, samples[0].count)))
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    let start = Int.random(in: 0...bytes.count, using: &random)
    let end = min(bytes.count, start + Int.random(in: 0...16, using: &random))
    switch Int.random(in: 0..<8, using: &random) {
    case 0 where start < bytes.count: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 1 where start < bytes.count: bytes[start] = UInt8.random(in: 0...255, using: &random)
    case 2: bytes.removeSubrange(start..<end)
    case 3: bytes.insert(contentsOf: bytes[start..<end], at: start)
    case 4: bytes.insert(contentsOf: Mutator.words[Int.random(in: Mutator.words.indices, using: &random)], at: start)
    case 5: bytes.replaceSubrange(start..<end, with: Mutator.words[Int.random(in: Mutator.words.indices, using: &random)])
    case 6:
      let other = samples[Int.random(in: samples.indices, using: &random)]
      bytes = Array(bytes[..<start]) + other[min(start, other.count)...]
    default: bytes = Array(bytes[..<start])
    }
  }
}

/// How much is played: a short run by default, `CAIRN_FUZZ_ROUNDS` for a long one.
enum FuzzRounds {
  static var count: Int { Environment.value("CAIRN_FUZZ_ROUNDS").flatMap { Int($0) } ?? 3000 }
}

/// Inputs that something was found with once; each is played in every run.
enum FuzzCorpus {
  /// - Parameter name: of the harness, and of the folder with its inputs.
  static func inputs(_ name: String, file: String = #filePath) -> [[UInt8]] {
    let folder = URL(fileURLWithPath: file).deletingLastPathComponent().appendingPathComponent("Corpus/\(name)")
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path))?.sorted() ?? []
    return names.compactMap { try? [UInt8](Data(contentsOf: folder.appendingPathComponent($0))) }
  }
}
