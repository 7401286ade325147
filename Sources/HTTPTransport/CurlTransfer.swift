internal import CCurl
internal import Glibc
internal import Platform
internal import Synchronization

/// One request on its way through libcurl.
///
/// What must hold: a request that may change something goes out once. libcurl sends a request again by itself when a connection that it had
/// kept ends without an answer, though the peer may have read it; such a transfer fails as `broken` instead.
///
/// `@unchecked Sendable`: after `submit` every field but the synchronised ones is touched by the worker's thread alone, which is also
/// where libcurl makes its callbacks.
final class CurlTransfer: @unchecked Sendable {
  enum Sink {
    case collect
    case stream(onHead: @Sendable (HTTPClientResponse) -> Void, onBytes: @Sendable (UnsafeRawBufferPointer) -> Bool)
  }

  typealias Outcome = Result<HTTPClientResponse, HTTPClientError>

  let request: HTTPClientRequest
  private let configuration: HTTPClient.Configuration
  private let sink: Sink
  /// Set before the worker is told, so that a transfer cancelled before it arrives is not begun.
  let isCancelled = Atomic<Bool>(false)
  private let continuation = Mutex<CheckedContinuation<Outcome, Never>?>(nil)
  /// Asks the worker to let a paused upload go on.
  var unpause: (@Sendable () -> Void) = {}
  /// Called on the worker's thread when a paused upload is to go on although nothing new is ready: a refusal came, and libcurl waits for
  /// the pause's end.
  var onRefusalWhilePaused: (() -> Void) = {}

  private var lines: UnsafeMutablePointer<curl_slist>?
  /// Body bytes that were read for sending.
  private var sent = 0
  /// Connections over which the request was sent, or begun to be.
  private var attempts = 0
  private var isUploadPaused = false
  private var headers = HTTPHeaders()
  private var status = 0
  private var headIsComplete = false
  private var headWasReported = false
  private var bytes: [UInt8] = []
  private var received = 0
  private var failure: HTTPClientError?
  private var wasEndedByReader = false
  private var stallSince: Int64 = 0
  private var stallBytes = 0

  init(request: HTTPClientRequest, configuration: HTTPClient.Configuration, sink: Sink) {
    self.request = request
    self.configuration = configuration
    self.sink = sink
  }

  func setContinuation(_ value: CheckedContinuation<Outcome, Never>) { continuation.withLock { $0 = value } }

  /// Answers the caller, once; nothing of the caller's is touched afterwards.
  func complete(_ outcome: Outcome) {
    if case .buffer(let source) = request.body { source.detach() }
    if let lines { curl_slist_free_all(lines) }
    lines = nil
    continuation.withLock { $0.take() }?.resume(returning: outcome)
  }

  // MARK: Setting up

  func prepare(_ easy: UnsafeMutableRawPointer) {
    set(easy, CURLOPT_URL, request.url)
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https")
    set(easy, CURLOPT_NOSIGNAL, 1)
    set(easy, CURLOPT_HTTP_VERSION, configuration.allowsHTTP2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1)
    set(easy, CURLOPT_USERAGENT, configuration.userAgent)
    set(easy, CURLOPT_TCP_NODELAY, 1)
    set(easy, CURLOPT_TCP_KEEPALIVE, 1)
    set(easy, CURLOPT_MAXAGE_CONN, CurlTransfer.idleSeconds)
    set(easy, CURLOPT_BUFFERSIZE, CurlTransfer.bufferBytes(request.responseLimit, atMost: configuration.receiveBufferBytes))
    set(easy, CURLOPT_TIMEOUT_MS, max(1, request.deadline.milliseconds))
    set(easy, CURLOPT_CONNECTTIMEOUT_MS, max(1, request.connectTimeout.milliseconds))
    if configuration.usesEnvironmentProxy {
      set(easy, CURLOPT_NOPROXY, HTTPClient.directHosts)
    } else {
      set(easy, CURLOPT_PROXY, "")
    }
    if let source = configuration.sourceAddress { set(easy, CURLOPT_INTERFACE, "host!" + source) }
    prepareTLS(easy)
    prepareBody(easy)
    prepareHeaders(easy)
    let context = Unmanaged.passUnretained(self).toOpaque()
    cairn_curl_set_pointer(easy, CURLOPT_PRIVATE, context)
    cairn_curl_set_on_request(easy, CurlTransfer.onRequest, context)
    cairn_curl_set_transfer(easy, CURLOPT_WRITEFUNCTION, CurlTransfer.onBytes)
    cairn_curl_set_pointer(easy, CURLOPT_WRITEDATA, context)
    cairn_curl_set_transfer(easy, CURLOPT_HEADERFUNCTION, CurlTransfer.onHeader)
    cairn_curl_set_pointer(easy, CURLOPT_HEADERDATA, context)
    stallSince = monotonicNow()
  }

