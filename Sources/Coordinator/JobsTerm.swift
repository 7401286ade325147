internal import BlockModel
internal import ClusterLogic
package import MetadataStore
package import Platform
internal import Synchronization

/// Takes and keeps the lease of the jobs, and begins and ends a coordinator's term with it.
///
/// What must hold: a term ends in time also while the database does not answer, so what watches the time never waits for the database.
package final class JobsTerm: Sendable {
  private static let beat: Duration = .milliseconds(100)

  private let store: any JobsLeaseStore
  private let time: any TimeSource
  private let length: Duration
  private let log: Logger
  private let lease: Mutex<JobsLease>

  /// - Parameter length: of a term that is not renewed; the same at all coordinators of a cluster.
  package init(store: any JobsLeaseStore, time: any TimeSource, length: Duration, logger: Logger) {
    self.store = store
    self.time = time
    self.length = length
    log = logger.component("lease")
    lease = Mutex(JobsLease(me: .random(in: 1...(.max)), length: length))
  }

  package var isHeld: Bool { lease.withLock { $0.isHeld(at: time.monotonic()) } }

  /// Runs until the task is cancelled; then the term is ended and the lease given back.
  ///
  /// - Parameters:
  ///   - begin: the term begins; what it throws ends this attempt, and it is called again while the lease is held.
  ///   - end: the term is over. Called once for each `begin` that succeeded.
  package func run(begin: @escaping @Sendable () async throws -> Void, end: @escaping @Sendable () async -> Void) async {
    let renewing = Task { await self.keepRenewing() }
    var isActing = false
    while !Task.isCancelled {
      switch (isHeld, isActing) {
      case (true, false):
        do {
          try await begin()
          isActing = true
          log.info("this coordinator keeps the cluster")
        } catch { log.warning("the term could not begin", ["reason": .error(error)]) }
      case (false, true):
        log.warning("this coordinator's term is over; another one may keep the cluster")
        await end()
        isActing = false
      default: break
      }
      try? await Task.sleep(for: JobsTerm.beat)
    }
    renewing.cancel()
    await renewing.value
    if isActing { await end() }
    if case .write(let row, let expected) = lease.withLock({ $0.release() }) {
      // Others find out by waiting when this does not arrive.
      _ = try? await store.replaceJobsLease(expected, by: row)
    }
  }

  private func keepRenewing() async {
    while !Task.isCancelled {
      do { try await renew() } catch {
        if !Task.isCancelled { log.warning("the lease of the jobs could not be renewed", ["reason": .error(error)]) }
      }
      try? await Task.sleep(for: length / 5)
    }
  }

  /// One look at the row, and the write that it calls for.
  package func renew() async throws(MetadataError) {
    let row = try await store.jobsLease()
    let action = lease.withLock { $0.read(row, now: time.monotonic()) }
    guard case .write(let next, let expected) = action else { return }
    let start = time.monotonic()
    guard try await store.replaceJobsLease(expected, by: next) else { return }
    lease.withLock { $0.wrote(next, start: start) }
  }
}
