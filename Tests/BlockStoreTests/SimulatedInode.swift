import BlockModel
import Platform

/// The bytes of one simulated file, as three parties see them.
///
/// `cache` is what a process reads, `disk` what reads past the page cache see, and `durable` plus any part of `pending` what is
/// there after the power failed.
struct SimulatedInode {
  enum Change {
    case write(offset: Int, bytes: [UInt8])
    case punch(Range<Int>)
    case size(Int)
  }

  var cache: [UInt8] = []
  var disk: [UInt8] = []
  var durable: [UInt8] = []
  var pending: [Change] = []
  /// Byte ranges that cannot be read.
  var unreadable: [Range<Int>] = []

  mutating func change(_ change: Change) {
    SimulatedInode.apply(change, to: &cache)
    SimulatedInode.apply(change, to: &disk)
    pending.append(change)
  }

  mutating func sync() {
    durable = disk
    pending = []
  }

  /// A sync that fails: what was not durable is lost by parts, and the page cache goes on as if nothing had happened.
  mutating func failSync(_ random: inout SeededRandom) {
    lose(&random)
    disk = durable
  }

  /// The power fails: each unsynced sector is there or not. Changes of size and holes keep their order among themselves.
  mutating func losePower(_ random: inout SeededRandom) {
    lose(&random)
    cache = durable
    disk = durable
  }

  private mutating func lose(_ random: inout SeededRandom) {
    let sector = random.next() % 2 == 0 ? 512 : 4096
    let kept = [0, 60, 80, 95][Int(random.next() % 4)]
    var sizesKept = true
    for change in pending {
      switch change {
      case .write(let offset, let bytes):
        var start = offset
        while start < offset + bytes.count {
          let end = min(offset + bytes.count, (start / sector + 1) * sector)
          if random.next() % 100 < kept {
            SimulatedInode.apply(.write(offset: start, bytes: Array(bytes[(start - offset)..<(end - offset)])), to: &durable)
          }
          start = end
        }
      case .punch, .size:
        sizesKept = sizesKept && random.next() % 100 < kept
        if sizesKept { SimulatedInode.apply(change, to: &durable) }
      }
    }
    pending = []
  }

  private static func apply(_ change: Change, to bytes: inout [UInt8]) {
    switch change {
    case .write(let offset, let new):
      if bytes.count < offset + new.count { bytes += [UInt8](repeating: 0, count: offset + new.count - bytes.count) }
      bytes.withUnsafeMutableBytes { bytes in
        new.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: bytes[offset..<(offset + new.count)]).copyMemory(from: $0) }
      }
    case .punch(let range):
      apply(
        .write(
          offset: range.lowerBound, bytes: [UInt8](repeating: 0, count: max(0, min(range.upperBound, bytes.count) - range.lowerBound))),
        to: &bytes)
    case .size(let size):
      if size < bytes.count { bytes.removeSubrange(size...) } else { bytes += [UInt8](repeating: 0, count: size - bytes.count) }
    }
  }
}
