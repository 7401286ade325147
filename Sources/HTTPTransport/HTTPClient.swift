internal import Platform
internal import Synchronization

/// An HTTP client over libcurl, with kept connections and threads of its own.
///
/// What must hold: no call of libcurl blocks one of Swift's threads; a transfer touches its buffers only until `send` returns; redirects
/// are never followed, because a signed URL is meant for one server.
package final class HTTPClient: HTTPRequesting {
  package struct Configuration: Sendable {
    /// Kept and busy connections to one host and port; further transfers wait for one.
    package var connectionsPerHost = 16
    /// Connections in all, for each thread.
    package var maxConnections = 256
    /// Transfers that may be under way or wait; one more fails with `cannotConnect`.
    package var maxTransfers = 4096
    /// PEM certificates of the CAs that servers must be signed by; nil trusts the machine's own.
    package var caPEM: [UInt8]?
    /// PEM certificate and key that this client shows to servers.
    package var clientCertificatePEM: [UInt8]?
    package var clientKeyPEM: [UInt8]?
    package var userAgent = "cairn"
    /// The numeric address that connections come from; nil leaves it to the kernel.
    package var sourceAddress: String?
    /// Threads that drive transfers; each keeps connections of its own.
    package var threads = 1
    /// Speak HTTP/2 to servers that offer it.
    package var allowsHTTP2 = false
    /// Obey `https_proxy` and its kin, except for this machine itself.
    package var usesEnvironmentProxy = false
    /// Bytes a second below which a transfer counts as stalled.
    package var minimumRate = 1024
    /// Bytes that are handed to the socket at once.
    package var uploadBufferBytes = 512 << 10
    package var receiveBufferBytes = 512 << 10
    package init() {}
  }

  private let settings: Mutex<Configuration>
  private var configuration: Configuration { settings.withLock { $0 } }
  private let workers: [CurlWorker]
  private let count = Atomic<Int>(0)

  package init(configuration: Configuration = Configuration()) {
    settings = Mutex(configuration)
    CurlWorker.prepareLibrary()
    workers = (0..<max(1, configuration.threads)).map { CurlWorker(configuration: configuration, name: "http-client-\($0)") }
  }

  deinit { for worker in workers { worker.stop() } }

  /// Trusts these authorities and shows this certificate on connections that are made from now on.
  package func replaceTLS(caPEM: [UInt8]?, certificatePEM: [UInt8]?, keyPEM: [UInt8]?) {
    settings.withLock { settings in
      settings.caPEM = caPEM
      settings.clientCertificatePEM = certificatePEM
      settings.clientKeyPEM = keyPEM
    }
  }

  /// Fails what is under way with `shutDown` and ends the threads. Later requests fail the same way.
  package func shutdown() {
    for worker in workers { worker.stop() }
  }

  package func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse {
    try await perform(CurlTransfer(request: request, configuration: configuration, sink: .collect))
  }

  package func stream(
    _ request: HTTPClientRequest, onHead: @escaping @Sendable (HTTPClientResponse) -> Void,
    onBytes: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
  ) async throws(HTTPClientError) {
    _ = try await perform(CurlTransfer(request: request, configuration: configuration, sink: .stream(onHead: onHead, onBytes: onBytes)))
  }

  private func perform(_ transfer: CurlTransfer) async throws(HTTPClientError) -> HTTPClientResponse {
    if let error = transfer.request.flaw { throw error }
    let worker = workers.count == 1 ? workers[0] : workers[leastBusy()]
    let result = await withTaskCancellationHandler {
      await withCheckedContinuation { continuation in
        transfer.setContinuation(continuation)
        worker.submit(transfer)
      }
    } onCancel: {
      worker.cancel(transfer)
    }
    return try result.get()
  }

  /// The thread with the fewest transfers; ties go around.
  private func leastBusy() -> Int {
    let first = count.wrappingAdd(1, ordering: .relaxed).newValue % workers.count
    let order = workers.indices.map { ($0 + first) % workers.count }
    return order.min { workers[$0].load < workers[$1].load } ?? 0
  }
}

extension HTTPClientRequest {
  /// Why this request cannot be sent as it is.
  fileprivate var flaw: HTTPClientError? {
    let lower = url.prefix(8).lowercased()
    guard lower.hasPrefix("http://") || lower.hasPrefix("https://") else {
      return HTTPClientError(code: .invalidURL, message: "The URL does not begin with http:// or https://.")
    }
    // Tokens, passwords and signed URLs travel in requests.
    guard PlainHTTP.mayReach(url) else {
      return HTTPClientError(code: .plain, message: "Plain HTTP is spoken with this machine alone; use https:// for others.")
    }
    guard !url.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7f }) else {
      return HTTPClientError(code: .invalidURL, message: "The URL has a space or a control character in it.")
    }
    let isToken = { (text: String) in !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") } }
    guard isToken(method.rawValue) else { return HTTPClientError(code: .invalidURL, message: "The method is not a token.") }
    for (name, value) in headers.fields {
      guard isToken(name), !value.utf8.contains(where: { $0 == 0 || $0 == 0x0a || $0 == 0x0d }) else {
        return HTTPClientError(code: .invalidURL, message: "The header \(name.debugDescription) cannot be sent: it would break the line.")
      }
    }
    return nil
  }
}
