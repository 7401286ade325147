internal import BlockModel
package import CairnClient
internal import ClusterLogic
internal import Platform
internal import ServiceAPI

/// Keeps one pair of folders in step until it is cancelled: rounds, and waiting for hints in between.
package final class SyncAgent: Sendable {
  package struct Configuration: Sendable {
    /// Absolute; made when it is missing and nothing was synced yet.
    package var local: String
    package var remote: String
    package var gateway: String
    package var options: SyncOptions
    /// Of what goes up; nil is as the remote folders say.
    package var chunking: Chunking?
    /// Ends as soon as both sides are in step.
    package var once: Bool

    package init(
      local: String, remote: String, gateway: String, options: SyncOptions, chunking: Chunking? = nil, once: Bool = false
    ) {
      (self.local, self.remote, self.gateway, self.options) = (local, remote, gateway, options)
      (self.chunking, self.once) = (chunking, once)
    }
  }

  /// A plan of a tree that takes much memory while it is made.
  private static let largePlan = Duration.milliseconds(20)
  /// Between two rounds, so that several small changes are one plan.
  private static let mostGathering = Duration.milliseconds(500)
  /// How long a person's pause, or a change that no hint told of, may go unnoticed.
  private static let glance = Duration.seconds(2)
  private static let offlineDelays: ClosedRange<Duration> = .seconds(1) ... .seconds(60)
  /// Rounds after a change that was met while carrying out; then somebody is so busy that it can wait.
  private static let staleDelays: ClosedRange<Duration> = .milliseconds(50) ... .seconds(5)

  private let configuration: Configuration
  private let files: SyncFiles
  private let client: CairnClient
  private let hints = Signal()
  private let threads = BlockingPool(name: "sync-files", threads: 1, queueLimit: 64)
  private let report: @Sendable (SyncRound) -> Void

  /// - Parameter report: is told of every round that did something or has something to say.
  package init(
    _ configuration: Configuration, files: SyncFiles, client: CairnClient, report: @escaping @Sendable (SyncRound) -> Void
  ) {
    (self.configuration, self.files, self.client, self.report) = (configuration, files, client, report)
  }

  /// - Throws: `SyncError` `stopped` when a person has to look, `unfit` when there is no folder to sync with, and whatever kept a single
  ///   run (`once`) from its end.
  package func run() async throws {
    let files = files
    let configuration = configuration
    guard let lock = try await threads.run({ try files.lock() }) else {
      throw SyncError(.stopped, "Another agent already syncs \(configuration.local); see “cairn sync status”.")
    }
    defer { withExtendedLifetime(lock) {} }
    let executor = WorkerExecutor(name: "sync-engine")
    let (root, database, preview) = try await threads.run { try self.places() }
    defer { if let preview { try? Directory.removeTree(preview) } }
    let state = try await threads.run { try SQLiteSyncState(database) }
    let pieces = HashedPieces()
    let remote = CairnRemote(client: client, root: root, chunking: configuration.chunking, pieces: pieces)
    let engine = try await openEngine(state, LinuxSyncFolder(root: root, pieces: pieces), remote, executor)
    let watch =
      configuration.once
      ? nil
      : try? FolderWatch(root: configuration.local) { [hints] batch in
        Task {
          await engine.note(batch)
          hints.set()
        }
      }
    let follower = Task { [weak self] in if !configuration.once { await self?.follow(engine) } }
    defer {
      follower.cancel()
      watch?.stop()
    }
    do { try await loop(engine, watch) } catch {
      await show(.stopped, nil, "\(error)")
      throw error
    }
  }

  /// Makes the local folder where nothing was synced yet. A dry run does not: an empty one stands for it, beside notes that nobody keeps.
  ///
  /// - Returns: the folder to look at, where to take notes, and what to remove afterwards.
  private func places() throws(FileError) -> (root: String, database: String, preview: String?) {
    let present = (configuration.local, files.database, String?.none)
    guard try Directory.attributes(configuration.local) == nil, try Directory.attributes(files.database) == nil else { return present }
    guard configuration.options.isDryRun else {
      try Directory.create(configuration.local, mode: 0o755)
      return present
    }
    let preview = files.preview
    try Directory.removeTree(preview)
    try Directory.create(preview + "/empty")
    return (preview + "/empty", preview + "/state.sqlite", preview)
  }

  /// The first call of all: waits for the cluster as every later one does.
  private func openEngine(
    _ state: SQLiteSyncState, _ folder: LinuxSyncFolder, _ remote: CairnRemote, _ executor: WorkerExecutor
  ) async throws -> SyncEngine {
    var delay = Self.offlineDelays.lowerBound
    while true {
      do throws(SyncError) {
        return try await SyncEngine.open(
          folder: folder, remote: remote, remotePath: configuration.remote, state: state, time: SystemTime(),
          options: configuration.options, executor: executor)
      } catch {
        guard error.code == .unavailable || error.code == .stale, !configuration.once else { throw error }
        await show(.offline, nil, error.message)
      }
      try await Task.sleep(for: delay)
      delay = min(delay * 2, Self.offlineDelays.upperBound)
    }
  }

  // MARK: - The loop

  private func loop(_ engine: SyncEngine, _ watch: FolderWatch?) async throws {
    var offline = Self.offlineDelays.lowerBound
    var stale = Self.staleDelays.lowerBound
    var pace = RescanPace()
    var nextScan = ContinuousClock.now
    var holdsFreeMemory = true
    while !Task.isCancelled {
      if try await isPaused() {
        await show(.paused, nil, nil)
        await hints.wait(atMost: Self.glance)
        continue
      }
      let readsAll = ContinuousClock.now >= nextScan
      let isWatched = watch.map { !$0.isExhausted } ?? false
      if readsAll {
        await engine.noteAnything()
        nextScan = ContinuousClock.now + jittered(pace.interval(isWatched: isWatched))
      }
      let round: SyncRound
      do throws(SyncError) { round = try await engine.round() } catch {
        switch error.code {
        case .stopped, .unfit: throw error
        case .stale:
          await show(.syncing, nil, error.message)
          try await Task.sleep(for: stale)
          stale = min(stale * 2, Self.staleDelays.upperBound)
        case .unavailable, .refused:
          if configuration.once, error.code == .refused { throw error }
          await show(.offline, nil, error.message)
          await hints.wait(atMost: jittered(offline))
          offline = min(offline * 2, Self.offlineDelays.upperBound)
        }
        continue
      }
      offline = Self.offlineDelays.lowerBound
      // Each plan looks at the whole tree.
      holdsFreeMemory = holdsFreeMemory || round.planTime >= Self.largePlan
      report(round)
      if readsAll {
        pace.lastScan = round.scanTime
        nextScan = ContinuousClock.now + jittered(pace.interval(isWatched: isWatched))
        holdsFreeMemory = true
      }
      if configuration.options.isDryRun { return }
      var isFresh = false
      if let watch {
        let folders = round.folders
        for path in try await threads.run({ watch.update(folders) }) {
          await engine.noteChange(in: path)
          isFresh = true
        }
      }
      stale = round.wasStale ? min(stale * 2, Self.staleDelays.upperBound) : Self.staleDelays.lowerBound
      if !round.done.isEmpty {
        holdsFreeMemory = true
        await show(.syncing, round, nil)
        // While others are at work as well, what they do comes in small pieces, and each plan looks at the whole tree.
        if !round.isCutShort { try await Task.sleep(for: min(round.planTime * 2, Self.mostGathering)) }
        continue
      }
      if isFresh { continue }
      if configuration.once, round.isIdle || round.issues.contains(where: { $0.kind == .failed }), !round.wasStale {
        await show(.stopped, round, nil)
        return
      }
      await show(round.isIdle ? .idle : .syncing, round, watch?.isExhausted == true ? FolderWatch.remedy() : nil)
      if holdsFreeMemory, round.isIdle {
        try await threads.run { Memory.giveBack() }
        holdsFreeMemory = false
      }
      let pause = round.wasStale ? stale : round.wakeIn ?? RescanPace.slowest
      try await rest(min(pause, max(.zero, nextScan - ContinuousClock.now)))
    }
  }

  /// Until a hint, or the time is over; glances at what a person may want in between.
  private func rest(_ pause: Duration) async throws {
    let end = ContinuousClock.now + pause
    while !Task.isCancelled, ContinuousClock.now < end {
      let slice = min(Self.glance, end - ContinuousClock.now)
      let begin = ContinuousClock.now
      await hints.wait(atMost: slice)
      if ContinuousClock.now - begin < slice { return }
      if try await isPaused() { return }
    }
  }

  private func isPaused() async throws -> Bool {
    if configuration.once { return false }
    let files = files
    return try await threads.run { try files.isPaused() }
  }

  private func jittered(_ duration: Duration) -> Duration { duration * Double.random(in: 0.8...1.2) }

  /// The feed's long poll, as a hint: the engine asks with its own cursor.
  private func follow(_ engine: SyncEngine) async {
    var delay = Self.offlineDelays.lowerBound
    while !Task.isCancelled {
      guard let cursor = await engine.cursor else {
        try? await Task.sleep(for: .seconds(1))
        continue
      }
      do throws(CairnError) {
        let page = try await client.syncChanges(after: cursor, wait: 15)
        delay = Self.offlineDelays.lowerBound
        guard !page.changes.isEmpty || page.reset else { continue }
        hints.set()
        // The engine is about to pass this place.
        for _ in 0..<50 where await engine.cursor == cursor { try? await Task.sleep(for: .milliseconds(100)) }
      } catch {
        try? await Task.sleep(for: jittered(delay))
        delay = min(delay * 2, Self.offlineDelays.upperBound)
      }
    }
  }

  // MARK: - What it says

  private func show(_ activity: SyncFiles.Status.Activity, _ round: SyncRound?, _ message: String?) async {
    var status = SyncFiles.Status(
      local: configuration.local, remote: configuration.remote, gateway: configuration.gateway, activity: activity,
      device: configuration.options.device)
    status.message = message
    status.updatedAt = SystemTime().wall().rfc3339
    if let round {
      (status.files, status.bytesUp, status.bytesDown) = (round.files, round.bytesUp, round.bytesDown)
      status.issues = round.issues.prefix(1000).map { .init(kind: $0.kind.rawValue, path: $0.path, message: $0.message) }
    }
    let files = files
    let written = status
    // A status that cannot be written is no reason to stop.
    try? await threads.run { try files.write(written) }
  }
}

extension SyncEngine {
  /// Where the feed was followed to.
  var cursor: String? { memory.cursor }

  func note(_ hints: [FolderWatch.Hint]) {
    for hint in hints {
      switch hint {
      case .folder(let path): noteChange(in: path)
      case .closed(let path): noteClose(of: path)
      case .anything: noteAnything()
      }
    }
  }
}
