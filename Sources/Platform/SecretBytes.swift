internal import CLinux

/// A key or a password in memory: overwritten when the last holder lets go, and never printed.
///
/// `@unchecked Sendable`: the bytes are written in `init` and zeroed in `deinit`; in between they are only read.
package final class SecretBytes: @unchecked Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  private let storage: UnsafeMutableRawBufferPointer

  package init(_ bytes: [UInt8]) {
    storage = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    storage.copyBytes(from: bytes)
  }

  package init(_ bytes: UnsafeRawBufferPointer) {
    storage = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 16)
    storage.copyMemory(from: bytes)
  }

  /// Fresh random bytes.
  package init(randomCount count: Int) {
    storage = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
    SecureRandom.fill(storage)
  }

  deinit {
    cairn_zero(storage.baseAddress, storage.count)
    storage.deallocate()
  }

  package var count: Int { storage.count }

  /// The bytes, valid inside of `body` only.
  package func withBytes<R: ~Copyable, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
    try body(UnsafeRawBufferPointer(storage))
  }

  /// A copy that is not overwritten; for interfaces that take an array.
  package var exposed: [UInt8] { Array(storage) }

  package var description: String { "«redacted»" }
  package var debugDescription: String { "«redacted»" }
  package var customMirror: Mirror { Mirror(self, children: []) }
}
