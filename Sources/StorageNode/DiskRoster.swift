package import BlockModel
internal import Platform

/// Which disk was in which folder when the node last ran, kept in its data folder: so that a disk whose mount is missing is missed, and its
/// empty folder is not taken for a new disk.
package struct DiskRoster: Sendable, Equatable {
  /// Why a roster was not taken.
  package struct Damaged: Error, Sendable, CustomStringConvertible {
    package var description: String
  }

  private static let magic = "cairn disks 1"
  private static let sizeLimit = 1 << 20

  /// By folder, sorted.
  package private(set) var disks: [(folder: String, disk: DiskID)] = []

  package init() {}

  package static func == (a: DiskRoster, b: DiskRoster) -> Bool {
    a.disks.elementsEqual(b.disks) { $0.folder == $1.folder && $0.disk == $1.disk }
  }

  package subscript(folder: String) -> DiskID? {
    get { disks.first { $0.folder == folder }?.disk }
    set {
      disks.removeAll { $0.folder == folder }
      if let newValue { disks.append((folder, newValue)) }
      disks.sort { $0.folder < $1.folder }
    }
  }

  /// The one kept in `folder`, an empty one when there is none. Blocks.
  /// - Throws: `Damaged`, `FileError`.
  package static func load(folder: String) throws -> DiskRoster {
    let path = DiskRoster.path(folder)
    guard let bytes = try AtomicFile.read(path, limit: sizeLimit) else { return DiskRoster() }
    var roster = DiskRoster()
    for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n").dropFirst().dropLast() {
      let parts = line.split(separator: " ", maxSplits: 1)
      if parts.count == 2, let disk = DiskID(hex: String(parts[0])) { roster[String(parts[1])] = disk }
    }
    guard Array(roster.text.utf8) == bytes else {
      throw Damaged(
        description: "\(path) is damaged. Check that every disk of this node is mounted, then remove the file: it is made anew.")
    }
    return roster
  }

  /// Durable when it returns. Blocks.
  package func save(folder: String) throws { try AtomicFile.write(DiskRoster.path(folder), Array(text.utf8)) }

  private static func path(_ folder: String) -> String { folder + "/disks" }

  private var text: String {
    let lines = disks.reduce(DiskRoster.magic + "\n") { $0 + "\($1.disk.hex) \($1.folder)\n" }
    return lines + "crc \(CRC32C.checksum(Array(lines.utf8)))\n"
  }
}
