import BlockModel
import Foundation
import Platform
import TestSupport

/// Random files on disk, and whether two folders hold the same.
enum FileTree {
  /// Writes `count` files of many sizes below `folder`, some in subfolders, some empty, one larger than a block.
  static func make(in folder: String, count: Int, largest: Int = 9 << 20, random: inout SeededRandom) throws {
    try Directory.create(folder)
    for index in 0..<count {
      let below = index % 3 == 0 ? folder : "\(folder)/sub \(index % 5)"
      try Directory.create(below)
      let size: Int
      switch index {
      case 0: size = 0
      case 1: size = largest
      case 2: size = Limits.blockBytes
      default: size = Int.random(in: 1...(index % 4 == 0 ? 600_000 : 20_000), using: &random)
      }
      try write("\(below)/file-\(index)", size: size, random: &random)
    }
  }

  static func write(_ path: String, size: Int, random: inout SeededRandom) throws {
    try AtomicFile.write(path, random.bytes(size), mode: 0o644)
  }

  /// What differs between two folders, as `diff -r` says it; empty when nothing does.
  static func difference(_ a: String, _ b: String) async throws -> String {
    let outcome = try await ProcessRunner.run("/usr/bin/diff", ["-r", "--no-dereference", a, b])
    return outcome.succeeded ? "" : outcome.output + outcome.error + "\(outcome.ending)"
  }
}
