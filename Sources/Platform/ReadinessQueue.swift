internal import CLinux
internal import Glibc

/// Waits until descriptors are readable or writable (epoll, level-triggered), or until another thread wakes it. What a wait costs grows
/// with what is ready, not with what is watched.
///
/// What must hold: one thread watches and waits; `wake` is anybody's.
package final class ReadinessQueue: Sendable {
  /// What a descriptor is watched for, or ready for.
  package struct Events: OptionSet, Sendable {
    package var rawValue: Int32
    package init(rawValue: Int32) { self.rawValue = rawValue }
    package static let readable = Events(rawValue: cairn_epoll_readable)
    package static let writable = Events(rawValue: cairn_epoll_writable)
    /// Told without being asked for.
    package static let broken = Events(rawValue: cairn_epoll_broken)
  }

  private static let atOnce = 64
  private let epoll: Int32
  private let event: Int32

  package init() {
    epoll = cairn_epoll_create()
    event = cairn_event_create()
    precondition(epoll >= 0 && event >= 0, "no descriptors are left; raise the limit of open files")
    cairn_epoll_watch(epoll, event, cairn_epoll_readable)
  }

  deinit {
    close(event)
    close(epoll)
  }

  /// Watches a descriptor for these events from now on; for none ends it. One that was closed is forgotten by itself.
  package func watch(_ descriptor: Int32, for events: Events) { cairn_epoll_watch(epoll, descriptor, events.rawValue) }

  /// Waits for anything to be ready, for `wake`, or for so long, and hands over what is ready. Blocks.
  package func wait(milliseconds: Int32, _ body: (_ descriptor: Int32, _ events: Events) -> Void) {
    withUnsafeTemporaryAllocation(of: cairn_epoll_ready.self, capacity: ReadinessQueue.atOnce) { ready in
      let count = cairn_epoll_wait(epoll, ready.baseAddress, Int32(ready.count), milliseconds)
      // Less than none: a signal came.
      for one in ready.prefix(Int(max(0, count))) {
        if one.descriptor == event { drain() } else { body(one.descriptor, Events(rawValue: one.events)) }
      }
    }
  }

  /// Ends the wait under way, or the next one.
  package func wake() {
    var one: UInt64 = 1
    _ = write(event, &one, 8)
  }

  private func drain() {
    var count: UInt64 = 0
    _ = read(event, &count, 8)
  }
}
