import BlockModel
import Testing

@Suite("Identifiers")
struct IdentifierTests {
  private let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

  @Test("a block id reads back from hexadecimal, bytes and memory")
  func roundTrip() throws {
    let id = try #require(BlockID(hex: hex))
    #expect(id.hex == hex)
    #expect(BlockID(bytes: id.bytes) == id)
    #expect(id.bytes.withUnsafeBytes { BlockID(loading: $0) } == id)
  }

  @Test("a block id has one spelling")
  func oneSpelling() {
    #expect(BlockID(hex: hex.uppercased()) == nil)
    #expect(BlockID(hex: String(hex.dropLast())) == nil)
    #expect(BlockID(hex: hex + "00") == nil)
    #expect(BlockID(hex: String(hex.dropLast()) + "g") == nil)
    #expect(BlockID(hex: "") == nil)
  }

  @Test("ids compare in the order of their bytes, so a partition is a range")
  func order() throws {
    var random = SeededRandom(seed: 7)
    let ids = (0..<500).map { _ in BlockID(words: (random.next(), random.next(), random.next(), random.next())) }.sorted()
    #expect(zip(ids, ids.dropFirst()).allSatisfy { $0.bytes.lexicographicallyPrecedes($1.bytes) })
    let partitions = ids.map { $0.partition(bits: 5) }
    #expect(partitions == partitions.sorted())
    #expect(partitions.allSatisfy { (0..<32).contains($0) })
  }

  @Test("the partition is the first bits")
  func partition() throws {
    let id = try #require(BlockID(hex: hex))
    #expect(id.partition(bits: 0) == 0)
    #expect(id.partition(bits: 8) == 0xba)
    #expect(id.partition(bits: 12) == 0xba7)
    #expect(id.partition(bits: 32) == 0xba78_16bf)
  }

  @Test("a random identifier reads back from its 32 digits")
  func identifiers() {
    let id = UploadID.random()
    #expect(UploadID(hex: id.hex) == id)
    #expect(UploadID(hex: id.hex.dropLast() + "x") == nil)
    #expect(id != UploadID.random())
  }

  @Test(
    "files' times keep their nanoseconds in text",
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000000001Z"), (-1, "1969-12-31T23:59:59.999999999Z"),
      (1_795_248_000_123_456_789, "2026-11-21T08:00:00.123456789Z"), (1_000, "1970-01-01T00:00:00.000001Z"),
    ])
  func fileTimes(nanoseconds: Int64, text: String) throws {
    #expect(FileTime(nanoseconds: nanoseconds).rfc3339 == text)
    #expect(FileTime(rfc3339: text)?.nanoseconds == nanoseconds)
  }

  @Test("the ends of what a file's time can say do not trap")
  func fileTimeEnds() {
    for nanoseconds in [Int64.min, Int64.max, Int64.min + 999, Int64.max - 999] {
      #expect(!FileTime(nanoseconds: nanoseconds).rfc3339.isEmpty)
    }
  }
}
