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
    folder: String, gateway: String, destination: String, plan: FilePlan
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

  /// - Parameter folder: absolute path of the folder that the part file is in, for whoever has to remove it one day.
  func began(_ plan: FilePlan, partName: String, in folder: String) throws(FileError) {
    try journal.reset()
    let names = [partName, folder].map { HexDigits.encode(Array($0.utf8)) }
    try journal.append(["download \(Self.identity(of: plan)) \(names[0]) \(names[1])"])
  }

  /// The part file that a journal with these lines speaks of.
  static func part(_ lines: [String]) -> PartFile? {
    guard let words = lines.first?.split(separator: " "), words.count == 4, let folder = HexDigits.decode(String(words[3])),
      let memory = read(lines)?.memory
    else { return nil }
    return PartFile(named: memory.partName, beside: String(decoding: folder, as: UTF8.self) + "/-")
  }

  func wrote(_ index: Int) throws(FileError) { try journal.append(["done \(index)"]) }
  func remove() { try? journal.remove() }

  private static func identity(of plan: FilePlan) -> String { "\(plan.file.id.hex)-\(plan.version)-\(plan.contentHash)-\(plan.size)" }

  private static func read(_ lines: [String]) -> (identity: String, memory: Memory)? {
    guard let first = lines.first?.split(separator: " "), (3...4).contains(first.count), first[0] == "download",
      let name = HexDigits.decode(String(first[2]))
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
