internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Uploads of files whose pieces somebody has hashed already: only what the cluster lacks is read once more.
extension FileUpload {
  /// - Parameters:
  ///   - pieces: the SHA-256 of each 4 MiB of the source.
  ///   - former: the content hash of the version that this one takes the place of.
  /// - Returns: nil where the file has to be read from its start to its end.
  func knownBlocks(
    _ pieces: [BlockID]?, of source: SourceFile, _ chunking: Chunking, inPlaceOf former: String?
  ) async throws -> KnownBlocks? {
    guard let pieces, pieces.count == source.blockCount else { return nil }
    if chunking == .fixed { return KnownBlocks(pieces: pieces, size: source.identity.size) }
    guard let former, let records = journals?.cuts, source.identity.size >= CutRecords.smallestFile else { return nil }
    let record = try await resources.threads.run { records.record(of: former) }
    return record.map { KnownBlocks(pieces: pieces, size: source.identity.size, former: $0) }
  }

  /// Announces the blocks that are known, and cuts, hashes and announces what is between them.
  ///
  /// - Parameters:
  ///   - first: the number of the block that begins at `start`.
  ///   - start: bytes; all before it is announced.
  func sendUnknown(
    _ known: KnownBlocks, from first: Int, at start: Int64, of source: SourceFile, _ session: UploadSession,
    _ group: inout ThrowingTaskGroup<Void, any Error>
  ) async throws {
    var tasks = BoundedGroup(limit: Limits.blocksPerRequest)
    var cutter: BlockCutter?
    var (index, offset) = (first, start)
    while offset < source.identity.size {
      let place = index
      let size: Int
      if let ref = known.block(at: offset) {
        cutter = nil
        size = ref.size
        let piece = FilePiece(source: source, offset: offset, size: size)
        try await tasks.add(to: &group) { try await announceKnown(place, ref, piece, session) }
      } else {
        let cutting = cutter ?? BlockCutter(.standard, from: source.file, at: offset, countsPieces: false)
        cutter = cutting
        let (lease, count) = try await cutNext(cutting)
        guard count > 0 else { throw source.changed() }
        size = count
        let piece = FilePiece(source: source, offset: offset, size: size)
        try await tasks.add(to: &group) { try await hashAndSend(place, lease, again: piece, session, nil) { _ in count } }
      }
      index += 1
      offset += Int64(size)
    }
    guard offset == source.identity.size else { throw source.changed() }
  }

  private func announceKnown(_ index: Int, _ ref: BlockRef, _ piece: FilePiece, _ session: UploadSession) async throws {
    do { try await announceAndSend(index, ref, nil, again: piece, session, nil) } catch {
      // Those after this one wait for it to be announced.
      await session.fail(error)
      throw error
    }
  }

  /// For the next version of the file.
  func remember(_ pieces: [BlockID], _ blocks: [BlockRef], inPlaceOf former: String?) async {
    guard let records = journals?.cuts, let record = CutRecord(pieces: pieces, blocks: blocks), record.size >= CutRecords.smallestFile
    else { return }
    try? await resources.threads.run { records.keep(record, inPlaceOf: former) }
  }
}