  /// A connection that was idle for longer is not used again. Half of what servers of ours wait, so that a request hardly ever meets one
  /// that is just being closed.
  private static let idleSeconds = 30

  /// The library allocates its buffers anew for each transfer, so a small one gets small buffers: room for a body of `bytes` and a head.
  private static func bufferBytes(_ bytes: Int, atMost limit: Int) -> Int { min(limit, max(16 << 10, bytes + (4 << 10))) }

  private func prepareTLS(_ easy: UnsafeMutableRawPointer) {
    if let ca = configuration.caPEM { set(easy, CURLOPT_CAINFO_BLOB, ca) }
    if let certificate = configuration.clientCertificatePEM { set(easy, CURLOPT_SSLCERT_BLOB, certificate) }
    if let key = configuration.clientKeyPEM { set(easy, CURLOPT_SSLKEY_BLOB, key) }
  }

  private func prepareBody(_ easy: UnsafeMutableRawPointer) {
    if let length = bodyLength {
      // UPLOAD rather than POST for every method: it adds no headers and asks for the body piece by piece.
      set(easy, CURLOPT_UPLOAD, 1)
      cairn_curl_set_size(easy, CURLOPT_INFILESIZE_LARGE, Int64(length))
      set(easy, CURLOPT_UPLOAD_BUFFERSIZE, CurlTransfer.bufferBytes(length, atMost: configuration.uploadBufferBytes))
      cairn_curl_set_transfer(easy, CURLOPT_READFUNCTION, CurlTransfer.onRead)
      cairn_curl_set_pointer(easy, CURLOPT_READDATA, Unmanaged.passUnretained(self).toOpaque())
      cairn_curl_set_seek(easy, CurlTransfer.onSeek)
      cairn_curl_set_pointer(easy, CURLOPT_SEEKDATA, Unmanaged.passUnretained(self).toOpaque())
      set(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue)
    } else if request.method == .head {
      set(easy, CURLOPT_NOBODY, 1)
    } else {
      set(easy, CURLOPT_HTTPGET, 1)
      if request.method != .get { set(easy, CURLOPT_CUSTOMREQUEST, request.method.rawValue) }
    }
  }

  /// nil when no body is sent, not even an empty one.
  private var bodyLength: Int? {
    switch request.body {
    case .none: [.put, .post, .patch].contains(request.method) ? 0 : nil
    case .bytes(let bytes): bytes.count
    case .buffer(let source): source.length
    }
  }

  private func prepareHeaders(_ easy: UnsafeMutableRawPointer) {
    for (name, value) in request.headers.fields {
      // libcurl's way to send a field without a value is a semicolon.
      lines = curl_slist_append(lines, value.isEmpty ? "\(name);" : "\(name): \(value)")
    }
    // libcurl would wait for 100-continue before large bodies; only who asks for it gets that.
    if request.headers["Expect"] == nil { lines = curl_slist_append(lines, "Expect:") }
    cairn_curl_set_pointer(easy, CURLOPT_HTTPHEADER, lines)
  }

