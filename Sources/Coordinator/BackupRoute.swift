internal import BlockModel
package import Credentials
package import HTTPTransport
package import MetadataStore
package import Platform
internal import ServiceAPI
internal import Synchronization

/// `GET /v1/backup`: a copy of the metadata as it was at one moment, for an operator, while users go on.
///
/// What must hold: the copy is one state of the database; nothing of it stays on the coordinator's disk when the answer has ended, however.
/// One at a time, because each takes as much space as the database.
package final class BackupRoute: Sendable {
  private static let pieceBytes = 1 << 20

  private let store: SQLMetadataStore
  private let verifier: ServiceTokenVerifier
  private let folder: String
  private let log: Logger
  private let pool = BlockingPool(name: "backup", threads: 1, queueLimit: 16)
  private let isBusy = Mutex(false)

  /// - Parameter folder: where the copy lies while it is sent.
  package init(store: SQLMetadataStore, verifier: ServiceTokenVerifier, folder: String, logger: Logger) {
    self.store = store
    self.verifier = verifier
    self.folder = folder
    log = logger.component("backup")
  }

  package func add(to router: inout HTTPRouter) {
    router.add(.get, "/v1/backup") { head, _ in
      do throws(Problem) { return try await self.answer(head) } catch { return BackupRoute.answer(error, head.requestID) }
    }
  }

  private func answer(_ head: HTTPRequestHead) async throws(Problem) -> HTTPResponse {
    guard let header = head.headers["Authorization"], header.lowercased().hasPrefix("bearer "),
      case .op(let name) = verifier.verify(String(header.dropFirst("bearer ".count)))
    else { throw Problem(.unauthenticated, "This needs an operator's token.") }
    let mayBegin = isBusy.withLock { isBusy in
      defer { isBusy = true }
      return !isBusy
    }
    guard mayBegin else { throw Problem(.busy, "Another backup is being made; try again when it has ended.", retryAfter: 10) }
    defer { isBusy.withLock { $0 = false } }
    let path = folder + "/backup-copy"
    do throws(MetadataError) { try await store.backUp(to: path) } catch { throw error.problem ?? Problem(.unavailable, error.message) }
    do {
      let (file, size) = try await pool.run {
        let file = try File(path, [.read])
        // Its name goes at once: the space is given back when the last byte was sent, or this process ends.
        try Directory.remove(path)
        return (file, try file.size())
      }
      log.info("a backup is being sent", ["operator": .string(name), "bytes": .int(Int(size))])
      let (position, pool) = (Position(), pool)
      return HTTPResponse(
        status: 200, headers: ["Content-Type": "application/vnd.sqlite3"],
        body: .stream(length: Int(size)) {
          let offset = position.offset.withLock { $0 }
          let bytes = try await pool.run { try BackupRoute.piece(of: file, at: offset) }
          position.offset.withLock { $0 = offset + Int64(bytes.count) }
          return bytes.isEmpty ? nil : .bytes(bytes)
        })
    } catch { throw Problem(.unavailable, "The backup cannot be read: \(error)", retryAfter: 5) }
  }

  private final class Position: Sendable {
    let offset = Mutex<Int64>(0)
  }

  private static func piece(of file: File, at offset: Int64) throws -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: pieceBytes)
    let count = try bytes.withUnsafeMutableBytes { try file.pread(into: $0, at: offset) }
    bytes.removeSubrange(count...)
    return bytes
  }

  private static func answer(_ problem: Problem, _ requestID: String) -> HTTPResponse {
    let body = (try? JSONCoding.encode(ProblemDocument(problem, instance: requestID))) ?? []
    return HTTPResponse(status: problem.status, headers: ["Content-Type": ProblemDocument.contentType], body: .bytes(body))
  }
}
