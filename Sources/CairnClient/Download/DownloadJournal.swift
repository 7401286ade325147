internal import BlockModel
internal import Platform
internal import ServiceAPI

/// What a download remembers on this machine: the part file, and which blocks are in it.
///
/// A block is written down after it is in the part file. What is read back is still checked against the block's hash.
final class DownloadJournal: Sendable {
  struct Memory: Sendable {
    var partName: String
    var done: Set<Int>
  }

  private let journal: Journal

  /// Opens the journal for one destination. Blocks, as all here do.
  ///
  /// - Returns: nil when it cannot be used. `memory` is nil when there is nothing to go on with; `stale` is a part file of another version.
  static func open(
    folder: String, gateway: String, destination: String, plan: DownloadPlan
  ) -> (journal: DownloadJournal, memory: Memory?, stale: String?)? {
    let key = Array("\(gateway)\n\(destination)".utf8).withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)).hex }
    guard let opened = try? Journal.open("\(folder)/downloads/\(key).journal") else { return nil }
    let journal = DownloadJournal(opened.journal)
    let former = read(opened.lines)
    if let former, former.identity == identity(of: plan) { return (journal, former.memory, nil) }
    guard (try? opened.journal.reset()) != nil else { return nil }
    return (journal, nil, former?.memory.partName)
  }

  private init(_ journal: Journal) { self.journal = journal }

  func began(_ plan: DownloadPlan, partName: String) throws(FileError) {
    try journal.reset()
    try journal.append(["download \(Self.identity(of: plan)) \(Hex.encode(Array(partName.utf8)))"])
  }

  func wrote(_ index: Int) throws(FileError) { try journal.append(["done \(index)"]) }
  func remove() { try? journal.remove() }

  private static func identity(of plan: DownloadPlan) -> String { "\(plan.file.id.hex)-\(plan.version)-\(plan.contentHash)-\(plan.size)" }

  private static func read(_ lines: [String]) -> (identity: String, memory: Memory)? {
    guard let first = lines.first?.split(separator: " "), first.count == 3, first[0] == "download", let name = Hex.decode(String(first[2]))
    else { return nil }
    var memory = Memory(partName: String(decoding: name, as: UTF8.self), done: [])
    for line in lines.dropFirst() {
      let words = line.split(separator: " ")
      guard words.count == 2, words[0] == "done", let index = Int(words[1]) else { continue }
      memory.done.insert(index)
    }
    return (String(first[1]), memory)
  }
}
