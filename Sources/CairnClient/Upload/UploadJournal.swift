internal import BlockModel
internal import Platform
internal import ServiceAPI

/// What an upload remembers on this machine, so that the next run goes on where a killed one stopped: the session, the hashes of the blocks
/// read so far, and the receipts that came in.
///
/// What must hold: a hash is written down before it is announced, so the journal is never behind the gateway; a receipt as soon as it
/// comes,
/// so a block that a node has acknowledged is not sent again.
final class UploadJournal: Sendable {
  /// What a former run left behind.
  struct Memory: Sendable {
    var upload: UploadID
    /// From the file's start on.
    var blocks: [BlockRef]
    /// Receipts that may not have reached the gateway.
    var receipts: [String]
  }

  private let journal: Journal

  /// Opens the journal for sending the file at `source` to `path`. Blocks.
  ///
  /// - Returns: nil when it cannot be used; the upload goes on without then. `memory` is nil when there is nothing to go on with: no former
  ///   run, or of another state of the file.
  /// - Parameter overhead: bytes of a block that are not the file's.
  static func open(
    folder: String, gateway: String, path: RemotePath, source: FileIdentity, key: String, overhead: Int = 0
  ) -> (journal: UploadJournal, memory: Memory?)? {
    let name = BlockID(words: hash("\(gateway)\n\(path.text)\n\(source.device)-\(source.inode)\n\(key)")).hex
    guard let opened = try? Journal.open("\(folder)/uploads/\(name).journal") else { return nil }
    let journal = UploadJournal(opened.journal)
    if let memory = read(opened.lines, source: source, overhead: overhead) { return (journal, memory) }
    guard (try? opened.journal.reset()) != nil else { return nil }
    return (journal, nil)
  }

  private init(_ journal: Journal) { self.journal = journal }

  /// The first line. Blocks, as all below do.
  func began(_ upload: UploadID, source: FileIdentity) throws(FileError) { try journal.append(["upload \(upload.hex) \(source.text)"]) }
  func hashed(_ blocks: [BlockRef]) throws(FileError) { try journal.append(blocks.map { "block \($0.id.hex) \($0.size)" }) }
  func received(_ receipts: [String]) throws(FileError) { try journal.append(receipts.map { "receipt \($0)" }) }
  /// The gateway has the first `count` of the receipts that were not delivered before.
  func delivered(_ count: Int) throws(FileError) { try journal.append(["delivered \(count)"]) }
  func forget() { try? journal.reset() }
  func remove() {
    // Emptied as well, because this run may still hold it open and begin anew.
    forget()
    try? journal.remove()
  }

  private static func hash(_ text: String) -> (UInt64, UInt64, UInt64, UInt64) {
    Array(text.utf8).withUnsafeBytes { SHA256Hasher.hash($0) }
  }

  static func read(_ lines: [String], source: FileIdentity, overhead: Int = 0) -> Memory? {
    guard let first = lines.first?.split(separator: " "), first.count == 3, first[0] == "upload",
      let upload = UploadID(hex: String(first[1])),
      first[2] == source.text
    else { return nil }
    var memory = Memory(upload: upload, blocks: [], receipts: [])
    var end: Int64 = 0
    for line in lines.dropFirst() {
      let words = line.split(separator: " ")
      guard words.count == 2 || (words.count == 3 && words[0] == "block") else { return nil }
      switch words[0] {
      case "block":
        // Without a size it is of a former version of this program, which cut 4 MiB.
        let size = words.count == 3 ? Int(words[2]) : Int(min(Int64(Limits.blockBytes), source.size - end))
        guard let id = BlockID(hex: String(words[1])), let size, (overhead + 1...Limits.blockBytes).contains(size),
          end + Int64(size - overhead) <= source.size
        else { return nil }
        memory.blocks.append(BlockRef(id: id, size: size))
        end += Int64(size - overhead)
      case "receipt": memory.receipts.append(String(words[1]))
      case "delivered":
        guard let count = Int(words[1]), count >= 0, count <= memory.receipts.count else { return nil }
        memory.receipts.removeFirst(count)
      default: return nil
      }
    }
    return memory
  }
}
