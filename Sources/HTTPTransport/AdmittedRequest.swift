internal import CMicroHTTPD
internal import Synchronization

/// The request line as the library holds it; valid inside the callback.
struct RequestLine {
  let url: UnsafePointer<CChar>
  let method: UnsafePointer<CChar>
  let version: UnsafePointer<CChar>
}

/// A request whose head was looked at, and what is to become of it.
struct AdmittedRequest: Sendable {
  enum Plan: Sendable {
    /// `atOnce`: before the body, closing the connection after it; else when the body was read and dropped.
    case refuse(HTTPResponse, atOnce: Bool)
    case inline(HTTPInlineHandler, HTTPHandler)
    case handle(HTTPHandler)
  }

  private(set) var head: HTTPRequestHead
  /// The pattern of the route, nil when none was found.
  private(set) var route: String?
  private(set) var plan: Plan
  private(set) var isChunked = false
  private(set) var contentLength: Int?

  var hasBody: Bool { isChunked || (contentLength ?? 0) > 0 }

  init(handle: ConnectionHandle, line: RequestLine, target: [UInt8], connection: ServerConnection, core: ServerCore) {
    let headers = HeaderCollector.headers(of: handle)
    head = HTTPRequestHead(
      method: HTTPMethod(rawValue: String(cString: line.method)), target: .unread, headers: headers, contentLength: nil,
      remoteAddress: connection.remoteAddress,
      requestID: RequestID.of(requestID: headers["X-Request-Id"], traceparent: headers["traceparent"]))
    plan = .refuse(HTTPResponse(status: 500), atOnce: true)
    do throws(Refusal) {
      try frame(version: String(cString: line.version))
      try checkSizes(handle, line, target, core.configuration)
      try parse(target)
      try checkConnection(handle, connection, core)
      plan = try route(core)
    } catch {
      plan = .refuse(error.response, atOnce: error.breaksFraming || refusesAtOnce(core.configuration.drainLimit))
    }
  }

  /// A reason to refuse, as the response that says so.
  private struct Refusal: Error {
    var response: HTTPResponse
    /// Where the request ends is not certain, so nothing after it can be read.
    var breaksFraming = false

    init(_ response: HTTPResponse) { self.response = response }

    init(_ status: Int, _ type: String, _ title: String, _ detail: String, headers: HTTPHeaders = [:], breaksFraming: Bool = false) {
      response = .problem(status: status, type: type, title: title, detail: detail, headers: headers)
      self.breaksFraming = breaksFraming
    }

    static func malformed(_ detail: String, breaksFraming: Bool = false) -> Refusal {
      Refusal(400, "malformed", "Malformed request", detail, breaksFraming: breaksFraming)
    }
  }

  /// Finds out whether and how long a body follows. Requests on which two readers could disagree (RFC 9112, 6.3) are refused.
  private mutating func frame(version: String) throws(Refusal) {
    var (encodings, lengths, hosts) = (0, 0, 0)
    var (encoding, length) = ("", "")
    for field in head.headers.fields {
      if HTTPHeaders.sameName(field.name, "Host") {
        hosts += 1
      } else if HTTPHeaders.sameName(field.name, "Content-Length") {
        lengths += 1
        length = field.value
      } else if HTTPHeaders.sameName(field.name, "Transfer-Encoding") {
        encodings += 1
        encoding = field.value
      }
    }
    if encodings > 0 {
      guard encodings == 1, encoding.lowercased() == "chunked" else {
        throw .malformed("The only transfer coding that is understood is chunked, once.", breaksFraming: true)
      }
      guard lengths == 0 else {
        throw .malformed("A request has either Transfer-Encoding or Content-Length, not both.", breaksFraming: true)
      }
      guard version != "HTTP/1.0" else { throw .malformed("HTTP/1.0 has no transfer codings.", breaksFraming: true) }
      isChunked = true
    } else if lengths > 0 {
      guard lengths == 1, !length.isEmpty, length.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let length = Int(length) else {
        throw .malformed("Content-Length must be one number.", breaksFraming: true)
      }
      contentLength = length
      head.contentLength = length
    }
    if version != "HTTP/1.0", hosts != 1 { throw .malformed("A request of HTTP/1.1 has one Host header.") }
  }

