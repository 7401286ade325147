import BlockModel
import CairnClient
import Platform
import TestSupport
import Testing

@Suite("What is sealed for an encrypted folder")
struct SealingTests {
  private let cipher = FolderCipher(key: SecretBytes([UInt8](repeating: 7, count: 32)))
  private let other = FolderCipher(key: SecretBytes([UInt8](repeating: 8, count: 32)))

  @Test("proquints are those of the proposal, both ways")
  func proquints() {
    // 127.0.0.1, 63.84.220.193 and 140.98.193.141 of arXiv 0901.4016.
    for (bytes, words) in [
      ([127, 0, 0, 1], "lusab-babad"), ([63, 84, 220, 193], "gutih-tugad"), ([140, 98, 193, 141], "mudof-sakat"),
    ] as [([UInt8], String)] {
      #expect(Proquints.encode(bytes) == words)
      #expect(Proquints.decode(words.uppercased().split(separator: "-").joined(separator: " ")) == bytes)
    }
    for wrong in ["lusa", "lusabb", "lusac", "eusab", "lüsab"] { #expect(Proquints.decode(wrong) == nil, "\(wrong)") }
    #expect(Proquints.decode("") == [])
  }

  @Test("a phrase comes back from its words, and any word that is changed, left out or exchanged with another is noticed")
  func phrases() throws {
    var random = Seeds.random()
    let phrase = RecoveryPhrase()
    let words = phrase.text.split(separator: "-").map(String.init)
    #expect(words.count == 9)
    #expect(try RecoveryPhrase("  " + words.joined(separator: " ").uppercased() + "\t").wrappingKey == phrase.wrappingKey)
    #expect(RecoveryPhrase().text != phrase.text)
    var noticed = 0
    for _ in 0..<200 {
      var changed = words
      changed[Int.random(in: 0..<9, using: &random)] = Proquints.encode(random.bytes(2))
      if changed == words { continue }
      if (try? RecoveryPhrase(changed.joined(separator: "-"))) == nil { noticed += 1 }
    }
    // Each slips through once in 65,536.
    #expect(noticed >= 198)
    #expect(throws: CairnError.self) { try RecoveryPhrase(words.dropLast().joined(separator: " ")) }
    #expect(throws: CairnError.self) { try RecoveryPhrase("correct horse battery staple") }
  }

  @Test("a private key opens under its phrase and no other, and only beside its public key")
  func privateKeys() throws {
    let keys = try UserKeys.generate()
    let phrase = RecoveryPhrase()
    let wrapped = try keys.wrappedPrivateKey(under: phrase)
    #expect(wrapped.count == SealedForm.wrappedPrivateKeyBytes)
    #expect(UserKeys.open(wrapped, under: phrase, publicKey: keys.publicKey)?.privateKey.exposed == keys.privateKey.exposed)
    #expect(UserKeys.open(wrapped, under: RecoveryPhrase(), publicKey: keys.publicKey) == nil)
    #expect(UserKeys.open(wrapped, under: phrase, publicKey: try UserKeys.generate().publicKey) == nil)
    #expect(UserKeys.fingerprint(of: keys.publicKey).split(separator: "-").count == 8)
  }

  @Test("a folder's key opens for its recipient alone, says who wrapped it, and nobody else can say so")
  func folderKeys() throws {
    var random = Seeds.random()
    let (ada, bob, eve) = (try UserKeys.generate(), try UserKeys.generate(), try UserKeys.generate())
    let key = SecretBytes(randomCount: 32)
    let wrapped = try WrappedFolderKey.wrap(key, to: bob.publicKey, from: ada)
    #expect(wrapped.count == SealedForm.wrappedFolderKeyBytes)
    let opened = try #require(WrappedFolderKey.unwrap(wrapped, with: bob))
    #expect(opened.key.exposed == key.exposed && opened.sender == ada.publicKey)
    #expect(WrappedFolderKey.unwrap(wrapped, with: eve) == nil && WrappedFolderKey.unwrap(wrapped, with: ada) == nil)
    // Eve knows both public keys and everything of her own: what she makes does not pass for Ada's.
    var forged = try WrappedFolderKey.wrap(SecretBytes(randomCount: 32), to: bob.publicKey, from: eve)
    forged.replaceSubrange(1...32, with: ada.publicKey)
    #expect(WrappedFolderKey.unwrap(forged, with: bob) == nil)
    for _ in 0..<50 {
      var changed = wrapped
      changed[Int.random(in: 0..<changed.count, using: &random)] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      #expect(WrappedFolderKey.unwrap(changed, with: bob) == nil)
    }
    #expect(WrappedFolderKey.unwrap(Array(wrapped.dropLast()), with: bob) == nil)
  }

  @Test("a name is sealed into a name, the same each time, and opens with its own key only", arguments: ["a", "plan.txt", "naïve ☃", "…"])
  func names(text: String) throws {
    let name = try EntryName(text)
    let sealed = try cipher.sealed(name)
    #expect(try cipher.sealed(name) == sealed)
    #expect(cipher.opened(sealed) == name)
    #expect(other.opened(sealed) == nil && cipher.opened(name) == nil)
    #expect(sealed.text.utf8.allSatisfy { $0 < 0x80 } && (text.count < 4 || !sealed.text.contains(text)))
    #expect(cipher.opened(target: sealed.text) == nil, "each kind of thing has a key of its own")
  }

  @Test("the longest name that is sealed has the longest sealed form, and one byte more is refused with what to do")
  func nameLimit() throws {
    let longest = try EntryName(String(repeating: "x", count: SealedForm.nameBytes))
    #expect(SealedForm.nameBytes == 175)
    #expect(try cipher.sealed(longest).text.utf8.count == Limits.nameBytes)
    #expect(cipher.opened(try cipher.sealed(longest)) == longest)
    let error = #expect(throws: CairnError.self) { try cipher.sealed(EntryName(longest.text + "x")) }
    #expect(error?.kind == .invalidArgument && error?.message.contains("175") == true)
    let target = String(repeating: "t", count: SealedForm.targetBytes)
    #expect(try cipher.sealed(target: target).utf8.count <= Limits.pathBytes)
    #expect(cipher.opened(target: try cipher.sealed(target: target)) == target)
    #expect(throws: CairnError.self) { try cipher.sealed(target: target + "t") }
  }

  @Test("what somebody with the key sealed and is no name does not open", arguments: ["..", "a/b", "a\u{0}", "e\u{301}"])
  func hostileNames(text: String) throws {
    // As a client would that checks nothing: sealed as a target, under the names' key.
    let key = SecretBytes([UInt8](repeating: 7, count: 32))
    let names = SecretBytes(HKDFSHA256.derive(secret: key.exposed, salt: [], info: "cairn folder 1 names", count: 64))
    let sealed = Base64URL.encode(try AESSIV.seal(Array(text.utf8), key: names, associatedData: []))
    #expect(cipher.opened(try EntryName(sealed)) == nil)
    let harmless = Base64URL.encode(try AESSIV.seal(Array("ab".utf8), key: names, associatedData: []))
    #expect(cipher.opened(try EntryName(harmless))?.text == "ab", "the derivation is the documented one")
  }

  @Test("a block is sealed in place into 16 bytes more, the same each time; any changed bit is found")
  func blocks() throws {
    var random = Seeds.random()
    for size in [1, 15, 16, 17, 4096, SealedForm.pieceBytes] {
      let plain = random.bytes(size)
      let buffer = IOBuffer(capacity: Limits.blockBytes)
      buffer.mutableBytes(16..<(16 + size)).copyBytes(from: plain)
      let block = try cipher.seal(size, in: buffer)
      #expect(block == 0..<(size + 16))
      let sealed = Array(buffer.bytes(block))
      #expect(size < 16 || Array(sealed[16...]) != plain)
      #expect(try cipher.opened(block: sealed) == plain)
      #expect(Array(buffer.bytes(try cipher.open(block, in: buffer))) == plain)
      var changed = sealed
      changed[Int.random(in: 0..<changed.count, using: &random)] ^= 1
      #expect(throws: CairnError.self) { try cipher.opened(block: changed) }
      #expect(throws: CairnError.self) { try other.opened(block: sealed) }
    }
  }

  @Test("an envelope opens for its own content hash, with its own key, and for nothing else")
  func envelopes() throws {
    let hash = { (byte: UInt8) in HexDigits.encode([UInt8](repeating: byte, count: 32)) }
    let content = FolderCipher.Content(size: 0x1234_5678_9abc, contentHash: hash(1))
    let envelope = try cipher.envelope(content, of: hash(2))
    #expect(Base64URL.decode(envelope)?.count == SealedForm.envelopeBytes)
    #expect(cipher.opened(envelope: envelope, of: hash(2)) == content)
    #expect(cipher.opened(envelope: envelope, of: hash(3)) == nil, "blocks put together otherwise have another hash")
    #expect(other.opened(envelope: envelope, of: hash(2)) == nil)
    #expect(cipher.opened(envelope: String(envelope.dropLast(4)), of: hash(2)) == nil)
  }
}
