/// The text of a statement as a key: programs have a few hundred, hundreds of bytes long, and each is looked up each time that it runs.
///
/// What must hold: only the end and the length go into the hash, which tells nearly all statements apart; equality is of the whole text.
package struct SQLText: Hashable, Sendable {
  package let text: String
  package init(_ text: String) { self.text = text }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(text.utf8.count)
    let isHashed: Void? = text.utf8.withContiguousStorageIfAvailable { bytes in
      hasher.combine(bytes: UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: bytes.suffix(24))))
    }
    if isHashed == nil { for byte in text.utf8.suffix(24) { hasher.combine(byte) } }
  }
}
