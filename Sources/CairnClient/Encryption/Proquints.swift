/// Numbers as words that people can say: 16 bits are a consonant, a vowel, a consonant, a vowel and a consonant (Wilkerson, "A Proposal for
/// Proquints: Identifiers that are Readable, Spellable, and Pronounceable", arXiv 0901.4016).
package enum Proquints {
  private static let consonants = Array("bdfghjklmnprstvz")
  private static let vowels = Array("aiou")

  /// A word for each two bytes, with hyphens between. An odd last byte has no word.
  package static func encode(_ bytes: [UInt8]) -> String {
    stride(from: 0, to: bytes.count - 1, by: 2).map { word(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1])) }.joined(separator: "-")
  }

  /// Nil for anything else than such words, in upper or lower case, with hyphens or white space between.
  package static func decode(_ text: String) -> [UInt8]? {
    var bytes: [UInt8] = []
    for word in text.lowercased().split(whereSeparator: { $0 == "-" || $0.isWhitespace }) {
      guard let number = number(of: word) else { return nil }
      bytes += [UInt8(number >> 8), UInt8(number & 0xff)]
    }
    return bytes
  }

  private static func word(_ number: UInt16) -> String {
    String([
      consonants[Int(number >> 12 & 15)], vowels[Int(number >> 10 & 3)], consonants[Int(number >> 6 & 15)], vowels[Int(number >> 4 & 3)],
      consonants[Int(number & 15)],
    ])
  }

  private static func number(of word: Substring) -> UInt16? {
    guard word.count == 5 else { return nil }
    var number: UInt16 = 0
    for (place, letter) in word.enumerated() {
      let letters = place % 2 == 0 ? consonants : vowels
      guard let value = letters.firstIndex(of: letter) else { return nil }
      number = number << (place % 2 == 0 ? 4 : 2) | UInt16(value)
    }
    return number
  }
}
