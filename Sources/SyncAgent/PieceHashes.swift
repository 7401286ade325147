package import BlockModel
package import ClusterLogic
internal import Platform
internal import Synchronization

/// The SHA-256 of each 4 MiB of a file. Pieces do not depend on each other, so a large file has several threads.
enum PieceHashes {
  /// A smaller file is hashed before a second thread has begun.
  private static let piecesAThread = 4
  private static let mostThreads = 4

  private struct Found {
    var hashes: [BlockID?]
    var failure: FileError?
  }

  /// Blocks.
  /// - Returns: nil when the file is shorter than `size`.
  static func of(_ file: File, size: Int64) throws(FileError) -> [BlockID]? {
    let piece = Int64(Limits.blockBytes)
    let count = Int((size + piece - 1) / piece)
    let found = Mutex(Found(hashes: Array(repeating: nil, count: count)))
    let next = Atomic(0)
    let work: @Sendable () -> Void = {
      let buffer = IOBuffer(capacity: Int(min(max(size, 1), piece)))
      while true {
        let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
        guard index < count else { return }
        let offset = Int64(index) * piece
        let wanted = Int(min(piece, size - offset))
        do throws(FileError) {
          let read = try file.pread(into: buffer.mutableBytes(0..<wanted), at: offset)
          guard read == wanted else { return next.store(count, ordering: .relaxed) }
          let hash = BlockID(words: SHA256Hasher.hash(buffer.bytes(0..<read)))
          found.withLock { $0.hashes[index] = hash }
        } catch {
          next.store(count, ordering: .relaxed)
          return found.withLock { $0.failure = error }
        }
      }
    }
    let threads = min(Machine.processorCount, mostThreads, count / piecesAThread)
    if threads > 1 {
      for thread in (0..<threads).map({ WorkerThread.start(name: "sync-hash-\($0)", work) }) { thread.join() }
    } else {
      work()
    }
    let (hashes, failure) = found.withLock { ($0.hashes, $0.failure) }
    if let failure { throw failure }
    let whole = hashes.compactMap { $0 }
    return whole.count == count ? whole : nil
  }
}

/// What the pieces of large files hashed to, from when they were hashed until they are uploaded. A help that may forget.
package final class HashedPieces: Sendable {
  /// Of 64 GiB: with their table half a mebibyte.
  private static let mostPieces = 16_384
  private static let fewestPieces = 2

  private struct State {
    var pieces: [LocalIdentity: [BlockID]] = [:]
    /// In the order in which they came.
    var order: [LocalIdentity] = []
    var count = 0

    mutating func remove(_ identity: LocalIdentity) {
      guard let gone = pieces.removeValue(forKey: identity) else { return }
      count -= gone.count
      order.removeAll { $0 == identity }
    }
  }

  private let state = Mutex(State())

  package init() {}

  package func keep(_ pieces: [BlockID], of identity: LocalIdentity) {
    guard pieces.count >= HashedPieces.fewestPieces, pieces.count <= HashedPieces.mostPieces else { return }
    state.withLock { state in
      state.remove(identity)
      while state.count + pieces.count > HashedPieces.mostPieces, let oldest = state.order.first { state.remove(oldest) }
      state.pieces[identity] = pieces
      state.order.append(identity)
      state.count += pieces.count
    }
  }

  package func of(_ identity: LocalIdentity) -> [BlockID]? { state.withLock { $0.pieces[identity] } }

  /// They are of no more use.
  package func forget(_ identity: LocalIdentity) { state.withLock { $0.remove(identity) } }
}
