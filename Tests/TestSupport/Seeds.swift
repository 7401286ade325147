package import BlockModel

/// Seeds of random tests: from `CAIRN_SEED`, so that a failure can be repeated, else new ones. Each is printed.
package enum Seeds {
  /// - Parameter test: its name, for the printed line.
  package static func next(_ test: String = #function) -> UInt64 {
    let seed = Environment.value("CAIRN_SEED").flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64(UInt32.max))
    print("seed of \(test): \(seed) (CAIRN_SEED=\(seed) repeats it)")
    return seed
  }

  package static func random(_ test: String = #function) -> SeededRandom { SeededRandom(seed: next(test)) }
}

extension SeededRandom {
  /// Random bytes for contents.
  package mutating func bytes(_ count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      var position = 0
      while position < count {
        withUnsafeBytes(of: next()) { word in
          let taken = min(8, count - position)
          UnsafeMutableRawBufferPointer(buffer).baseAddress!.advanced(by: position).copyMemory(from: word.baseAddress!, byteCount: taken)
          position += taken
        }
      }
      initialized = count
    }
  }
}
