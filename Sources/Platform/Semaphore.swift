internal import Glibc

/// A counting semaphore that blocks threads: for our own threads only, never on Swift's cooperative pool.
///
/// `@unchecked Sendable`: the system's semaphore lives at a fixed address from `init` to `deinit` and is made for use by many threads.
package final class Semaphore: @unchecked Sendable {
  private let handle: UnsafeMutablePointer<sem_t>

  package init(value: UInt32 = 0) {
    handle = .allocate(capacity: 1)
    handle.initialize(to: sem_t())
    let made = sem_init(handle, 0, value)
    precondition(made == 0, "a semaphore starts with a small value")
  }

  deinit {
    sem_destroy(handle)
    handle.deallocate()
  }

  package func signal() { sem_post(handle) }

  package func wait() {
    while sem_wait(handle) != 0 {}
  }
}
