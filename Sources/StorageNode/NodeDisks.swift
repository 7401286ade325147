package import BlockModel
package import BlockStore
package import Platform

/// Opens the disks of a node.
///
/// What must hold: a disk that is broken or missing does not keep the others from serving; a folder that had a disk is never formatted; a
/// disk of another cluster, another node, a newer format or under other keys is not touched, and the node does not start, because
/// somebody is at work on it who is to be told.
package struct NodeDisks: Sendable {
  /// In the order of the configuration, failed ones in their places.
  package var disks: [any BlockStoring]
  package var folders: [DiskID: String]
  package var roster: DiskRoster

  /// Blocks, as `SegmentStore.open` does.
  ///
  /// - Parameters:
  ///   - open: opens one folder; `mayFormat` says whether an empty one may become a new disk.
  /// - Throws: `BlockStoreError` with the first reason not to start.
  package static func open(
    _ folders: [String], roster: DiskRoster, log: Logger,
    open: (_ folder: String, _ mayFormat: Bool) throws(BlockStoreError) -> any BlockStoring
  ) throws(BlockStoreError) -> NodeDisks {
    var opened: [(folder: String, disk: (any BlockStoring)?, reason: String)] = []
    for folder in folders {
      do throws(BlockStoreError) {
        opened.append((folder, try open(folder, roster[folder] == nil), ""))
      } catch {
        guard roster[folder] != nil, [.io, .unreadable, .malformed].contains(error.code) else { throw error }
        log.error("a disk could not be opened; the node goes on without it", ["folder": .string(folder), "reason": .string(error.message)])
        opened.append((folder, nil, error.message))
      }
    }
    return try NodeDisks(opened, roster)
  }

  private init(_ opened: [(folder: String, disk: (any BlockStoring)?, reason: String)], _ roster: DiskRoster) throws(BlockStoreError) {
    (disks, folders, self.roster) = ([], [:], roster)
    for (folder, disk, _) in opened {
      guard let disk else { continue }
      if let other = folders[disk.disk] {
        throw BlockStoreError(
          .locked, "\(folder) and \(other) hold the same disk, \(disk.disk): one is a copy of the other, so take it away.")
      }
      folders[disk.disk] = folder
      self.roster[folder] = disk.disk
    }
    guard !folders.isEmpty else {
      throw BlockStoreError(.io, "No disk of this node can be opened: \(opened.map(\.reason).joined(separator: " "))")
    }
    for (folder, disk, reason) in opened {
      if let disk {
        disks.append(disk)
      } else if let missing = roster[folder], folders[missing] == nil {
        // The one that was there before and is in no other folder now.
        disks.append(FailedDisk(disk: missing, reason: reason))
        folders[missing] = folder
      }
    }
  }
}
