/// When to write and when to sync: the two stages of the commit pipeline, as a value without I/O.
///
/// Operations queue. While nothing is being written, all that queued is written as one batch; while nothing is being synced, all
/// batches that were written are synced as one. So an operation that comes alone is written and synced at once, and under load the
/// next batches form and are written while the disk is busy with a sync.
///
/// What must hold: at most one write and one sync run at a time, batches are synced in the order in which they were written, and the
/// queue and the batches that wait for a sync are bounded.
package struct GroupCommit<Operation, Batch> {
  package enum Effect {
    /// Write these, in order. Answer with `wrote`.
    case write([Operation])
    /// Sync these. Answer with `synced`.
    case sync([Batch])
  }

  package struct Limits {
    /// Operations that may wait to be written.
    package var queued = 4096
    /// Operations and bytes of one batch.
    package var batchOperations = 1024
    package var batchBytes = 8 << 20
    /// Batches and bytes that may be written ahead of a sync.
    package var aheadBatches = 64
    package var aheadBytes = 32 << 20
    package init() {}
  }

  private let limits: Limits
  private let bytes: (Operation) -> Int
  private var queue: [Operation] = []
  private var written: [Batch] = []
  private var writtenBytes = 0
  private var isWriting = false
  private var isSyncing = false

  /// - Parameter bytes: what an operation will take in a segment.
  package init(limits: Limits = Limits(), bytes: @escaping (Operation) -> Int) {
    self.limits = limits
    self.bytes = bytes
  }

  /// Nothing queued, nothing on the way.
  package var isIdle: Bool { queue.isEmpty && written.isEmpty && !isWriting && !isSyncing }

  /// Takes an operation; false when too many wait.
  package mutating func submit(_ operation: Operation) -> Bool {
    guard queue.count < limits.queued else { return false }
    queue.append(operation)
    return true
  }

  /// A write is done. `left` are operations that did not fit into its batch: they are first in the next.
  package mutating func wrote(_ batch: Batch, bytes: Int, left: [Operation]) {
    precondition(isWriting, "a write ends once")
    isWriting = false
    written.append(batch)
    writtenBytes += bytes
    queue.insert(contentsOf: left, at: 0)
  }

  package mutating func synced() {
    precondition(isSyncing, "a sync ends once")
    isSyncing = false
  }

  /// What can begin now.
  package mutating func effects() -> [Effect] {
    var effects: [Effect] = []
    if !isSyncing, !written.isEmpty {
      isSyncing = true
      effects.append(.sync(written))
      written = []
      writtenBytes = 0
    }
    if !isWriting, !queue.isEmpty, written.count < limits.aheadBatches, writtenBytes < limits.aheadBytes {
      isWriting = true
      effects.append(.write(takeBatch()))
    }
    return effects
  }

  /// The disk failed: takes out everything that waits, for its owner to refuse. What is on its way still ends.
  package mutating func drain() -> (queued: [Operation], written: [Batch]) {
    defer {
      queue = []
      written = []
      writtenBytes = 0
    }
    return (queue, written)
  }

  private mutating func takeBatch() -> [Operation] {
    var count = 0
    var total = 0
    for operation in queue.prefix(limits.batchOperations) {
      total += bytes(operation)
      if count > 0, total > limits.batchBytes { break }
      count += 1
    }
    defer { queue.removeFirst(count) }
    return Array(queue.prefix(count))
  }
}
