internal import Synchronization

/// A value that several tasks of a test use.
package final class Guarded<Value: Sendable>: Sendable {
  private let state: Mutex<Value>
  package init(_ value: Value) { state = Mutex(value) }
  package func withLock<T: Sendable>(_ body: (inout Value) -> T) -> T { state.withLock { body(&$0) } }
}
