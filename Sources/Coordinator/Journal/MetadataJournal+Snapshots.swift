internal import BlockModel
internal import ClusterLogic
internal import Credentials
internal import Journal
internal import MetadataStore
internal import Platform
internal import Synchronization

/// Whole copies of the database on the nodes, after which older records go.
///
/// What must hold: nothing is cut before nodes of enough zones have the whole snapshot durably.
extension MetadataJournal {
  private static let partDeadline: Duration = .seconds(30)

  /// - Parameter number: of this one among those that were begun.
  func takeSnapshot(_ number: Int, of store: SQLMetadataStore) async {
    let path = folder + "/journal-snapshot"
    let began = time.monotonic()
    var bytes: Int?
    do {
      try await snapshots.run { try MetadataJournal.remove(path) }
      guard let position = try await store.copyWithPosition(to: path) else {
        throw MetadataError(.unusable, "The copy of the database has no place in the journal.")
      }
      bytes = try await ship(path, position)
      log.info(
        "a snapshot of the metadata is on the nodes",
        [
          "record": .string(String(position.sequence)), "bytes": .int(bytes ?? 0),
          "milliseconds": .int(Int((time.monotonic() - began).saturatedMilliseconds)),
        ])
    } catch { log.warning("a snapshot of the metadata did not get to the nodes", ["reason": .error(error)]) }
    _ = try? await snapshots.run { try MetadataJournal.remove(path) }
    let now = time.monotonic()
    let (sent, ready) = (bytes, state.withLock { MetadataJournal.settle(&$0) })
    state.withLock { state in
      state.upkeep.ended(bytes: sent, at: now)
      if sent != nil { state.leavers = state.leavers.filter { $0.value >= number } }
    }
    for wait in ready { wait.body(nil) }
  }

  private static func remove(_ path: String) throws {
    for name in [path, path + "-wal", path + "-shm"] where try Directory.attributes(name) != nil { try Directory.remove(name) }
  }

  /// Sends the file to the members, whoever of them goes on taking it; answers how many bytes it has on a node.
  private func ship(_ path: String, _ position: JournalPosition) async throws -> Int {
    let (term, targets, zones) = state.withLock { state in
      (state.term, state.quorum.members.compactMap { state.targets[$0.node] }, state.quorum.zones)
    }
    let cipher = cipher.current
    let file = try await snapshots.run { try File(path, [.read]) }
    let size = try await snapshots.run { try file.size() }
    var receivers = targets
    var sent: Int64 = 0
    var read: Int64 = 0
    var number = 0
    repeat {
      let plain = try await piece(of: file, at: read)
      read += Int64(plain.count)
      let isLast = read >= size
      var part = try SnapshotFormat.piece(plain, number: number, isLast: isLast, of: position, cipher)
      if number == 0 { part = SnapshotFormat.head(position, databaseBytes: size) + part }
      let message = JournalRequest.snapshot(term, position, offset: sent, bytes: part, isLast: isLast)
      receivers = await deliver(message, to: receivers)
      guard MetadataJournal.zoneCount(receivers) >= zones else {
        throw MetadataError(.unavailable, "\(zones) zones have to take a snapshot, and fewer did.")
      }
      sent += Int64(part.count)
      number += 1
    } while read < size
    state.withLock { state in state.hasBase = true }
    let all = state.withLock { state in state.targets.values.sorted { $0.node < $1.node } }
    // A node that does not hear of it keeps a little more until the next one.
    _ = await deliver(.cut(term, through: position.sequence), to: all)
    return Int(sent)
  }

  private func piece(of file: File, at offset: Int64) async throws -> [UInt8] {
    try await snapshots.run {
      var bytes = [UInt8](repeating: 0, count: SnapshotFormat.pieceBytes)
      let count = try bytes.withUnsafeMutableBytes { try file.pread(into: $0, at: offset) }
      bytes.removeSubrange(count...)
      return bytes
    }
  }

  static func zoneCount(_ targets: [ClusterNodeClient.Target]) -> Int { Set(targets.map(\.zone)).count }

  /// Those that took the message.
  private func deliver(_ message: JournalRequest, to targets: [ClusterNodeClient.Target]) async -> [ClusterNodeClient.Target] {
    await withTaskGroup(of: (Int, Bool).self) { group in
      for (index, target) in targets.enumerated() {
        group.addTask {
          do throws(NodeClientError) {
            _ = try await self.client.ask(message, of: target, deadline: MetadataJournal.partDeadline)
            return (index, true)
          } catch {
            self.log.warning("a node did not take a snapshot", ["node": .string(target.node.text), "reason": .string(error.message)])
            return (index, false)
          }
        }
      }
      var took: [Int] = []
      for await (index, isTaken) in group where isTaken { took.append(index) }
      return took.sorted().map { targets[$0] }
    }
  }
}