  private func checkSizes(
    _ handle: ConnectionHandle, _ line: RequestLine, _ target: [UInt8], _ configuration: HTTPServer.Configuration
  ) throws(Refusal) {
    guard cairn_mhd_header_size(handle.pointer) <= configuration.maxHeaderBytes else {
      throw Refusal(
        431, "too-large", "Request head too large", "Request line and headers may have \(configuration.maxHeaderBytes) bytes together.")
    }
    // The library cuts the target at a zero byte; the version stands right behind where the target really ended.
    guard line.version - line.url == target.count + 1 else { throw .malformed(RequestTarget.Malformed.zeroByte.sentence) }
    let token = head.method.rawValue.utf8
    guard !token.isEmpty, token.count <= 32, token.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw .malformed("The method is not a token.")
    }
  }

  private mutating func parse(_ target: [UInt8]) throws(Refusal) {
    do throws(RequestTarget.Malformed) { head.target = try RequestTarget(parsing: target) } catch { throw .malformed(error.sentence) }
  }

  private mutating func checkConnection(_ handle: ConnectionHandle, _ connection: ServerConnection, _ core: ServerCore) throws(Refusal) {
    if connection.isOverLimit {
      throw Refusal(
        503, "busy", "Busy", "The server has as many connections as it can serve; try again.",
        headers: ["Retry-After": "1", "Connection": "close"])
    }
    guard let tls = core.configuration.tls, tls.clientCAPEM != nil else { return }
    head.peer = connection.state.withLock { state in
      let peer = state.peer ?? PeerIdentity.of(handle)
      state.peer = peer
      return peer
    }
    guard !tls.requiresClientCertificate || head.peer != .stranger else {
      throw Refusal(403, "forbidden", "Forbidden", "This server asks for a client certificate of the cluster's CA.")
    }
  }

  private mutating func route(_ core: ServerCore) throws(Refusal) -> Plan {
    if let response = core.cors.preflight(head, core.router) { throw Refusal(response) }
    switch core.router.match(head.method, head.target) {
    case .notFound: throw Refusal(404, "not-found", "Not found", "There is nothing at this path.")
    case .methodNotAllowed(let allowed):
      let allow = allowed.map(\.rawValue).joined(separator: ", ")
      if head.method == .options { throw Refusal(HTTPResponse(status: 204, headers: ["Allow": allow])) }
      throw Refusal(
        405, "method-not-allowed", "Method not allowed", "This path takes \(allow).", headers: ["Allow": allow])
    case .found(let route):
      self.route = route.pattern
      head.places = route.places
      if isChunked, !route.allowsChunked {
        throw Refusal(411, "length-required", "Length required", "Send the body with a Content-Length.")
      }
      if let gate = route.gate, let response = gate(&head) { throw Refusal(response) }
      if let contentLength, contentLength > route.maxBodyBytes {
        throw Refusal(413, "too-large", "Body too large", "The body may have \(route.maxBodyBytes) bytes here.")
      }
      if let inline = route.inline, !hasBody { return .inline(inline, route.handler) }
      return .handle(route.handler)
    }
  }

  /// Whether a refusal goes out before the body: the client waits for it, or the body is not worth reading to its end.
  private func refusesAtOnce(_ drainLimit: Int) -> Bool {
    guard hasBody else { return false }
    return isChunked || (contentLength ?? 0) > drainLimit || head.headers["Expect"]?.lowercased() == "100-continue"
  }
}

/// Copies the library's header fields.
private enum HeaderCollector {
  static func headers(of handle: ConnectionHandle) -> HTTPHeaders {
    var headers = HTTPHeaders()
    withUnsafeMutablePointer(to: &headers) { _ = cairn_mhd_each_header(handle.pointer, add, $0) }
    return headers
  }

  private static let add: MHD_KeyValueIteratorN = { context, _, name, nameSize, value, valueSize in
    guard let headers = context?.assumingMemoryBound(to: HTTPHeaders.self), let name else { return cairn_mhd_yes }
    headers.pointee.append(text(name, nameSize), value.map { text($0, valueSize) } ?? "")
    return cairn_mhd_yes
  }

  private static func text(_ bytes: UnsafePointer<CChar>, _ size: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: bytes, count: size), as: UTF8.self)
  }
}
