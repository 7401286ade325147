package import Platform

/// An HTTP method; what this transport does not know is kept as sent, so that it can be answered 405.
package struct HTTPMethod: RawRepresentable, Hashable, Sendable {
  package let rawValue: String
  package init(rawValue: String) { self.rawValue = rawValue }
  package static let get = HTTPMethod(rawValue: "GET")
  package static let head = HTTPMethod(rawValue: "HEAD")
  package static let put = HTTPMethod(rawValue: "PUT")
  package static let post = HTTPMethod(rawValue: "POST")
  package static let patch = HTTPMethod(rawValue: "PATCH")
  package static let delete = HTTPMethod(rawValue: "DELETE")
  package static let options = HTTPMethod(rawValue: "OPTIONS")
}

/// Header fields in the order they came; names compare without case.
package struct HTTPHeaders: Sendable, ExpressibleByDictionaryLiteral {
  package private(set) var fields: [(name: String, value: String)] = []
  package init() {}
  package init(dictionaryLiteral elements: (String, String)...) {
    fields = elements.map { (name: $0.0, value: $0.1) }
  }

  /// The first value under `name`; setting replaces all of that name, setting nil removes them.
  package subscript(name: String) -> String? {
    get { fields.first { HTTPHeaders.sameName($0.name, name) }?.value }
    set {
      fields.removeAll { HTTPHeaders.sameName($0.name, name) }
      if let newValue { fields.append((name, newValue)) }
    }
  }

  package mutating func append(_ name: String, _ value: String) { fields.append((name, value)) }

  private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) }

  static func sameName(_ a: String, _ b: String) -> Bool {
    guard a.utf8.count == b.utf8.count else { return false }
    return a == b || zip(a.utf8, b.utf8).allSatisfy { $0 == $1 || (isLetter($0) && ($0 ^ $1) == 0x20) }
  }
}

/// What the request line and the headers said.
package struct HTTPRequestHead: Sendable {
  package var method: HTTPMethod
  /// Path and query. A target that is no valid one was already refused with 400.
  package var target: RequestTarget
  package var headers: HTTPHeaders
  /// Declared body length in bytes, nil when there is no body or it is chunked.
  package var contentLength: Int?
  /// Numeric address of the peer, without the port.
  package var remoteAddress: String
  /// From `X-Request-Id` or the trace id of `traceparent` when those are well formed, else made here; echoed in the answer and in
  /// every log line.
  package var requestID: String
  /// The `{name}` components of the route's pattern.
  package var places: [HTTPRouter.Place]
  /// Who is at the other end, as far as TLS says.
  package var peer = PeerIdentity.unasked
  /// What the route's gate found out, for the handler, so that it need not be found out again.
  package var admission: (any Sendable)?
  /// Set by a gate when the handler has at most some tens of microseconds to compute before it waits for something. When the body is
  /// small it begins on the network thread then, which spares handing it over to another thread.
  package var startsAtOnce = false

  package init(
    method: HTTPMethod, target: RequestTarget, headers: HTTPHeaders, contentLength: Int?, remoteAddress: String, requestID: String,
    places: [HTTPRouter.Place] = []
  ) {
    self.method = method
    self.target = target
    self.headers = headers
    self.contentLength = contentLength
    self.remoteAddress = remoteAddress
    self.requestID = requestID
    self.places = places
  }

  /// The undecoded path, as sent, without the query.
  package var rawPath: String { target.rawPath }
  /// Decoded components between slashes.
  package var path: [String] { target.path }
  /// Decoded, in order, repeats kept; `+` was a space.
  package var query: [(name: String, value: String)] { target.query.map { (name: $0.name, value: $0.value) } }
  /// Values of the route's `{name}` components.
  package var parameters: [String: String] {
    var parameters: [String: String] = [:]
    for place in places { parameters[place.name] = target.string(target.components[place.component]) }
    return parameters
  }
}

/// Where arriving bytes go inside a buffer: pieces of `piece` bytes, each `stride` bytes after the one before, the first at `base`.
///
/// With `stride` above `piece` a gap stays after each piece, which is where a node puts the tag of the frame that it seals in place.
package struct BodyPlacement: Sendable, Equatable {
  package var base: Int
  package var piece: Int
  package var stride: Int
  package init(base: Int, piece: Int, stride: Int) {
    precondition(base >= 0 && piece > 0 && stride >= piece, "pieces may not overlap")
    self.base = base
    self.piece = piece
    self.stride = stride
  }
  /// One run without gaps, from the buffer's start.
  package static let contiguous = BodyPlacement(base: 0, piece: .max / 2, stride: .max / 2)
}

