internal import CLinux

/// What a program may tell the processor about memory.
package enum Memory {
  /// What memory brings at a time.
  package static let cacheLineBytes = 64

  /// Has the cache line at `place` brought near, without waiting for it. A place that is not there is no error.
  package static func prefetch(_ place: UnsafeRawPointer) { cairn_prefetch(place) }

  /// Gives memory that was freed back to the system. Takes milliseconds, more for hundreds of mebibytes: for a process about to rest.
  package static func giveBack() { cairn_trim_memory() }
}
