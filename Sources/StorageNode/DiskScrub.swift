internal import BlockModel
internal import BlockStore
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// The scrub of one disk: does what `ScrubPacer` decides, and keeps the place.
///
/// What must hold: a place is passed after its copy was read; what is bad is reported; pausing holds over a restart.
final class DiskScrub: Sendable {
  private struct State {
    /// Nil until it was loaded.
    var progress: ScrubProgress?
    var pacer: ScrubPacer
    var reads = LatencyHistogram()
    var fresh = Queue()
    var pass = Queue()
    var freshSince: MonotonicTime?
    var savedAt: MonotonicTime?
    var lookedAt: MonotonicTime?
    /// An operator asked for something: saved without waiting for the time to save.
    var isUrgent = false
    var beginsPass = false
    var checkedBytes: Int64 = 0
    var checkedCopies = 0
    var rate = 0.0
  }

  /// Copies that lie before the scrub.
  private struct Queue {
    var copies: ArraySlice<StoredCopy> = []
    /// Bytes of these and of those behind them that were not listed.
    var leftBytes: Int64 = 0
    var askedAt: MonotonicTime?

    mutating func fill(_ page: CopyPage, _ now: MonotonicTime) {
      copies = page.copies[...]
      leftBytes = page.leftBytes
      askedAt = now
    }

    /// Copies of about so many bytes, one at least.
    mutating func take(bytes: Int) -> [StoredCopy] {
      var taken = 0
      var sum = 0
      for copy in copies {
        if taken > 0, sum + copy.recordBytes > bytes { break }
        sum += copy.recordBytes
        taken += 1
      }
      defer { copies = copies.dropFirst(taken) }
      leftBytes = max(0, leftBytes - Int64(sum))
      return Array(copies.prefix(taken))
    }
  }

  private static let pageCopies = 65_536
  private static let saveInterval: Duration = .seconds(60)
  private static let presenceInterval: Duration = .seconds(3)
  private static let restAfterTrouble: Duration = .seconds(5)

  let disk: any BlockStoring
  private let pool: BufferPool
  private let rot: RotReports
  private let metrics: NodeMetrics
  private let time: any TimeSource
  private let log: Logger
  private let freshInterval: Duration
  private let state: Mutex<State>

  init(
    _ disk: any BlockStoring, pool: BufferPool, rot: RotReports, metrics: NodeMetrics, time: any TimeSource, log: Logger,
    configuration: ScrubPacer.Configuration
  ) {
    self.disk = disk
    self.pool = pool
    self.rot = rot
    self.metrics = metrics
    self.time = time
    self.log = log
    freshInterval = configuration.freshInterval
    state = Mutex(State(pacer: ScrubPacer(configuration)))
  }

  /// How long a client's read took.
  func noteRead(_ duration: Duration) { state.withLock { $0.reads.add(duration) } }

  /// Works until the task is cancelled or the disk is gone.
  func run() async {
    await load()
    while !Task.isCancelled {
      guard await isThere() else {
        log.error("a disk has failed", ["disk": .string(disk.disk.hex), "reason": .string("\(disk.health())")])
        return
      }
      do throws(BlockStoreError) {
        let wait = try await turn()
        await saveIfDue()
        if wait > .zero { try? await Task.sleep(for: wait) }
      } catch {
        guard error.code != .closed else { return }
        if error.code != .busy { log.warning("the scrub rests", ["disk": .string(disk.disk.hex), "reason": .string(error.message)]) }
        try? await Task.sleep(for: DiskScrub.restAfterTrouble)
      }
    }
    // In a task of its own: this one was cancelled, and the store's threads take nothing from cancelled tasks.
    await Task { await save() }.value
  }

  // MARK: Commands and status

  func perform(_ action: ScrubAction) {
    state.withLock { state in
      switch action {
      case .start:
        state.progress?.isPaused = false
        state.beginsPass = state.progress?.pass == nil
      case .pause: state.progress?.isPaused = true
      }
      state.isUrgent = true
    }
  }

  var report: ScrubReport? {
    state.withLock { state in
      guard let progress = state.progress else { return nil }
      return ScrubReport(
        state: progress.isPaused ? .paused : progress.pass == nil && state.fresh.leftBytes == 0 ? .resting : .running,
        passStarted: progress.pass?.started, passDoneBytes: progress.pass?.doneBytes ?? 0,
        passLeftBytes: progress.pass == nil ? 0 : state.pass.leftBytes, lastFinished: progress.lastFinished,
        freshBytes: state.fresh.leftBytes, checkedCopies: state.checkedCopies, checkedBytes: state.checkedBytes,
        rottenCopies: progress.rottenCopies, unreadableCopies: progress.unreadableCopies,
        bytesPerSecond: Int64(state.rate))
    }
  }

  // MARK: Work

  /// Looks every few seconds whether the disk is still mounted, also while the scrub is paused.
  private func isThere() async -> Bool {
    guard disk.health().isThere else { return false }
    let now = time.monotonic()
    let isDue = state.withLock { state in
      guard state.lookedAt.map({ now - $0 >= DiskScrub.presenceInterval }) ?? true else { return false }
      state.lookedAt = now
      return true
    }
    return isDue ? await disk.isPresent() : true
  }

  private func load() async {
    let known = await disk.loadScrub()
    let progress = known ?? ScrubProgress(fresh: disk.tail().predecessor)
    state.withLock { $0.progress = progress }
  }

