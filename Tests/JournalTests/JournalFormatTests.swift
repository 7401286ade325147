import BlockModel
import ClusterLogic
import Journal
import Platform
import TestSupport
import Testing

@Suite("The journal's formats")
struct JournalFormatTests {
  private static let requests: [JournalRequest] = {
    var chain = Chain(.test(3, attempt: 2))
    let position = JournalPosition(term: .test(1), sequence: 77, hash: BlockID(words: (1, 2, 3, 4)))
    return [
      .status, .view, .promise(.test(9)), .append(.test(3, attempt: 2), chain.next(4)), .append(.test(4), []),
      .snapshot(.test(4), position, offset: 1 << 40, bytes: [1, 2, 3], isLast: true), .cut(.test(4), through: 12),
      .read(file: "records-1-2", offset: 5, limit: 100),
    ]
  }()

  @Test("a message reads back as what was written", arguments: requests)
  func roundTrip(request: JournalRequest) throws {
    #expect(try JournalRequest(request.encoded) == request)
  }

  @Test("a message that was cut off anywhere is refused", arguments: requests)
  func truncated(request: JournalRequest) {
    let bytes = request.encoded
    for count in 0..<bytes.count { #expect(throws: JournalError.self) { try JournalRequest(Array(bytes[..<count])) } }
    #expect(throws: JournalError.self) { try JournalRequest(bytes + [0]) }
  }

  @Test("any changed bit of a record is noticed")
  func damagedRecord() throws {
    var chain = Chain(.test(1))
    let bytes = chain.next([1, 2, 3]).encoded
    for position in bytes.indices {
      for bit in 0..<8 {
        var damaged = bytes
        damaged[position] ^= 1 << UInt8(bit)
        var reader = JournalReader(damaged)
        // Four bytes of the head are kept for later and read as nothing.
        guard !(68..<72).contains(position) else { continue }
        #expect(throws: JournalError.self) { try JournalRecord(&reader) }
      }
    }
  }

  @Test("random bytes are no message, and never trap")
  func fuzz() {
    var random = Seeds.random()
    for _ in 0..<5000 {
      var bytes = JournalFormatTests.requests[Int.random(in: 0..<JournalFormatTests.requests.count, using: &random)].encoded
      for _ in 0...Int.random(in: 0...3, using: &random) {
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
      }
      _ = try? JournalRequest(bytes)
    }
  }

  @Test("numbers of every size read back", arguments: [0, 1, 127, 128, 300, 1 << 35, UInt64.max])
  func variableNumbers(value: UInt64) throws {
    var bytes = JournalBytes()
    bytes.variable(value)
    var reader = JournalReader(bytes.bytes)
    #expect(try reader.variable() == value)
  }

  @Test("what is sealed opens under its name and the cluster's secret only, and tells nothing", arguments: [0, 1, 5000])
  func sealing(count: Int) throws {
    let key = SecretBytes(randomCount: 32)
    let cipher = JournalCipher(keys: [(1, key)])
    let plain = [UInt8](repeating: 65, count: count)
    let sealed = try cipher.seal(plain, as: [1])
    #expect(try JournalCipher(keys: [(1, key), (2, SecretBytes(randomCount: 32))]).open(sealed, as: [1]) == plain)
    #expect(throws: JournalError.self) { try cipher.open(sealed, as: [2]) }
    #expect(throws: JournalError.self) { try JournalCipher(keys: [(1, SecretBytes(randomCount: 32))]).open(sealed, as: [1]) }
    #expect(throws: JournalError.self) { try JournalCipher(keys: [(2, key)]).open(sealed, as: [1]) }
    for position in sealed.indices.shuffled().prefix(200) {
      var damaged = sealed
      damaged[position] ^= 0x10
      #expect(throws: JournalError.self) { try cipher.open(damaged, as: [1]) }
    }
    for length in 0..<min(sealed.count, 60) { #expect(throws: JournalError.self) { try cipher.open(Array(sealed[..<length]), as: [1]) } }
    #expect(count < 100 || !sealed.contains(Array("AAAAAAAA".utf8)))
    #expect(try cipher.seal(plain, as: [1]) != sealed, "no two pieces are sealed alike")
  }
}
