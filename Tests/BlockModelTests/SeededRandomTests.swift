internal import BlockModel
internal import Testing

@Suite("Seeded random numbers")
struct SeededRandomTests {
  /// The first numbers of the authors' splitmix64.c from the state 1234567, as other implementations publish them.
  @Test("SplitMix64 gives the published sequence")
  func splitMix() {
    var mixer = SplitMix64(state: 1_234_567)
    #expect(mixer.next() == 6_457_827_717_110_365_317)
    #expect(mixer.next() == 3_203_168_211_198_807_973)
    #expect(mixer.next() == 9_817_491_932_198_370_423)
    #expect(mixer.next() == 4_593_380_528_125_082_431)
    #expect(mixer.next() == 16_408_922_859_458_223_821)
  }

  @Test("the sequence of a seed never changes, because printed seeds have to repeat failures")
  func pinned() {
    var random = SeededRandom(seed: 42)
    #expect((0..<4).map { _ in random.next() } == SeededRandomTests.sequenceOf42)
  }

  /// xoshiro256** after SplitMix64 from 42, computed once by this code and by an independent one in another language.
  private static let sequenceOf42: [UInt64] = [
    0x1578_0b2e_0c2e_c716, 0x6104_d986_6d11_3a7e, 0xae17_5332_39e4_99a1, 0xecb8_ad47_03b3_60a1,
  ]

  @Test("equal seeds give equal sequences, other seeds and forks others")
  func seeds() {
    var (a, b, c) = (SeededRandom(seed: 1), SeededRandom(seed: 1), SeededRandom(seed: 2))
    let first = (0..<20).map { _ in a.next() }
    #expect(first == (0..<20).map { _ in b.next() })
    #expect(first != (0..<20).map { _ in c.next() })
    var fork = b.fork()
    #expect((0..<20).map { _ in fork.next() } != (0..<20).map { _ in b.next() })
  }
}
