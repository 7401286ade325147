import BlockModel
import CommandLineKit
import ControlClient
import Foundation
import HTTPTransport
import Platform
import ServiceAPI
import Synchronization

/// The coordinator that `CAIRN_COORDINATOR` names, asked with the token in `CAIRN_OPERATOR_TOKEN`.
struct CoordinatorConnection: Sendable {
  /// How long a wait puts up with a coordinator that is away: it may be starting again.
  private static let patience = Duration.seconds(60)
  private static let pollInterval = Duration.milliseconds(500)

  private let control: RemoteControlPlane
  private let http: HTTPClient
  private let urls: [String]
  private let token: String
  private let requestID: String

  /// - Throws: `CommandFailure` that says which variable is missing or wrong.
  init() throws {
    let environment = ProcessInfo.processInfo.environment
    func required(_ name: String, _ what: String) throws -> String {
      guard let value = environment[name], !value.isEmpty else {
        throw CommandFailure(.usage, "\(name) is not set: give it \(what), or source the env file of a local cluster.")
      }
      return value
    }
    let urls = try required("CAIRN_COORDINATOR", "the coordinator's URL").split(separator: ",").map { text in
      var url = text.trimmingCharacters(in: .whitespaces)
      while url.hasSuffix("/") { url.removeLast() }
      return url
    }
    guard !urls.isEmpty, urls.allSatisfy({ $0.hasPrefix("http://") || $0.hasPrefix("https://") }) else {
      throw CommandFailure(
        .usage, "CAIRN_COORDINATOR has to be one or more URLs that begin with https:// or http://, with commas between them.")
    }
    if let url = urls.first(where: { !PlainHTTP.mayReach($0) }) {
      throw CommandFailure(
        .usage, "\(url) would carry the operator's token in the clear: plain HTTP is spoken on loopback only, so use https://.")
    }
    let token = try required("CAIRN_OPERATOR_TOKEN", "a token from “cairnctl issue operator”")
    var configuration = HTTPClient.Configuration()
    if let path = environment["CAIRN_CA_FILE"], !path.isEmpty {
      guard let pem = try AtomicFile.read(path, limit: 1 << 20) else {
        throw CommandFailure(.usage, "CAIRN_CA_FILE names \(path), which is not there.")
      }
      configuration.caPEM = pem
    }
    http = HTTPClient(configuration: configuration)
    control = RemoteControlPlane(http: http, urls: urls, token: token, advice: CoordinatorConnection.advice(urls))
    self.urls = urls
    self.token = token
    requestID = "cairnctl-\(UploadID.random().hex)"
  }

  private static func advice(_ urls: [String]) -> String {
    "Is it running, and is its address right? CAIRN_COORDINATOR says \(urls.joined(separator: ","))."
  }

  func perform<Operation: ControlOperation>(_ operation: Operation) async throws -> Operation.Response {
    try await control.perform(operation, context: ControlContext(requestID: requestID))
  }

  /// Fetches a document of any length into a file; answers its bytes.
  func download(_ path: String, to file: File) async throws -> Int64 {
    let progress = Download()
    let request = HTTPClientRequest(
      method: .get, url: urls[0] + path, headers: ["Authorization": "Bearer \(token)", "X-Request-Id": requestID],
      deadline: .seconds(24 * 3600), stallTimeout: .seconds(600))
    do throws(HTTPClientError) {
      try await http.stream(request, onHead: progress.take, onBytes: { progress.take($0, into: file) })
    } catch {
      if let failure = progress.state.withLock({ $0.failure }) { throw failure }
      throw CommandFailure(.unavailable, "The coordinator cannot be reached: \(error.message). \(CoordinatorConnection.advice(urls))")
    }
    let state = progress.state.withLock { $0 }
    if let failure = state.failure { throw failure }
    guard state.status == 200 else {
      let document = try? JSONCoding.decode(ProblemDocument.self, from: state.problem)
      throw CommandFailure(state.status == 503 ? .unavailable : .failed, document?.detail ?? "The coordinator answered \(state.status).")
    }
    return state.bytes
  }

  private final class Download: Sendable {
    struct State: Sendable {
      var status = 0
      var bytes: Int64 = 0
      var problem: [UInt8] = []
      var failure: FileError?
    }
    let state = Mutex(State())

    @Sendable func take(_ head: HTTPClientResponse) { state.withLock { $0.status = head.status } }

    /// False when the file takes no more.
    @Sendable func take(_ bytes: UnsafeRawBufferPointer, into file: File) -> Bool {
      state.withLock { state in
        guard state.status == 200 else {
          state.problem += bytes.prefix(max(0, 65_536 - state.problem.count))
          return true
        }
        do throws(FileError) { try file.pwrite(bytes, at: state.bytes) } catch {
          state.failure = error
          return false
        }
        state.bytes += Int64(bytes.count)
        return true
      }
    }
  }

  /// Asks again and again until `isOver`, showing each answer; a coordinator that is away for a moment ends nothing.
  func wait<Operation: ControlOperation>(
    for operation: Operation, show: (Operation.Response) -> Void, until isOver: (Operation.Response) -> Bool
  ) async throws -> Operation.Response {
    let clock = ContinuousClock()
    var awaySince: ContinuousClock.Instant?
    while true {
      do {
        let answer = try await perform(operation)
        awaySince = nil
        show(answer)
        if isOver(answer) { return answer }
      } catch let problem as Problem where problem.kind == .unavailable || problem.kind == .busy {
        let since = awaySince ?? clock.now
        awaySince = since
        if clock.now - since > CoordinatorConnection.patience { throw problem }
      }
      try await Task.sleep(for: CoordinatorConnection.pollInterval)
    }
  }
}

extension CommandFailure {
  /// A coordinator's problem as an exit status and its sentence.
  init?(_ error: any Error) {
    switch error {
    case let problem as Problem: self.init(ExitStatus(problem.kind), problem.detail)
    case let error as FileError: self.init(.failed, error.description)
    case let error as JSONError: self.init(.failed, error.message)
    default: return nil
    }
  }
}

extension ExitStatus {
  init(_ kind: Problem.Kind) {
    switch kind {
    case .conflict, .alreadyExists, .notEmpty, .staleLayout, .fenced, .preconditionFailed, .preconditionRequired: self = .conflict
    case .notFound, .uploadNotFound: self = .notFound
    case .unauthenticated, .forbidden: self = .notAllowed
    case .quota, .full: self = .noSpace
    case .busy, .unavailable, .tooManyRequests: self = .unavailable
    case .malformed, .invalidName, .invalidCursor: self = .usage
    default: self = .failed
    }
  }
}
