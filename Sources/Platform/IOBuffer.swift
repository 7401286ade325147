internal import Glibc

/// A fixed, page-aligned piece of memory that blocks travel in: filled by the network, hashed, sealed, written, and sent from.
///
/// What must hold: the memory lives exactly as long as the buffer, and whoever holds the buffer has agreed with the other
/// holders which ranges each may touch. One side writes ever higher offsets and publishes how far it got through a
/// synchronised count; the other sides read only below that count.
///
/// `@unchecked Sendable`: `base` and `capacity` never change after `init`; exclusive access to ranges is the holders' contract above.
package final class IOBuffer: @unchecked Sendable {
  /// The first byte; aligned to 4 KiB, so that direct I/O accepts it.
  package let base: UnsafeMutableRawPointer
  /// Bytes that may be touched from `base` on.
  package let capacity: Int
  /// Runs once, when the last holder lets go; gives the memory back to its pool.
  private let onRelease: (@Sendable (UnsafeMutableRawPointer) -> Void)?

  /// Allocates a buffer that belongs to no pool. `capacity` is in bytes and above zero.
  package convenience init(capacity: Int) {
    self.init(base: IOBuffer.allocate(capacity: capacity), capacity: capacity, onRelease: nil)
  }

  init(base: UnsafeMutableRawPointer, capacity: Int, onRelease: (@Sendable (UnsafeMutableRawPointer) -> Void)?) {
    self.base = base
    self.capacity = capacity
    self.onRelease = onRelease
  }

  /// A smaller buffer is worth no call of the system.
  private static let smallestMapping = 64 << 10
  /// What the system maps with one entry and keeps in one piece; where its huge pages are of another size, it uses none here.
  private static let hugePage = 2 << 20

  /// Large ones are mappings of their own: `malloc` keeps what it takes back, leaves a hole on either side of what is to be aligned, and
  /// gives a buffer where smaller pieces were, whose pages are then taken though nobody has written so far.
  ///
  /// Those of a huge page and more lie in such: a disk takes so many pieces of memory in a request (254 on Linux's virtio), so that a block
  /// in pages of 4 KiB is some six requests and one in huge pages is one.
  static func allocate(capacity: Int) -> UnsafeMutableRawPointer {
    precondition(capacity > 0, "a buffer holds at least one byte")
    guard capacity >= smallestMapping else { return UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 4096) }
    guard capacity >= hugePage else { return map(capacity) }
    let (room, length) = (map(capacity + hugePage), capacity.roundedUp(to: 4096))
    let base = room.alignedUp(toMultipleOf: hugePage)
    let (before, after) = (base - room, room + (capacity + hugePage).roundedUp(to: 4096) - (base + length))
    if before > 0 { munmap(room, before) }
    if after > 0 { munmap(base + length, after) }
    // Where the system has no huge pages, or none to give, it refuses or goes on with small ones.
    madvise(base, length, MADV_HUGEPAGE)
    return base
  }

  private static func map(_ bytes: Int) -> UnsafeMutableRawPointer {
    guard let base = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), base != MAP_FAILED else {
      preconditionFailure("no memory for a buffer of \(bytes) bytes")
    }
    return base
  }

  /// - Parameter capacity: that it was allocated with.
  static func deallocate(_ base: UnsafeMutableRawPointer, capacity: Int) {
    if capacity >= smallestMapping { munmap(base, capacity) } else { base.deallocate() }
  }

  /// The bytes of `range`, for reading.
  package func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "range outside the buffer")
    return UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count)
  }

  /// The bytes of `range`, for writing.
  package func mutableBytes(_ range: Range<Int>) -> UnsafeMutableRawBufferPointer {
    precondition(range.lowerBound >= 0 && range.upperBound <= capacity, "range outside the buffer")
    return UnsafeMutableRawBufferPointer(start: base + range.lowerBound, count: range.count)
  }

  deinit {
    if let onRelease { onRelease(base) } else { IOBuffer.deallocate(base, capacity: capacity) }
  }
}
