internal import BlockModel

/// What a file holds, by its content hash, or where a link leads. Nothing for a folder.
///
/// A hash takes 32 bytes in place, where its text would take three times that of the heap.
package struct SyncContent: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
  private enum Form: Hashable {
    case hash(BlockID)
    case text(String)
  }

  private let form: Form

  /// - Parameter text: a hash in 64 lower-case digits, a link's target, or empty.
  package init(_ text: String) { form = BlockID(hex: text).map { .hash($0) } ?? .text(text) }
  package init(stringLiteral text: String) { self.init(text) }

  /// As it was given.
  package var text: String {
    switch form {
    case .hash(let id): id.hex
    case .text(let text): text
    }
  }

  package var description: String { text }
}
