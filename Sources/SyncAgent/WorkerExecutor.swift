internal import Platform

/// Runs an actor on a thread of its own, because what it does blocks.
package final class WorkerExecutor: SerialExecutor {
  private let pool: BlockingPool

  package init(name: String) { pool = BlockingPool(name: name, threads: 1, queueLimit: 4096) }

  package func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    let refusal = pool.submit { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    precondition(refusal == nil, "an actor has a few jobs at a time, and lives as long as its thread")
  }
}
