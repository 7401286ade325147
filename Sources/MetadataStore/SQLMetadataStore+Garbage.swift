package import BlockModel
package import ClusterLogic

/// Garbage collection. What it decides about blocks excludes every change of a namespace meanwhile.
extension SQLMetadataStore {
  package func garbageRecord() async throws(MetadataError) -> GarbageRecord { try await readers.read { try $0.garbageRecord() } }

  package func garbageRuns(limit: Int) async throws(MetadataError) -> [GarbageRun] {
    try await readers.read { try $0.garbageRuns(limit: limit) }
  }

  package func beginGarbageRun(_ request: GarbageRunRequest) async throws(MetadataError) -> GarbageRun {
    try await writer.write(.cluster) { try $0.beginGarbageRun(request) }
  }

  package func adoptGarbageRun(generation: UInt64) async throws(MetadataError) -> GarbageRun? {
    try await writer.write(.cluster, repeatable: true) { try $0.adoptGarbageRun(generation: generation) }
  }

  package func saveGarbageRun(_ run: GarbageRun, generation: UInt64) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try $0.saveGarbageRun(run, generation: generation) }
  }

  package func garbageVerdicts(on blocks: [BlockID], below epoch: UInt64) async throws(MetadataError) -> [GarbageVerdict] {
    try await readers.read { try $0.garbageVerdicts(on: blocks, below: epoch) }
  }

  package func authorizeDeletes(of blocks: [BlockID], run: UInt64, generation: UInt64) async throws(MetadataError) -> [BlockID] {
    try await writer.write(.cluster) { try $0.authorizeDeletes(of: blocks, run: run, generation: generation) }
  }

  package func forgetGarbage(run: UInt64, generation: UInt64, limit: Int) async throws(MetadataError) -> Int {
    try await writer.write(.cluster) { try $0.forgetGarbage(run: run, generation: generation, limit: limit) }
  }

  package func holdGarbage(_ reason: String?) async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try $0.holdGarbage(reason) }
  }

  package func finishGarbageUndo() async throws(MetadataError) {
    try await writer.write(.cluster, repeatable: true) { try Settings.set($0.db, Settings.undoDue, 0) }
  }

  package func unaccountedDeletes(_ deletes: [(block: BlockID, epoch: UInt64)]) async throws(MetadataError) -> [BlockID] {
    try await readers.read { try $0.unaccountedDeletes(deletes) }
  }
}
