internal import BlockModel
internal import Platform
internal import PostgreSQLDatabase
internal import Synchronization

/// A few threads that read from the primary, each transaction on one unchanging state.
///
/// What must hold: what was acknowledged before is seen, so nothing is read from a standby.
final class PostgreSQLReader: MetadataReader {
  private let options: PostgreSQLOptions
  private let idle = Mutex<[PostgreSQLConnection]>([])
  private let threads: BlockingPool

  init(_ options: PostgreSQLOptions, count: Int) {
    self.options = options
    threads = BlockingPool(name: "metadata-reader", threads: count, queueLimit: 4096)
  }

  func read<T: Sendable>(_ work: @escaping @Sendable (ReadTransaction) throws -> T) async throws(MetadataError) -> T {
    do {
      // Time in line counts too: while the database is away nobody waits for all who came before.
      let start = SystemTime().monotonic()
      return try await threads.run { try self.readNow(from: start, work) }
    } catch {
      throw MetadataError(mapping: error)
    }
  }

  private func readNow<T>(from start: MonotonicTime, _ work: (ReadTransaction) throws -> T) throws -> T {
    var attempts = PostgreSQLAttempts(from: start, patience: options.patience)
    while true {
      do {
        let connection = try idle.withLock { $0.popLast() } ?? PostgreSQLConnection(options)
        // A connection that failed is not put back: the next one finds the primary anew.
        defer { if connection.isUsable { idle.withLock { $0.append(connection) } } }
        defer { connection.endSnapshot() }
        try connection.beginSnapshot()
        return try work(ReadTransaction(db: connection))
      } catch {
        switch attempts.next(after: error, at: SystemTime().monotonic(), chance: .random(in: 0...1)) {
        case .giveUp: throw error
        case .again(let pause): WorkerThread.sleep(for: pause)
        }
      }
    }
  }

  func shutDown() {
    threads.shutDown()
    idle.withLock { $0 = [] }
  }
}
