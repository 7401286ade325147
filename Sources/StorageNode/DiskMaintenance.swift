internal import BlockModel
package import BlockStore
package import Platform
internal import Synchronization

/// Gives space back on every disk while the node runs: deletes what has been in quarantine for the hold time, and compacts.
///
/// What must hold: each disk is worked on by one task, which stops before the disks are closed; trouble on one disk leaves the others
/// alone.
package final class DiskMaintenance: Sendable {
  /// What is purged and moved in one go, before the pace is looked at again.
  private static let purgeLimit = 10_000
  private static let pieceBytes = 8 << 20
  package static let restAfterTrouble: Duration = .seconds(30)

  private let disks: [any BlockStoring]
  private let hold: Duration
  private let pace: CompactionPace
  private let time: any TimeSource
  private let metrics: NodeMetrics
  private let log: Logger
  private let tasks = Mutex<[Task<Void, Never>]>([])

  /// - Parameters:
  ///   - hold: how long a deleted block can be taken back.
  ///   - pace: how fast compaction goes.
  package init(
    _ disks: [any BlockStoring], hold: Duration, pace: CompactionPace = CompactionPace(), time: any TimeSource, metrics: NodeMetrics,
    log: Logger
  ) {
    self.disks = disks
    self.hold = hold
    self.pace = pace
    self.time = time
    self.metrics = metrics
    self.log = log
  }

  func start() {
    tasks.withLock { tasks in
      guard tasks.isEmpty else { return }
      tasks = disks.map { disk in Task { await self.run(disk) } }
    }
  }

  func stop() async {
    let running = tasks.withLock { tasks in
      defer { tasks = [] }
      return tasks
    }
    for task in running { task.cancel() }
    for task in running { await task.value }
  }

  private func run(_ disk: any BlockStoring) async {
    while !Task.isCancelled {
      let rest = await step(disk)
      do { try await Task.sleep(for: rest) } catch { return }
    }
  }

  /// One piece of work; answers how long to rest after it.
  package func step(_ disk: any BlockStoring) async -> Duration {
    let began = time.monotonic()
    do throws(BlockStoreError) {
      let purged = try await disk.purge(quarantinedBefore: time.wall() - hold, limit: DiskMaintenance.purgeLimit)
      metrics.purged(disk.disk, blocks: purged)
      let report = try await disk.compact(limitBytes: DiskMaintenance.pieceBytes)
      if let report { metrics.compacted(disk.disk, movedBytes: report.movedBytes, removedBytes: Int(report.removedBytes)) }
      let moved = report?.movedBytes ?? (purged > 0 ? 0 : nil)
      return pace.rest(after: moved, took: time.monotonic() - began, level: disk.space().level)
    } catch {
      if error.code != .closed {
        log.warning("space could not be given back", ["disk": .string(disk.disk.hex), "reason": .string(error.message)])
      }
      return DiskMaintenance.restAfterTrouble
    }
  }
}
