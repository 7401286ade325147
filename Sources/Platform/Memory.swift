internal import CLinux

/// What a program may tell the processor about memory.
package enum Memory {
  /// What memory brings at a time.
  package static let cacheLineBytes = 64

  /// Has the cache line at `place` brought near, without waiting for it. A place that is not there is no error.
  package static func prefetch(_ place: UnsafeRawPointer) { cairn_prefetch(place) }

  /// Bytes that an arena of `malloc` may keep at its end, and from which on a piece is a mapping of its own: more than what comes and goes
  /// with a request, less than anybody would miss.
  private static let freeBytesAnArena = 1 << 20

  /// Has large pieces go back to the system when they are freed, from now on. Left alone, `malloc` keeps more for each thread the larger
  /// the largest piece was, up to 64 MiB, and `giveBack` does not reach it. For the beginning of a program.
  package static func boundFree() { cairn_bound_free_memory(freeBytesAnArena) }

  /// Gives memory that was freed back to the system. Takes milliseconds, more for hundreds of mebibytes: for a process about to rest.
  package static func giveBack() { cairn_trim_memory() }

  /// Does that each `interval` from now on, on a thread of its own, as long as the process lives: for one that runs for months. What is
  /// freed between pieces that are in use stays with the process otherwise, and after a while that is more than what it uses.
  package static func keepGivingBack(each interval: Duration) {
    _ = WorkerThread.start(name: "memory", priority: .background) {
      while true {
        WorkerThread.sleep(for: interval)
        giveBack()
      }
    }
  }
}
