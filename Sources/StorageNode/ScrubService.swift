internal import BlockModel
internal import BlockStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// The scrubs of a node's disks: they run beside each other, each at its own pace.
final class ScrubService: Sendable {
  private let disks: [DiskScrub]
  private let running = Mutex<[Task<Void, Never>]>([])

  init(
    _ disks: DiskSet, rot: RotReports, metrics: NodeMetrics, time: any TimeSource, log: Logger, configuration: ScrubPacer.Configuration
  ) {
    // A buffer of its own for each disk: the scrub takes none from those who serve.
    let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: disks.disks.count)
    self.disks = disks.disks.map { disk in
      DiskScrub(disk, pool: pool, rot: rot, metrics: metrics, time: time, log: log, configuration: configuration)
    }
    for scrub in self.disks { metrics.watch(scrub) }
  }

  func start() {
    running.withLock { $0 = disks.map { disk in Task { await disk.run() } } }
  }

  func stop() async {
    let tasks = running.withLock { tasks in
      defer { tasks = [] }
      return tasks
    }
    for task in tasks { task.cancel() }
    for task in tasks { await task.value }
  }

  /// How long a client's read took, the wait for a buffer and the disk included.
  func noteRead(_ duration: Duration) {
    for disk in disks { disk.noteRead(duration) }
  }

  func perform(_ action: ScrubAction) {
    for disk in disks { disk.perform(action) }
  }

  func report(_ disk: DiskID) -> ScrubReport? { disks.first { $0.disk.disk == disk }?.report ?? nil }
}
