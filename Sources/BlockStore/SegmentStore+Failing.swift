internal import BlockModel
internal import Platform
internal import Synchronization

/// The first write or sync that fails is the last that is acknowledged: what is on its way and what waits is refused.
extension SegmentStore {
  func failWriting(_ operations: [StoreOperation], _ error: FileError) {
    let reason = "A write failed, so nothing more is acknowledged: \(error)"
    var batch = state.withLock { state in
      state.failure = state.failure ?? reason
      return state.ledger.plan([], index).batch
    }
    batch.answers = operations.map { ($0.answer, .failure(BlockStoreError(.fenced, reason))) }
    // An empty batch keeps the pipeline's order; the sync stage sees the failure and refuses it.
    state.withLock { $0.commit.wrote(batch, bytes: 0, left: []) }
  }

  func failSyncing(_ batches: [CommitBatch], _ reason: String) {
    let failure = state.withLock { state in
      state.failure = state.failure ?? reason
      state.commit.synced()
      return state.failure ?? reason
    }
    refuse(batches, BlockStoreError(.fenced, failure))
    refuseIfFailed()
    advance()
  }

  /// After a failure: everything that waits is refused.
  func refuseIfFailed() {
    let (queued, written, failure) = state.withLock { state in
      guard let failure = state.failure else { return ([StoreOperation](), [CommitBatch](), "") }
      let (queued, written) = state.commit.drain()
      return (queued, written, failure)
    }
    let error = BlockStoreError(.fenced, failure)
    for operation in queued { operation.answer(.failure(error)) }
    refuse(written, error)
  }

  private func refuse(_ batches: [CommitBatch], _ error: BlockStoreError) {
    for batch in batches { for (answer, _) in batch.answers { answer(.failure(error)) } }
  }
}
