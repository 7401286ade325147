internal import Platform
internal import SQLSession
internal import SQLiteDatabase
internal import Synchronization

/// A few threads that read, each with a connection of its own. In WAL mode they neither wait for the writer nor hold it up.
final class ReaderPool: MetadataReader {
  private let idle: Mutex<[SQLiteConnection]>
  private let threads: BlockingPool

  init(_ connections: [SQLiteConnection]) {
    idle = Mutex(connections)
    threads = BlockingPool(name: "metadata-reader", threads: connections.count, queueLimit: 4096)
  }

  func read<T: Sendable>(_ work: @escaping @Sendable (ReadTransaction) throws -> T) async throws(MetadataError) -> T {
    do {
      return try await threads.run {
        // As many connections as threads, and each thread takes one at a time.
        guard let connection = self.idle.withLock({ $0.popLast() }) else { preconditionFailure("a thread without a connection") }
        defer { self.idle.withLock { $0.append(connection) } }
        return try connection.read { try work(ReadTransaction(db: SQLiteSession(connection))) }
      }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  func shutDown() {
    threads.shutDown()
    idle.withLock { $0 = [] }
  }
}
