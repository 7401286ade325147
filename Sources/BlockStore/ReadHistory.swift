package import BlockModel
internal import Synchronization

/// Which large blocks were read lately, so that only what is read again gets a place in the page cache.
///
/// A download reads each of its blocks once. Through the page cache that pushes out what is read often, and getting as many fresh pages
/// costs the processor more than opening the record. That a block is let in when it is asked for a second time is the rule of 2Q (Johnson
/// and Shasha, VLDB 1994). Its queue of names is a table here, in which a block takes the place of another one that was read before: its
/// size says how long “lately” is, and nothing ages by the clock.
package final class ReadHistory: Sendable {
  private let tags: Mutex<[UInt32]>

  /// - Parameter places: blocks at most, a power of two; 64 KiB of memory remember 64 GiB of the largest blocks.
  package init(places: Int = 16_384) {
    precondition(places > 0 && places & (places - 1) == 0, "a place is found by masking")
    tags = Mutex(Array(repeating: 0, count: places))
  }

  /// Notes that the block is read now.
  /// - Returns: whether it was lately. One in some two billion others passes for it.
  package func note(_ block: BlockID) -> Bool {
    // The first bits of the hash are alike in a node's blocks: they say which partition a block is of.
    let word = block.words.3
    // No tag is 0, which is a place that was never taken.
    let tag = UInt32(truncatingIfNeeded: word >> 32) | 1
    return tags.withLock { tags in
      let place = Int(truncatingIfNeeded: word) & (tags.count - 1)
      defer { tags[place] = tag }
      return tags[place] == tag
    }
  }
}
