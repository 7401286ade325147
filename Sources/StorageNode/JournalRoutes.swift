internal import BlockModel
internal import ClusterLogic
internal import HTTPTransport
internal import Journal
internal import Platform
internal import ServiceAPI

/// Answers what the coordinator asks of this node's part of the metadata's journal: `POST /v1/journal/{sha256 of the body}`.
///
/// What must hold: the body's hash is the signed name in the URL, so a signature covers the whole message; what is answered with success is
/// durable. The node has no key to what it keeps.
struct JournalRoutes: Sendable {
  static let path = "/v1/journal/{hash}"

  let admission: Admission
  /// Nil on a node without a place for it.
  let store: JournalStore?
  let knowledge: ClusterKnowledge
  /// Its calls wait for the disk, one after the other.
  let pool: BlockingPool
  let log: Logger

  func handle(_ head: HTTPRequestHead, _ body: any HTTPRequestBody) async -> HTTPResponse {
    do throws(Problem) {
      let capability = try admission.capability(block: head.parameters["hash"] ?? "", query: head.query, operations: [.control])
      try Admission.check(head.peer, for: capability.operation)
      let bytes: [UInt8]
      do throws(HTTPBodyError) { bytes = try await body.collect(limit: min(capability.size, JournalRequest.bodyLimit)) } catch {
        throw Problem(error)
      }
      let hash = bytes.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
      guard bytes.count == capability.size, hash == capability.block else {
        throw Problem(.hashMismatch, "The body is not the message that this URL was signed for.")
      }
      do { return try await perform(try JournalRequest(bytes)) } catch { throw JournalRoutes.problem(error) }
    } catch { return HTTPResponse(error) }
  }

  private func perform(_ request: JournalRequest) async throws -> HTTPResponse {
    guard let store else { throw Problem(.unavailable, "This node keeps no journal.", retryAfter: 5) }
    switch request {
    case .status: return HTTPResponse(status: 200, json: store.status())
    case .view:
      guard let view = knowledge.view else { throw Problem(.unavailable, "This node knows nothing of the cluster yet.", retryAfter: 1) }
      return HTTPResponse(status: 200, json: view)
    case .read(let file, let offset, let limit):
      let bytes = try await pool.run { try store.read(file, offset: offset, limit: limit) }
      return HTTPResponse(status: 200, headers: ["Content-Type": "application/octet-stream"], body: .bytes(bytes))
    case .promise(let term):
      try await pool.run { try store.promise(term) }
      log.info("the metadata's journal has a new writer", ["generation": .string(String(term.generation))])
    case .append(let term, let records): try await pool.run { try store.append(records, term: term) }
    case .snapshot(let term, let position, let offset, let bytes, let isLast):
      try await pool.run { try store.addSnapshot(position, offset: offset, bytes: bytes, isLast: isLast, term: term) }
    case .cut(let term, let through): try await pool.run { try store.cut(through: through, term: term) }
    }
    return HTTPResponse(status: 200, json: store.status(withFiles: false))
  }

  private static func problem(_ error: any Error) -> Problem {
    guard let error = error as? JournalError else {
      return error as? Problem ?? Problem(.busy, "This node cannot keep the journal now: \(error)", retryAfter: 1)
    }
    switch error.code {
    case .fenced: return Problem(.fenced, error.message)
    case .full: return Problem(.full, error.message)
    case .malformed: return Problem(.malformed, error.message)
    case .notFound: return Problem(.notFound, error.message)
    case .io, .unreadable: return Problem(.unavailable, error.message, retryAfter: 5)
    }
  }
}
