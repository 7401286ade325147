package import BlockModel

/// What went wrong, as a problem document (RFC 9457) carries it from the coordinator through the gateway to the client.
package struct Problem: Error, Sendable, Codable, Equatable, CustomStringConvertible {
  /// Stable and documented in `docs/protocol.md`; written as `urn:cairn:problem:` and the raw value.
  package enum Kind: String, Sendable, Codable, CaseIterable {
    case malformed, invalidName = "invalid-name", invalidCursor = "invalid-cursor"
    case unauthenticated, forbidden, quarantined
    case notFound = "not-found", uploadNotFound = "upload-not-found"
    case methodNotAllowed = "method-not-allowed"
    case conflict, alreadyExists = "already-exists", notEmpty = "not-empty", wrongKindOfEntry = "wrong-kind-of-entry"
    case staleLayout = "stale-layout", fenced
    case preconditionFailed = "precondition-failed", preconditionRequired = "precondition-required"
    case tooLarge = "too-large", rangeNotSatisfiable = "range-not-satisfiable"
    case missingBlocks = "missing-blocks", hashMismatch = "hash-mismatch", invalidReceipt = "invalid-receipt"
    case keyReused = "idempotency-key-reused"
    case encryptionBoundary = "encryption-boundary"
    case tooManyRequests = "too-many-requests"
    case quota, full
    case busy, unavailable, notScanned = "not-scanned"
    case internalError = "internal"
  }

  package var kind: Kind
  /// One sentence: what happened and what to do.
  package var detail: String
  /// With `conflict`: the version that is there now.
  package var current: FileEntry?
  /// With `conflict`: the version that the request was based on.
  package var base: VersionInfo?
  /// With `missing-blocks`: the ids, at most 1,000.
  package var missing: [BlockID]?
  /// Seconds after which trying again makes sense.
  package var retryAfter: Int?

  package init(
    _ kind: Kind, _ detail: String, current: FileEntry? = nil, base: VersionInfo? = nil, missing: [BlockID]? = nil, retryAfter: Int? = nil
  ) {
    self.kind = kind
    self.detail = detail
    self.current = current
    self.base = base
    self.missing = missing
    self.retryAfter = retryAfter
  }

  package var description: String { detail }

  package var status: Int {
    switch kind {
    case .malformed, .invalidName, .invalidCursor: 400
    case .unauthenticated: 401
    case .forbidden, .quarantined: 403
    case .notFound, .uploadNotFound: 404
    case .methodNotAllowed: 405
    case .conflict, .alreadyExists, .notEmpty, .wrongKindOfEntry, .staleLayout, .fenced: 409
    case .preconditionFailed: 412
    case .tooLarge: 413
    case .rangeNotSatisfiable: 416
    case .missingBlocks, .hashMismatch, .invalidReceipt, .keyReused, .encryptionBoundary: 422
    case .preconditionRequired: 428
    case .tooManyRequests: 429
    case .internalError: 500
    case .busy, .unavailable, .notScanned: 503
    case .quota, .full: 507
    }
  }

  package var type: String { "urn:cairn:problem:\(kind.rawValue)" }

  /// A short name of the kind, the same for every occurrence.
  package var title: String { kind.rawValue.split(separator: "-").joined(separator: " ").capitalizedFirst }
}

extension String {
  fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
