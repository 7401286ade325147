import BlockModel
import ClusterLogic

/// `n-0001`: zero-padded so that names sort as numbers.
func node(_ number: Int) -> NodeID {
  let digits = String(number)
  return NodeID("n-" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits)!
}

func zone(_ number: Int) -> ZoneID { ZoneID("z-\(number)")! }

func block(partition: Int, bits: Int, tail: UInt64) -> BlockID {
  BlockID(words: (bits == 0 ? 0 : UInt64(partition) << UInt64(64 - bits), 0, 0, tail))
}

extension MonotonicTime {
  static func seconds(_ seconds: Double) -> MonotonicTime { MonotonicTime(nanoseconds: Int64((seconds * 1e9).rounded())) }
}
