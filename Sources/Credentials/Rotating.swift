internal import Synchronization

/// Keys that are replaced while they are in use: a rotation puts an epoch in and later takes the old one out, and nothing stops for it.
///
/// What must hold: who reads sees the keys before or after a replacement, never a mixture.
package final class Rotating<Keys: Sendable>: Sendable {
  private let keys: Mutex<Keys>

  package init(_ keys: Keys) { self.keys = Mutex(keys) }

  package var current: Keys { keys.withLock { $0 } }
  package func replace(_ new: Keys) { keys.withLock { $0 = new } }
}
