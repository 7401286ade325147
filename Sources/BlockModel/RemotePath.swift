internal import Foundation

/// A name of one entry in a folder: NFC, 1 to 255 UTF-8 bytes, no `/`, NUL or control characters, and neither `.` nor `..`.
package struct EntryName: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// In NFC: two spellings of one name are one name.
  package let text: String

  package struct Invalid: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String
  }

  package init(_ raw: String) throws(Invalid) {
    let text = raw.utf8.allSatisfy { $0 < 0x80 } ? raw : raw.precomposedStringWithCanonicalMapping
    guard !text.isEmpty else { throw Invalid(description: "a name may not be empty") }
    guard text.utf8.count <= Limits.nameBytes else { throw Invalid(description: "a name may have at most 255 bytes") }
    guard text != ".", text != ".." else { throw Invalid(description: "`.` and `..` are not names") }
    for scalar in text.unicodeScalars {
      guard scalar != "/" else { throw Invalid(description: "a name may not contain `/`") }
      guard scalar.value >= 0x20, !(0x7f...0x9f).contains(scalar.value) else {
        throw Invalid(description: "a name may not contain control characters")
      }
    }
    self.text = text
  }

  package var description: String { text }

  /// By NFC bytes, the order of listings.
  package static func < (a: EntryName, b: EntryName) -> Bool { a.text.utf8.lexicographicallyPrecedes(b.text.utf8) }
  package static func == (a: EntryName, b: EntryName) -> Bool { a.text.utf8.elementsEqual(b.text.utf8) }
  package func hash(into hasher: inout Hasher) { hasher.combine(bytes: Array(text.utf8)) }
}

extension Hasher {
  fileprivate mutating func combine(bytes: [UInt8]) {
    bytes.withUnsafeBytes { combine(bytes: $0) }
  }
}

/// An absolute path in a user's tree. Nothing is normalised: relative paths and `.`, `..` or empty components are refused.
package struct RemotePath: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let components: [EntryName]

  package typealias Invalid = EntryName.Invalid

  package static let root = RemotePath(components: [])

  package init(components: [EntryName]) { self.components = components }

  /// `/` is the root; `/a/b` names an entry; a trailing slash, as any empty component, is refused.
  package init(_ text: String) throws(Invalid) {
    guard text.utf8.first == UInt8(ascii: "/") else { throw Invalid(description: "a path begins with `/`") }
    guard text.utf8.count <= Limits.pathBytes else { throw Invalid(description: "a path may have at most 4096 bytes") }
    if text == "/" {
      components = []
      return
    }
    var names: [EntryName] = []
    for part in text.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      guard names.count < Limits.pathDepth else { throw Invalid(description: "a path may have at most 64 components") }
      names.append(try EntryName(String(part)))
    }
    components = names
  }

  package var text: String { components.isEmpty ? "/" : components.map { "/" + $0.text }.joined() }
  package var description: String { text }
  package var name: EntryName? { components.last }
  package var parent: RemotePath? { components.isEmpty ? nil : RemotePath(components: Array(components.dropLast())) }
  package func appending(_ name: EntryName) -> RemotePath { RemotePath(components: components + [name]) }
  package func isInside(_ folder: RemotePath) -> Bool { components.starts(with: folder.components) }

  package static func < (a: RemotePath, b: RemotePath) -> Bool { a.components.lexicographicallyPrecedes(b.components) }
}
