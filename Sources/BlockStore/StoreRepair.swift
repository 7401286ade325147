internal import BlockModel
package import Platform

/// Puts a stopped node's disk into a state that the node starts with, and takes bad copies out of sight.
///
/// What must hold: nothing is ever deleted. What stands in the way is renamed into a folder `aside-…` on the same disk first; copies that
/// fail their check twice, the second time past the page cache, are noted as set aside, and their bytes stay where they are.
package struct StoreRepair {
  package struct Report: Codable, Sendable, Equatable {
    /// A sentence for each thing that was done; none when there was nothing to do.
    package var actions: [String] = []
    /// A sentence for each thing that is left, and what to do about it.
    package var left: [String] = []
    package var before: StoreInspection
    package var after: StoreInspection
  }

  package var inspector: StoreInspector
  package var time: any TimeSource = SystemTime()

  package init(_ inspector: StoreInspector) { self.inspector = inspector }

  /// - Throws: as `StoreInspector.inspect`; `.io` when the disk cannot be written to.
  package func run() async throws -> Report {
    let before = try inspector.inspect()
    var report = Report(before: before, after: before)
    let aside = Aside(inspector.fileSystem, inspector.folder, time.wall())
    let identity = try repairIdentity(before, aside, &report)
    for finding in before.findings { try moveAside(finding, aside, &report) }
    if let identity { await settle(before, identity, &report) }
    report.after = try inspector.inspect()
    return report
  }

  /// The identity that the disk has, or that all of its segments agree on.
  private func repairIdentity(
    _ before: StoreInspection, _ aside: Aside, _ report: inout Report
  ) throws -> DiskIdentity? {
    guard before.findings.contains(where: { $0.kind == .identity }) else {
      return try DiskIdentity.load(inspector.fileSystem, folder: inspector.folder)
    }
    var owners: Set<String> = []
    var headers: [SegmentHeader] = []
    for name in (try? inspector.fileSystem.list(inspector.folder + "/segments")) ?? [] {
      guard let (number, id) = Segment.parse(fileName: name) else { continue }
      let file = try inspector.fileSystem.open(inspector.folder + "/segments/" + name, .read)
      let segment = Segment(number: number, id: id, fileBytes: Int(try file.size()), endBytes: 0)
      guard let header = try SegmentHeader.read(file, segment) else { continue }
      headers.append(header)
      owners.insert(header.cluster.hex + header.disk.hex)
    }
    guard owners.count == 1, let header = headers.first else {
      report.left.append(
        headers.isEmpty
          ? "No segment says which disk this is, so its identity cannot be written anew."
          : "The segments belong to \(owners.count) different disks, so the identity cannot be written anew: take out those that do not belong here."
      )
      return nil
    }
    try aside.take("identity", &report)
    let identity = DiskIdentity(cluster: header.cluster, disk: header.disk, created: time.wall())
    try identity.save(inspector.fileSystem, folder: inspector.folder)
    report.actions.append("Wrote the disk's identity anew: the headers of all \(headers.count) segments agree on it.")
    return identity
  }

  private func moveAside(_ finding: StoreInspection.Finding, _ aside: Aside, _ report: inout Report) throws {
    switch finding.kind {
    case .foreignSegment, .leftover: try aside.take(finding.path, &report)
    case .checkpoint:
      let path = inspector.folder + "/" + finding.path
      if try inspector.fileSystem.attributes(path) != nil { try aside.take(finding.path, &report) }
    case .debris, .cutRecord, .unreadable:
      // It may name what cannot be found any more; a scan finds what can.
      try aside.take(Checkpoint.fileName, &report)
    case .identity, .foreignFile, .missingSegment, .segmentHeader, .tornRecord, .badCopy, .wrongContent, .unchecked: break
    }
  }

  /// Starts the store on the disk as the node would, which settles the end of the last segment, and has it check the copies that failed.
  private func settle(_ before: StoreInspection, _ identity: DiskIdentity, _ report: inout Report) async {
    let bad = before.findings.filter { $0.kind == .badCopy || $0.kind == .wrongContent }.compactMap(\.block)
    let needsStart =
      !bad.isEmpty || before.findings.contains { [.tornRecord, .checkpoint, .debris, .cutRecord, .unreadable].contains($0.kind) }
    guard needsStart else { return }
    var configuration = SegmentStore.Configuration(folder: inspector.folder, cluster: identity.cluster, keys: inspector.keys)
    configuration.fileSystem = inspector.fileSystem
    configuration.formatsEmptyFolder = false
    configuration.reserveBytes = 0
    let store: SegmentStore
    do throws(BlockStoreError) { store = try SegmentStore.open(configuration) } catch {
      report.left.append("The store does not start, so nothing in the segments was changed: \(error.message)")
      return
    }
    report.actions.append(
      "Started the store on the disk and wrote a checkpoint: \(store.openReport.tornRecords) torn records were set aside.")
    let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: 1)
    for block in bad {
      do throws(BlockStoreError) {
        try await store.verify(block, using: pool)
        report.left.append("Block \(block) reads well now: the disk gives different answers. Replace it.")
      } catch {
        if error.code == .rotten {
          report.actions.append("Set the copy of block \(block) aside: it failed its check twice. Its bytes stay where they are.")
        } else {
          report.left.append("The copy of block \(block) could not be set aside: \(error.message)")
        }
      }
    }
    await store.close()
  }
}

/// The folder that things are moved into.
private struct Aside {
  private let fileSystem: any FileSystem
  private let folder: String
  private let name: String

  init(_ fileSystem: any FileSystem, _ folder: String, _ time: WallTime) {
    self.fileSystem = fileSystem
    self.folder = folder
    name = StoreInspector.asidePrefix + String(time.rfc3339.map { $0 == ":" || $0 == "." ? "-" : $0 })
  }

  /// Renames a file into the folder, durably; nothing when it is not there.
  func take(_ path: String, _ report: inout StoreRepair.Report) throws {
    guard try fileSystem.attributes(folder + "/" + path) != nil else { return }
    let target = name + "/" + path.replacing("/", with: "-")
    try fileSystem.createDirectory(folder + "/" + name)
    guard try fileSystem.attributes(folder + "/" + target) == nil else {
      report.left.append("\(path) was left where it is: \(target) is there already.")
      return
    }
    try fileSystem.rename(folder + "/" + path, to: folder + "/" + target)
    try fileSystem.syncDirectory(folder + "/" + name)
    try fileSystem.syncDirectory(path.hasPrefix("segments/") ? folder + "/segments" : folder)
    report.actions.append("Moved \(path) to \(target).")
  }
}
