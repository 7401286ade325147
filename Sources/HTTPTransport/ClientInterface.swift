package import Platform

/// A request that a client sends.
package struct HTTPClientRequest: Sendable {
  package enum Body: Sendable {
    case none
    case bytes([UInt8])
    /// Sent from memory as far as `source` says it is ready.
    case buffer(UploadSource)
  }
  package var method: HTTPMethod
  package var url: String
  package var headers: HTTPHeaders
  package var body: Body
  /// For the whole exchange, from the call to the last byte.
  package var deadline: Duration
  /// For name, connection and TLS together.
  package var connectTimeout: Duration
  /// Below the client's `minimumRate` for this long, in both directions together, the transfer is given up; nil never. Also the time
  /// that a server may think before it answers.
  package var stallTimeout: Duration?
  /// Where the body of a 2xx response goes, from the buffer's start; nil collects it in memory up to `responseLimit`. The bodies of
  /// other responses are collected in any case.
  package var responseBuffer: IOBuffer?
  /// Bytes; a longer response body fails with `responseTooLarge`.
  package var responseLimit: Int

  package init(
    method: HTTPMethod, url: String, headers: HTTPHeaders = [:], body: Body = .none, deadline: Duration = .seconds(60),
    connectTimeout: Duration = .seconds(3), stallTimeout: Duration? = .seconds(20), responseBuffer: IOBuffer? = nil,
    responseLimit: Int = 16 << 20
  ) {
    self.method = method
    self.url = url
    self.headers = headers
    self.body = body
    self.deadline = deadline
    self.connectTimeout = connectTimeout
    self.stallTimeout = stallTimeout
    self.responseBuffer = responseBuffer
    self.responseLimit = responseLimit
  }
}

/// What came back. `bytes` is empty when the body went into a response buffer; `count` is the body's length either way.
package struct HTTPClientResponse: Sendable {
  package var status: Int
  package var headers: HTTPHeaders
  package var bytes: [UInt8]
  package var count: Int
  package init(status: Int, headers: HTTPHeaders, bytes: [UInt8], count: Int) {
    self.status = status
    self.headers = headers
    self.bytes = bytes
    self.count = count
  }
}

/// Why there is no response.
package struct HTTPClientError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// `plain`: it would have gone in the clear to another machine.
    case plain
    case invalidURL, cannotResolve, cannotConnect, tls, timedOut, stalled, broken, responseTooLarge, cancelled, uploadAborted, shutDown
  }
  package var code: Code
  package var message: String
  package init(code: Code, message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}

/// A client over pooled connections.
package protocol HTTPRequesting: Sendable {
  func send(_ request: HTTPClientRequest) async throws(HTTPClientError) -> HTTPClientResponse
  /// Reads a response as it arrives, for event streams and long bodies: `onHead` once, then `onBytes` per piece, in order.
  /// Bytes are only valid inside the call. Answering false from `onBytes` ends the transfer without an error.
  func stream(
    _ request: HTTPClientRequest, onHead: @escaping @Sendable (HTTPClientResponse) -> Void,
    onBytes: @escaping @Sendable (UnsafeRawBufferPointer) -> Bool
  ) async throws(HTTPClientError)
}