  private func set(_ easy: UnsafeMutableRawPointer, _ option: CURLoption, _ value: Int) { cairn_curl_set_long(easy, option, value) }
  private func set(_ easy: UnsafeMutableRawPointer, _ option: CURLoption, _ value: String) { cairn_curl_set_string(easy, option, value) }
  private func set(_ easy: UnsafeMutableRawPointer, _ option: CURLoption, _ blob: [UInt8]) {
    blob.withUnsafeBytes { bytes in _ = cairn_curl_set_blob(easy, option, bytes.baseAddress, bytes.count) }
  }

  // MARK: libcurl's callbacks

  private static func from(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
    context.map { Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue() }
  }

  private static let onRequest: cairn_curl_on_request = { context, _, _, _, _ in
    guard let transfer = from(context) else { return cairn_curl_request_abort }
    return transfer.begin() ? cairn_curl_request_ok : cairn_curl_request_abort
  }

  private static let onRead: cairn_curl_transfer = { bytes, size, count, context in
    guard let transfer = from(context), let bytes else { return cairn_curl_read_abort }
    return transfer.read(into: UnsafeMutableRawBufferPointer(start: bytes, count: size * count))
  }

  private static let onSeek: cairn_curl_seek = { context, offset, origin in
    guard let transfer = from(context), origin == SEEK_SET, offset >= 0 else { return CURL_SEEKFUNC_CANTSEEK }
    transfer.sent = Int(offset)
    return CURL_SEEKFUNC_OK
  }

  private static let onHeader: cairn_curl_transfer = { bytes, size, count, context in
    guard let transfer = from(context), let bytes else { return 0 }
    let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
    return transfer.takeHeader(line) ? line.count : 0
  }

  private static let onBytes: cairn_curl_transfer = { bytes, size, count, context in
    guard let transfer = from(context), let bytes else { return 0 }
    let piece = UnsafeRawBufferPointer(start: bytes, count: size * count)
    return transfer.takeBytes(piece) ? piece.count : 0
  }

  private func begin() -> Bool {
    attempts += 1
    guard attempts > 1, ![.get, .head].contains(request.method) else { return true }
    failure = CurlTransfer.endedUnanswered
    return false
  }

  private static let endedUnanswered = HTTPClientError(code: .broken, message: "The connection ended before an answer came.")

