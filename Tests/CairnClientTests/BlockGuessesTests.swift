import CairnClient
import Testing

@Suite("Looking for the blocks of a new version in an older one")
struct BlockGuessesTests {
  @Test("a block is looked for at its distance from the start and from the end, first where the last one was")
  func bothEnds() {
    var guesses = BlockGuesses(basisBytes: 1000, fileBytes: 1010, mayShift: true)
    #expect(guesses.places(of: 0, at: 500, size: 100) == [500, 490])
    #expect(guesses.places(of: 0, at: 5, size: 100) == [5])
    #expect(guesses.places(of: 0, at: 910, size: 100) == [900])
    guesses.noteHit(at: 490, of: 500, size: 100)
    #expect(guesses.places(of: 1, at: 600, size: 100) == [590, 600])
    #expect(BlockGuesses(basisBytes: 1000, fileBytes: 1010, mayShift: false).places(of: 0, at: 500, size: 100) == [500])
  }

  @Test("after some that were not found only each sixteenth is looked for, until one is found")
  func patience() {
    var guesses = BlockGuesses(basisBytes: 1 << 20, fileBytes: 1 << 20, mayShift: true)
    for _ in 0..<4 { guesses.noteMiss(wasLookedFor: true) }
    let looked = (4..<64).filter { guesses.places(of: $0, at: Int64($0 * 100), size: 100) != nil }
    #expect(looked == [16, 32, 48])
    guesses.noteMiss(wasLookedFor: false)
    #expect(guesses.misses == 5)
    guesses.noteHit(at: 1600, of: 1600, size: 100)
    #expect(guesses.places(of: 17, at: 1700, size: 100) == [1700])
  }

  @Test("what no block was found in is what is left to be searched")
  func gaps() {
    var guesses = BlockGuesses(basisBytes: 1000, fileBytes: 1000, mayShift: true)
    #expect(guesses.gaps == [0..<1000])
    guesses.noteHit(at: 700, of: 700, size: 100)
    guesses.noteHit(at: 100, of: 100, size: 100)
    guesses.noteHit(at: 200, of: 200, size: 100)
    // The same bytes may be in two places of the new version.
    guesses.noteHit(at: 200, of: 900, size: 100)
    #expect(guesses.gaps == [0..<100, 300..<700, 800..<1000])
    guesses.noteHit(at: 800, of: 800, size: 200)
    #expect(guesses.gaps == [0..<100, 300..<700])
  }
}
