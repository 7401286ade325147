import Glibc
import Platform
import Testing

@Suite struct MemoryTests {
  /// Pages of `pieces` that take memory now.
  private func residentPages(_ pieces: [UnsafeMutableRawPointer], bytes: Int) -> Int {
    let page = Int(getpagesize())
    return pieces.reduce(0) { sum, piece in
      let start = (Int(bitPattern: piece) + page - 1) / page * page
      let count = (Int(bitPattern: piece) + bytes - start) / page
      var states = [UInt8](repeating: 0, count: count)
      // What is not mapped any more takes none.
      guard mincore(UnsafeMutableRawPointer(bitPattern: start), count * page, &states) == 0 else { return sum }
      return sum + states.count { $0 & 1 == 1 }
    }
  }

  @Test("what was freed between pieces in use goes back to the system")
  func givesBack() throws {
    let bytes = 64 << 10
    let pieces = try (0..<512).map { _ in try #require(malloc(bytes)) }
    for piece in pieces { memset(piece, 1, bytes) }
    let freed = pieces.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
    let before = residentPages(freed, bytes: bytes)
    #expect(before > 256 * 14)
    for piece in freed { free(piece) }
    Memory.giveBack()
    // Others in this process may have got some of it by now.
    #expect(residentPages(freed, bytes: bytes) < before / 4)
    for (index, piece) in pieces.enumerated() where index % 2 == 1 { free(piece) }
  }
}