/// Why a body ended early.
package enum HTTPBodyError: Error, Sendable, Equatable {
  /// The peer closed or broke the connection before the declared length.
  case incomplete
  /// More bytes than the caller allowed.
  case tooLarge
  /// The peer sent slower than the server's minimum rate, or nothing for the idle time.
  case timedOut
  /// The server is stopping, or the request was cancelled.
  case cancelled
}

/// A request's body as it arrives. One consumer, one of the two ways below, after a look at its beginning if it likes. Bytes that nobody
/// takes are not read from the socket, apart from bodies of at most 32 KiB, which are there before the handler starts. Once the handler has
/// answered, the rest is dropped.
package protocol HTTPRequestBody: AnyObject, Sendable {
  /// Starts copying the body into `buffer` as it arrives, on the network's own threads. A body of more than `limit` bytes fails with
  /// `tooLarge`, at once when that much was declared. The caller keeps off the ranges at or above what `received(beyond:)` last said;
  /// the buffer may be written to until the body has ended, failed, or the handler has answered.
  func receive(into buffer: IOBuffer, placement: BodyPlacement, limit: Int)
  /// Waits until more than `count` body bytes are in the buffer, or the body has ended, and says how many are there and whether that
  /// is all. While it waits it is woken each 128 KiB and at the end, so that large bodies cost few wake-ups.
  func received(beyond count: Int) async throws(HTTPBodyError) -> (count: Int, ended: Bool)
  /// The first `count` bytes, or the whole body when it is shorter, before anything is decided about the rest: that stays in the socket
  /// until one of the other calls claims the body, these bytes included. For little: they are held in memory.
  func beginning(_ count: Int) async throws(HTTPBodyError) -> [UInt8]
  /// The whole body in memory, for small documents.
  func collect(limit: Int) async throws(HTTPBodyError) -> [UInt8]
}

/// A response's body.
package enum HTTPResponseBody: Sendable {
  case none
  case bytes([UInt8])
  /// Sent from memory without copying; the buffer is let go when the last byte has left.
  case buffer(IOBuffer, range: Range<Int>)
  /// Pulled piece by piece: `next` is asked again when the socket has taken the piece before. `length` in bytes when known (then
  /// `Content-Length`), else chunked. `next` answers nil at the end; throwing, ending before `length` or going beyond it breaks the
  /// connection, so that the peer sees a short body and never a wrong one. When the connection is lost the asking task is cancelled.
  case stream(length: Int?, next: @Sendable () async throws -> HTTPBodyPiece?)
}

/// A piece of a streamed body.
package enum HTTPBodyPiece: Sendable {
  case bytes([UInt8])
  case buffer(IOBuffer, range: Range<Int>)
}

/// What a handler answers. `Content-Length` comes from the body; a header field of that name matters only for `HEAD` without a body,
/// where it says how long the body of `GET` would be. Fields with a line break in them are left out.
package struct HTTPResponse: Sendable {
  package var status: Int
  package var headers: HTTPHeaders
  package var body: HTTPResponseBody
  package init(status: Int, headers: HTTPHeaders = [:], body: HTTPResponseBody = .none) {
    self.status = status
    self.headers = headers
    self.body = body
  }
}

/// Answers requests. Runs on Swift's cooperative pool, or until it first waits on the network thread when a gate said so: it awaits, it
/// never blocks.
package typealias HTTPHandler = @Sendable (HTTPRequestHead, any HTTPRequestBody) async -> HTTPResponse

/// Looks at the head before the body is read. An answer refuses the request: with `Expect: 100-continue` it is sent at once,
/// without it the body is read and dropped (up to 5 MiB, at the minimum rate) and then it is sent. May leave what it learned in the head's
/// `admission` and say `startsAtOnce`. Runs on a network thread: it never blocks.
package typealias HTTPGate = @Sendable (inout HTTPRequestHead) -> HTTPResponse?

/// Answers a request without a body on the network thread itself, for work of microseconds; nil hands over to the route's handler.
/// Not asked when there is a body.
package typealias HTTPInlineHandler = @Sendable (HTTPRequestHead) -> HTTPResponse?
