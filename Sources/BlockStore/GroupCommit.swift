/// When to write and when to sync: the two stages of the commit pipeline, as a value without I/O.
///
/// Operations queue. While nothing is being written, all that queued is written as one batch; while nothing is being synced, all
/// batches that were written are synced as one. So an operation that comes alone is written and synced at once, and under load the
/// next batches form and are written while the disk is busy with a sync.
///
/// Operations of the background (compaction, the end of a quarantine) are never in front of others: they are written when nothing else
/// is queued, and after so many batches that passed them some ride at the end of one, so that they do not wait for ever.
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
    /// Bytes of the background in one batch: what an operation that comes next may have to wait for.
    package var backgroundBytes = 1 << 20
    /// Batches that pass the background before some of it goes along.
    package var backgroundPatience = 16
    package init() {}
  }

  private let limits: Limits
  private let bytes: (Operation) -> Int
  private var queue: [Operation] = []
  private var background: [Operation] = []
  private var passed = 0
  /// How many of the batch that is being written are of the background; they are its last.
  private var behind = 0
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
  package var isIdle: Bool { queue.isEmpty && background.isEmpty && written.isEmpty && !isWriting && !isSyncing }

  /// Takes an operation; false when too many wait.
  package mutating func submit(_ operation: Operation) -> Bool { submit([operation]) }

  /// Takes operations, which go next to each other; false, and none of them, when too many wait.
  package mutating func submit(_ operations: [Operation]) -> Bool {
    guard queue.count + operations.count <= limits.queued else { return false }
    queue += operations
    return true
  }

  /// Takes operations that give way to others; false, and none of them, when too many wait.
  package mutating func submitBehind(_ operations: [Operation]) -> Bool {
    guard background.count + operations.count <= limits.queued else { return false }
    background += operations
    return true
  }

  /// A write is done. `left` are operations that did not fit into its batch: they are first in the next.
  package mutating func wrote(_ batch: Batch, bytes: Int, left: [Operation]) {
    precondition(isWriting, "a write ends once")
    isWriting = false
    written.append(batch)
    writtenBytes += bytes
    let leftBehind = min(left.count, behind)
    queue.insert(contentsOf: left.dropLast(leftBehind), at: 0)
    background.insert(contentsOf: left.suffix(leftBehind), at: 0)
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
    if !isWriting, !queue.isEmpty || !background.isEmpty, written.count < limits.aheadBatches, writtenBytes < limits.aheadBytes {
      isWriting = true
      effects.append(.write(takeBatch()))
    }
    return effects
  }

  /// The disk failed: takes out everything that waits, for its owner to refuse. What is on its way still ends.
  package mutating func drain() -> (queued: [Operation], written: [Batch]) {
    defer {
      queue = []
      background = []
      written = []
      writtenBytes = 0
    }
    return (queue + background, written)
  }

  private mutating func takeBatch() -> [Operation] {
    var batch = GroupCommit.take(limits.batchOperations, limits.batchBytes, from: &queue, bytes)
    passed = batch.isEmpty || background.isEmpty ? 0 : passed + 1
    behind = 0
    guard batch.isEmpty || passed > limits.backgroundPatience else { return batch }
    passed = 0
    let background = GroupCommit.take(limits.batchOperations, limits.backgroundBytes, from: &background, bytes)
    behind = background.count
    batch += background
    return batch
  }

  /// Takes the first operations of a queue, as many as go into a batch, and one at least.
  private static func take(_ count: Int, _ byteLimit: Int, from queue: inout [Operation], _ bytes: (Operation) -> Int) -> [Operation] {
    var taken = 0
    var total = 0
    for operation in queue.prefix(count) {
      total += bytes(operation)
      if taken > 0, total > byteLimit { break }
      taken += 1
    }
    defer { queue.removeFirst(taken) }
    return Array(queue.prefix(taken))
  }
}
