internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// Why something did not happen, and what to do about it.
public struct CairnError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What went wrong, for programs.
  public enum Kind: String, Sendable, CaseIterable {
    /// A path, name, option or request that cannot be right.
    case invalidArgument
    /// No token, or one that has expired or was revoked: log in.
    case notLoggedIn
    case notAllowed
    case notFound
    /// Somebody else's change came first, or something is in the way.
    case conflict
    /// The account's quota, or the cluster's space, is used up.
    case quota
    /// The gateway or the nodes cannot be reached or are busy: try again.
    case unavailable
    /// The local file changed while it was read.
    case sourceChanged
    /// Bytes that are not what their hash says, from every copy that was asked.
    case corrupted
    /// An encrypted folder, and no key of it on this device.
    case noKey
    /// Somebody's public key, or a folder's key, is not the one that this device knows.
    case keyChanged
    /// Something would pass the border of an encrypted folder, or an answer about one contradicts what this device knows of it.
    case encryption
    /// The local file system refused.
    case localFile
    case cancelled
    /// An answer that this version does not understand.
    case unexpected
  }

  /// What went wrong, for programs.
  public var kind: Kind
  /// One sentence: what happened and what to do.
  public var message: String
  /// The HTTP status, when an answer said so.
  public var status: Int?
  /// After this long, trying again makes sense.
  public var retryAfter: Duration?
  /// With `conflict`: what is there now.
  public var current: Entry?

  /// Makes one from its parts.
  public init(_ kind: Kind, _ message: String, status: Int? = nil, retryAfter: Duration? = nil, current: Entry? = nil) {
    self.kind = kind
    self.message = message
    self.status = status
    self.retryAfter = retryAfter
    self.current = current
  }

  /// The message.
  public var description: String { message }
}

extension CairnError {
  /// From whatever a part of this module threw.
  init(_ error: any Error) {
    switch error {
    case let error as CairnError: self = error
    case let error as Problem: self.init(problem: error)
    case let error as HTTPClientError: self.init(transport: error)
    case let error as FileError: self.init(.localFile, Self.sentence(for: error))
    case let error as RemotePath.Invalid: self.init(.invalidArgument, "The path is not valid: \(error.description).")
    case let error as JSONError:
      self.init(.unexpected, "The gateway sent a document that this version does not understand: \(error.message)")
    case is CancellationError: self.init(.cancelled, "The operation was cancelled; start it again to go on.")
    case is BufferPool.Exhausted:
      self.init(.unavailable, "No transfer made progress for a long time; try again, perhaps with less in parallel.")
    default: self.init(.unexpected, "\(error)")
    }
  }

  init(problem: Problem) {
    self.init(
      Self.kind(of: problem), problem.detail, status: problem.status, retryAfter: problem.retryAfter.map { .seconds($0) },
      current: problem.current.map(Entry.init))
  }

  init(transport error: HTTPClientError) {
    switch error.code {
    case .cancelled: self.init(.cancelled, "The operation was cancelled; start it again to go on.")
    case .invalidURL:
      self.init(.invalidArgument, "The gateway's address is not a URL; set CAIRN_GATEWAY to one such as http://127.0.0.1:8080.")
    case .plain:
      self.init(.invalidArgument, "The cluster named an address off this machine without TLS, and nothing is sent there in the clear.")
    case .tls: self.init(.unavailable, "The secure connection failed (\(error.message)); check CAIRN_CA_FILE.")
    default: self.init(.unavailable, "The gateway cannot be reached (\(error.message)); check CAIRN_GATEWAY and try again.")
    }
  }

  private static func kind(of problem: Problem) -> Kind {
    switch problem.kind {
    case .unauthenticated: .notLoggedIn
    case .forbidden, .quarantined: .notAllowed
    case .notFound, .uploadNotFound: .notFound
    case .conflict, .alreadyExists, .notEmpty, .wrongKindOfEntry, .preconditionFailed, .keyReused, .staleLayout, .fenced: .conflict
    case .quota, .full: .quota
    case .busy, .unavailable, .notScanned, .tooManyRequests: .unavailable
    case .malformed, .invalidName, .invalidCursor, .tooLarge, .rangeNotSatisfiable: .invalidArgument
    case .hashMismatch: .corrupted
    case .encryptionBoundary: .encryption
    case .methodNotAllowed, .preconditionRequired, .missingBlocks, .invalidReceipt, .internalError: .unexpected
    }
  }

  private static func sentence(for error: FileError) -> String {
    if error.isNotFound { return "\(error.path) does not exist; check the path." }
    if error.isPermissionDenied { return "\(error.path) may not be used (\(error.operation)); check its permissions." }
    if error.isOutOfSpace { return "The disk that holds \(error.path) is full; make room and start again, it goes on where it stopped." }
    return error.description
  }
}
