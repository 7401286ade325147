/// A node's decisions about handing partitions on: which writes it refuses, when a seal holds, when copies may be given up. A value; the
/// node keeps `layoutVersion` and the seals durably before it acts on them.
///
/// What must hold:
/// - once a partition is sealed, no write of an older layout is let in; the seal is answered only when none is under way any more;
/// - copies are given up only of a sealed partition, under the newest layout that any command spoke of, and only while no write of the
///   partition has ended since the node listed them and none is under way: what is acknowledged after the list stays;
/// - seals and the newest layout only grow.
package struct SealLedger: Sendable {
  package enum Refusal: Error, Sendable, Equatable {
    /// The partition is sealed against layouts before this one.
    case sealed(against: UInt64)
    /// A command of this newer layout was heard.
    case newerLayout(UInt64)
    case notSealed
    /// A write of the partition has ended since the mark, or is under way.
    case written
    /// Copies of the partition are being given up just now.
    case retiring
  }

  /// The newest layout that a command was signed under.
  package private(set) var layoutVersion: UInt64
  /// Every partition is sealed against layouts before this one.
  package let allBelow: UInt64
  /// Looked up by partition; `rows` is the sorted form.
  private var seals: [Int: UInt64]
  /// Layout versions of the writes under way. Looked up by partition only.
  private var writing: [Int: [UInt64]] = [:]
  /// The retirements under way.
  private var retiring: [(partition: Int, layoutVersion: UInt64)] = []
  /// The mark before the first write, and the newest one.
  private let firstMark: UInt64
  private var lastMark: UInt64
  /// The mark of the last write that ended, by partition. Looked up only.
  private var marks: [Int: UInt64] = [:]

  /// - Parameters:
  ///   - rows: partitions and the oldest layouts that may write to them.
  ///   - firstMark: of this life of the process: no mark of another life may count in this one.
  package init(layoutVersion: UInt64, allBelow: UInt64, rows: [(partition: Int, version: UInt64)], firstMark: UInt64 = 0) {
    self.firstMark = firstMark
    lastMark = firstMark
    self.layoutVersion = layoutVersion
    self.allBelow = allBelow
    seals = Dictionary(rows.map { ($0.partition, $0.version) }) { max($0, $1) }
  }

  /// What has to be kept, sorted by partition.
  package var rows: [(partition: Int, version: UInt64)] {
    seals.keys.sorted().map { ($0, seals[$0] ?? 0) }
  }

  /// The oldest layout that may write to the partition.
  package func seal(of partition: Int) -> UInt64 { max(allBelow, seals[partition] ?? 0) }

  // MARK: Writes

  package mutating func enter(_ partition: Int, layoutVersion: UInt64) throws(Refusal) {
    let seal = seal(of: partition)
    guard layoutVersion >= seal else { throw .sealed(against: seal) }
    guard !retiring.contains(where: { $0.partition == partition }) else { throw .retiring }
    writing[partition, default: []].append(layoutVersion)
  }

  package mutating func leave(_ partition: Int, layoutVersion: UInt64) {
    guard var list = writing[partition], let index = list.firstIndex(of: layoutVersion) else {
      preconditionFailure("a write that ends has begun")
    }
    list.remove(at: index)
    writing[partition] = list.isEmpty ? nil : list
    lastMark += 1
    marks[partition] = lastMark
  }

  /// Changes with each write of the partition that ends; whoever lists what is here takes it along for `beginRetiring`.
  package func mark(of partition: Int) -> UInt64 { marks[partition] ?? firstMark }

  // MARK: Seals

  /// Answers whether there is something new to be kept.
  package mutating func seal(_ partitions: [Int], layoutVersion: UInt64) -> Bool {
    var isNew = false
    for partition in partitions where seal(of: partition) < layoutVersion {
      seals[partition] = layoutVersion
      isNew = true
    }
    return isNew
  }

  /// Whether no write of an older layout is under way in any of these.
  package func isQuiet(_ partitions: [Int], before layoutVersion: UInt64) -> Bool {
    !partitions.contains { partition in writing[partition]?.contains { $0 < layoutVersion } ?? false }
  }

  // MARK: Commands

  /// A command of this layout was heard. Answers whether that is new and to be kept.
  package mutating func observe(layoutVersion: UInt64) -> Bool {
    guard layoutVersion > self.layoutVersion else { return false }
    self.layoutVersion = layoutVersion
    return true
  }

  /// Whether every retirement under an older layout has ended: until then a command of this layout waits.
  package func hasRetired(before layoutVersion: UInt64) -> Bool { !retiring.contains { $0.layoutVersion < layoutVersion } }

  /// - Parameter mark: the partition's, from when what goes now was listed.
  package mutating func beginRetiring(_ partition: Int, layoutVersion: UInt64, mark: UInt64) throws(Refusal) {
    guard self.layoutVersion <= layoutVersion else { throw .newerLayout(self.layoutVersion) }
    guard seal(of: partition) >= layoutVersion else { throw .notSealed }
    guard writing[partition] == nil, mark == self.mark(of: partition) else { throw .written }
    retiring.append((partition, layoutVersion))
  }

  package mutating func endRetiring(_ partition: Int, layoutVersion: UInt64) {
    if let index = retiring.firstIndex(where: { $0 == (partition, layoutVersion) }) { retiring.remove(at: index) }
  }
}
