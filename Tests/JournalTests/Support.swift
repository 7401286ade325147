import BlockModel
import ClusterLogic
import Journal
import Platform
import TestSupport
import Testing

extension JournalTerm {
  static func test(_ generation: UInt64, attempt: UInt32 = 0, writer: UInt64 = 7) -> JournalTerm {
    JournalTerm(generation: generation, attempt: attempt, writer: writer)
  }
}

extension BlockID {
  static let zero = BlockID(words: (0, 0, 0, 0))
}

/// Records that follow on each other.
struct Chain {
  var term: JournalTerm
  var newest: BlockID = .zero
  var sequence: UInt64 = 0

  init(_ term: JournalTerm) { self.term = term }

  mutating func next(_ payload: [UInt8] = [1, 2, 3]) -> JournalRecord {
    let record = JournalRecord(term: term, sequence: sequence + 1, previous: newest, payload: payload)
    newest = record.hash
    sequence += 1
    return record
  }

  mutating func next(_ count: Int) -> [JournalRecord] { (0..<count).map { _ in next() } }
}

extension JournalStore {
  /// Every record in its files, as a reader finds them: each file up to where it is no record any more.
  func records() throws -> [JournalRecord] {
    var found: [JournalRecord] = []
    for file in status().files ?? [] where !file.isSnapshot {
      var bytes: [UInt8] = []
      while true {
        let part = try read(file.name, offset: Int64(bytes.count), limit: 1 << 20)
        if part.isEmpty { break }
        bytes += part
      }
      found += JournalStore.records(in: bytes)
    }
    return found
  }
}

/// As `#expect`, for calls that change what they are asked of.
func check(_ value: Bool, _ comment: Comment? = nil, sourceLocation: SourceLocation = #_sourceLocation) {
  #expect(value, comment, sourceLocation: sourceLocation)
}