  private func read(into target: UnsafeMutableRawBufferPointer) -> Int {
    switch request.body {
    case .none: return 0
    case .bytes(let bytes):
      let count = min(target.count, bytes.count - sent)
      bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[sent..<(sent + count)])) }
      sent += count
      return count
    case .buffer(let source):
      switch source.read(at: sent, into: target, onReady: unpause) {
      case .bytes(let count):
        sent += count
        return count
      case .aborted:
        failure = HTTPClientError(code: .uploadAborted, message: "The body of the upload was given up.")
        return cairn_curl_read_abort
      case .wait:
        isUploadPaused = true
        noteRefusal()
        return cairn_curl_read_pause
      }
    }
  }

  private func takeHeader(_ line: UnsafeRawBufferPointer) -> Bool {
    var text = line[...]
    while let last = text.last, last == 0x0d || last == 0x0a { text = text.dropLast() }
    if text.starts(with: "HTTP/".utf8) {
      // Also after a 100 Continue: what came before belonged to an interim response.
      headers = HTTPHeaders()
      headIsComplete = false
      status = text.split(separator: 0x20).dropFirst().first.flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
      return true
    }
    if text.isEmpty {
      headIsComplete = status >= 200
      noteRefusal()
      if headIsComplete, case .stream(let onHead, _) = sink, !headWasReported {
        headWasReported = true
        onHead(HTTPClientResponse(status: status, headers: headers, bytes: [], count: 0))
      }
      return true
    }
    guard !headIsComplete, headers.fields.count < 256, let colon = text.firstIndex(of: UInt8(ascii: ":")) else { return true }
    let name = String(decoding: text[..<colon], as: UTF8.self)
    var value = text[(colon + 1)...]
    while let first = value.first, first == 0x20 || first == 0x09 { value = value.dropFirst() }
    while let last = value.last, last == 0x20 || last == 0x09 { value = value.dropLast() }
    headers.append(name, String(decoding: value, as: UTF8.self))
    return true
  }

  private func takeBytes(_ piece: UnsafeRawBufferPointer) -> Bool {
    if case .stream(_, let onBytes) = sink {
      received += piece.count
      wasEndedByReader = !onBytes(piece)
      return !wasEndedByReader
    }
    guard let buffer = request.responseBuffer, (200...299).contains(status) else {
      guard piece.count <= request.responseLimit - bytes.count else { return refuseTooLarge(request.responseLimit) }
      bytes.append(contentsOf: piece)
      received += piece.count
      return true
    }
    let limit = min(buffer.capacity, request.responseLimit)
    guard piece.count <= limit - received else { return refuseTooLarge(limit) }
    buffer.mutableBytes(received..<(received + piece.count)).copyMemory(from: piece)
    received += piece.count
    return true
  }

  private func refuseTooLarge(_ limit: Int) -> Bool {
    failure = HTTPClientError(code: .responseTooLarge, message: "The response has more than \(limit) bytes.")
    return false
  }

  // MARK: On the way

  private func noteRefusal() {
    if isUploadPaused, headIsComplete, status >= 300 { onRefusalWhilePaused() }
  }

  func uploadGoesOn() { isUploadPaused = false }

  /// Whether the peer was too slow for too long. Waiting for a connection does not count, nor a pause of our own.
  func isStalled(_ easy: UnsafeMutableRawPointer, _ now: Int64) -> Bool {
    guard let timeout = request.stallTimeout?.nanoseconds else { return false }
    let bytes = sent + received
    if isUploadPaused || cairn_curl_has_begun(easy) == 0 {
      stallSince = now
      stallBytes = bytes
    }
    guard now - stallSince >= timeout else { return false }
    let wanted = Double(configuration.minimumRate) * Double(now - stallSince) / 1e9
    defer {
      stallSince = now
      stallBytes = bytes
    }
    return Double(bytes - stallBytes) < wanted
  }

  /// What a finished transfer comes to.
  func outcome(_ code: CURLcode) -> Outcome {
    let response = HTTPClientResponse(status: status, headers: headers, bytes: bytes, count: received)
    if code == CURLE_OK || wasEndedByReader { return .success(response) }
    if let failure { return .failure(failure) }
    // The server answered and closed while we were still sending: the answer counts when it is all there.
    if code == CURLE_SEND_ERROR, headIsComplete, status >= 300, headers["Content-Length"] == "\(received)" { return .success(response) }
    let meaning = CurlTransfer.meaning(code)
    // What another connection failed of says nothing of the one before, over which the request went out.
    if attempts > 0, [.cannotResolve, .cannotConnect, .tls].contains(meaning) { return .failure(CurlTransfer.endedUnanswered) }
    return .failure(HTTPClientError(code: meaning, message: String(cString: curl_easy_strerror(code))))
  }

  private static func meaning(_ code: CURLcode) -> HTTPClientError.Code {
    switch code {
    case CURLE_URL_MALFORMAT, CURLE_UNSUPPORTED_PROTOCOL: .invalidURL
    case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY: .cannotResolve
    case CURLE_COULDNT_CONNECT: .cannotConnect
    case CURLE_OPERATION_TIMEDOUT: .timedOut
    case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_CACERT_BADFILE,
      CURLE_SSL_ISSUER_ERROR, CURLE_SSL_CLIENTCERT:
      .tls
    case CURLE_ABORTED_BY_CALLBACK: .uploadAborted
    default: .broken
    }
  }
}

extension HTTPClient {
  /// Hosts that are reached without a proxy: this machine, and what the environment says.
  fileprivate static let directHosts: String = {
    let others = ["no_proxy", "NO_PROXY"].compactMap { (name: String) in getenv(name).map { String(cString: $0) } }
    return (["localhost", "127.0.0.1", "::1"] + others).joined(separator: ",")
  }()
}