  /// One step; answers how long to wait before the next.
  private func turn() async throws(BlockStoreError) -> Duration {
    if state.withLock({ $0.progress?.isPaused ?? true }) { return .seconds(1) }
    try await list()
    let (decision, work) = state.withLock { state -> (ScrubPacer.Decision, ScrubPacer.Work) in
      let work = self.work(state)
      state.pacer.observe(state.reads)
      state.reads = LatencyHistogram()
      if state.beginsPass, state.progress?.pass == nil { return (.beginPass, work) }
      let decision = state.pacer.next(work, now: time.monotonic())
      state.rate = state.pacer.rate(work)
      return (decision, work)
    }
    switch decision {
    case .rest(let duration): return min(duration, .seconds(1))
    case .beginPass:
      let end = disk.tail()
      state.withLock { state in
        state.beginsPass = false
        state.progress?.pass = ScrubProgress.Pass(started: time.wall(), end: end)
        state.pass = Queue()
      }
    case .check(let source, let bytes): try await check(source, bytes: bytes, work)
    }
    return .zero
  }

  private func work(_ state: State) -> ScrubPacer.Work {
    var work = ScrubPacer.Work()
    let wall = time.wall()
    work.freshBytes = state.fresh.copies.isEmpty ? 0 : state.fresh.leftBytes
    work.freshAge = state.freshSince.map { time.monotonic() - $0 } ?? .zero
    if let pass = state.progress?.pass {
      work.passAge = max(.zero, wall - pass.started)
      work.passBytes = state.pass.leftBytes
    }
    work.sinceLastPass = state.progress?.lastStarted.map { max(.zero, wall - $0) }
    return work
  }

  /// Asks which copies come next, where that is not known; a walk that has none before it is over.
  private func list() async throws(BlockStoreError) {
    let now = time.monotonic()
    let (pass, fresh) = state.withLock { state -> (ScrubProgress.Pass?, CopyPosition?) in
      let isFreshDue = state.fresh.copies.isEmpty && (state.fresh.askedAt.map { now - $0 >= freshInterval } ?? true)
      return (state.pass.copies.isEmpty ? state.progress?.pass : nil, isFreshDue ? state.progress?.fresh : nil)
    }
    if let fresh {
      let page = try await disk.copies(after: fresh, before: disk.tail(), limit: DiskScrub.pageCopies)
      state.withLock { state in
        // Where there is more than was listed, the next page is asked for without waiting.
        state.fresh.fill(page, now)
        if page.copies.count < page.leftCopies { state.fresh.askedAt = nil }
        state.freshSince = page.copies.isEmpty ? nil : state.freshSince ?? now
      }
    }
    if let pass {
      let page = try await disk.copies(after: pass.position, before: pass.end, limit: DiskScrub.pageCopies)
      state.withLock { state in
        state.pass.fill(page, now)
        if page.copies.isEmpty { finishPass(&state) }
      }
    }
  }

  private func finishPass(_ state: inout State) {
    guard let pass = state.progress?.pass else { return }
    state.progress?.lastStarted = pass.started
    state.progress?.lastFinished = time.wall()
    state.progress?.pass = nil
    state.isUrgent = true
    log.info(
      "every copy of a disk was read back",
      ["disk": .string(disk.disk.hex), "copies": .int(pass.doneCopies), "bytes": .string(String(pass.doneBytes))])
  }

  private func check(_ source: ScrubPacer.Source, bytes: Int, _ work: ScrubPacer.Work) async throws(BlockStoreError) {
    let began = time.monotonic()
    let copies = state.withLock { state in source == .fresh ? state.fresh.take(bytes: bytes) : state.pass.take(bytes: bytes) }
    guard let last = copies.last else { return }
    let outcomes: [CopyCheck]
    do throws(BlockStoreError) { outcomes = try await disk.check(copies, using: pool) } catch {
      // They are asked for again: the place did not move.
      state.withLock { if source == .fresh { $0.fresh = Queue() } else { $0.pass = Queue() } }
      throw error
    }
    let read = copies.reduce(0) { $0 + $1.recordBytes }
    let (rotten, unreadable) = (outcomes.count { $0 == .rotten }, outcomes.count { $0 == .unreadable })
    state.withLock { state in
      state.pacer.checked(bytes: read, work, began: began)
      state.checkedBytes += Int64(read)
      state.checkedCopies += copies.count
      state.progress?.rottenCopies += rotten
      state.progress?.unreadableCopies += unreadable
      switch source {
      case .fresh: state.progress?.fresh = last.position
      case .pass:
        state.progress?.pass?.position = last.position
        state.progress?.pass?.doneCopies += copies.count
        state.progress?.pass?.doneBytes += Int64(read)
      }
    }
    metrics.scrubbed(disk.disk, copies: copies.count, bytes: read)
    for (copy, outcome) in zip(copies, outcomes) where outcome == .rotten || outcome == .unreadable {
      rot.add(copy.block)
      metrics.rottenCopies.increment()
      log.error(
        "the scrub found a bad copy and set it aside",
        [
          "block": .string(copy.block.hex), "disk": .string(disk.disk.hex),
          "reason": .string(outcome == .rotten ? "its check fails" : "the disk cannot read it"),
        ])
    }
  }

  // MARK: Saving

  private func saveIfDue() async {
    let now = time.monotonic()
    let isDue = state.withLock { $0.isUrgent || $0.savedAt.map { now - $0 >= DiskScrub.saveInterval } ?? true }
    if isDue { await save() }
  }

  /// Losing the place costs reading some copies twice, so a save that fails is only tried again.
  private func save() async {
    let now = time.monotonic()
    let progress = state.withLock { state in
      state.isUrgent = false
      state.savedAt = now
      return state.progress
    }
    guard let progress else { return }
    do throws(BlockStoreError) { try await disk.saveScrub(progress) } catch {
      guard error.code != .closed else { return }
      log.warning("the place of the scrub could not be kept", ["disk": .string(disk.disk.hex), "reason": .string(error.message)])
    }
  }
}
