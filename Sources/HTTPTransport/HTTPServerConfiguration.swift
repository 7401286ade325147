extension HTTPServer {
  /// How a server listens and what it puts up with.
  package struct Configuration: Sendable {
    /// Certificate and key of a TLS server.
    package struct TLS: Sendable {
      /// PEM: the server's own certificate first, then the ones between it and the CA.
      package var certificatePEM: [UInt8]
      /// PEM, without a passphrase.
      package var keyPEM: [UInt8]
      /// PEM. When given, clients are asked for a certificate from this CA, and requests carry whose it is.
      package var clientCAPEM: [UInt8]?
      /// With `clientCAPEM`: whether every request without such a certificate is refused with 403.
      package var requiresClientCertificate = true
      package init(certificatePEM: [UInt8], keyPEM: [UInt8], clientCAPEM: [UInt8]? = nil) {
        self.certificatePEM = certificatePEM
        self.keyPEM = keyPEM
        self.clientCAPEM = clientCAPEM
      }
    }

    /// A numeric IPv4 or IPv6 address.
    package var address = "127.0.0.1"
    /// 0 takes a free one; `HTTPServer.port` tells which.
    package var port = 0
    /// nil serves plain HTTP.
    package var tls: TLS?
    /// Network threads.
    package var threads = 2
    /// Bytes of each connection's buffer: the most that one read takes, and a bound on the request's head. The library clears the
    /// buffer between two requests of a connection, so more is not always better: 32 KiB suits documents and blocks alike.
    package var connectionMemoryBytes = 32 << 10
    /// Connections that are served at once. A few more are let in only to be told 503 with `Retry-After`; beyond those, new ones
    /// are closed.
    package var connectionLimit = 1024
    /// Connections from one address that are served at once; the ones above are told 503.
    package var perAddressLimit = 1024
    /// How long a connection may stay without a whole request head: between requests, in the handshake, and while the head trickles in.
    package var idleTimeout: Duration = .seconds(60)
    /// Bytes a second that a peer must take or give while the server waits for it, measured over each `minimumRateGrace`.
    package var minimumRate = 16 << 10
    package var minimumRateGrace: Duration = .seconds(10)
    /// Request line and header fields together; more is refused with 431.
    package var maxHeaderBytes = 16 << 10
    /// The most bytes of a refused body that are read and dropped, so that the client gets to see the refusal.
    package var drainLimit = 5 << 20
    /// Origins (`https://host:port`) whose pages may call this server; `*` stands for every one.
    package var corsOrigins: [String] = []
    /// The value of the `Server` header; nil leaves the header out.
    package var serverName: String? = "cairn"
    /// Called on a network thread when a request is over, for logs and metrics; it must be quick.
    package var observer: (@Sendable (HTTPExchangeRecord) -> Void)?

    package init() {}
  }
}

/// What happened to one request, for logs and metrics.
package struct HTTPExchangeRecord: Sendable {
  package enum Ending: Sendable, Equatable {
    /// The whole response left.
    case complete
    /// The peer went away, or the connection broke.
    case broken
    /// The peer was too slow.
    case timedOut
    /// The server stopped.
    case stopped
  }
  package var requestID: String
  package var method: HTTPMethod
  /// Only its path is for logs: queries carry signatures.
  package var target: RequestTarget
  /// The pattern of the route, nil when there was none.
  package var route: String?
  /// nil when no response was sent.
  package var status: Int?
  package var remoteAddress: String
  package var bodyBytesIn: Int
  package var bodyBytesOut: Int
  /// From the request line to the end.
  package var duration: Duration
  package var ending: Ending

  /// The path without the query.
  package var rawPath: String { target.rawPath }
}

/// Why a server did not start.
package struct HTTPServerError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    case addressInUse, invalidAddress, notPermitted, cannotListen, invalidCertificate, cannotStart
  }
  package var code: Code
  package var message: String
  package init(code: Code, message: String) {
    self.code = code
    self.message = message
  }
  package var description: String { message }
}

/// A server's counts since its start, for metrics. Each is read on its own, so they may be a moment apart.
package struct HTTPServerCounters: Sendable, Equatable {
  /// Connections that are open now.
  package var activeConnections: Int
  /// Requests under way now.
  package var activeRequests: Int
  package var acceptedConnections: Int
  /// Connections that were turned away at a limit, politely or not.
  package var refusedConnections: Int
  /// Connections that were closed because the peer was slow or idle.
  package var timedOutConnections: Int
  package var requests: Int
  package var bodyBytesIn: Int
  package var bodyBytesOut: Int
}
