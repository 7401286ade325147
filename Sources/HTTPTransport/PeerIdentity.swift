internal import CMicroHTTPD

/// Who is at the other end of a connection, as far as TLS says.
package enum PeerIdentity: Sendable, Equatable {
  /// This server does not ask: it has no authority for clients.
  case unasked
  /// No certificate, or none of the authority's.
  case stranger
  /// A certificate of the authority: what kind of daemon it is for (OU) and its name (CN).
  case certificate(kind: String, name: String)

  /// Whether the peer may do what only these kinds of daemons do. Where nobody is asked, tokens and signatures alone decide.
  package func isOne(of kinds: [String]) -> Bool {
    switch self {
    case .unasked: true
    case .stranger: false
    case .certificate(let kind, _): kinds.contains(kind)
    }
  }

  /// As `isOne(of:)`, and with this name.
  package func isNamed(_ name: String, kind: String) -> Bool {
    switch self {
    case .unasked: true
    case .stranger: false
    case .certificate(let ownKind, let ownName): ownKind == kind && ownName == name
    }
  }

  /// Inside a callback of the connection's. Checks the certificate's chain, which costs a millisecond once for each connection.
  static func of(_ handle: ConnectionHandle) -> PeerIdentity {
    guard cairn_mhd_client_is_trusted(handle.pointer) == 1 else { return .stranger }
    func field(_ identifier: UnsafePointer<CChar>) -> String {
      var text = [CChar](repeating: 0, count: 256)
      guard cairn_mhd_client_field(handle.pointer, identifier, &text, text.count) == 1 else { return "" }
      return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    return .certificate(kind: field(cairn_oid_unit), name: field(cairn_oid_common_name))
  }
}

/// Where plain HTTP may be spoken: on this machine alone. Passwords, tokens and signed URLs travel in it.
package enum PlainHTTP {
  /// - Parameter url: a base URL.
  package static func mayReach(_ url: String) -> Bool {
    guard url.hasPrefix("http://") else { return true }
    let host = url.dropFirst(7).prefix { $0 != "/" }
    return host.hasPrefix("127.") || host.hasPrefix("[::1]") || host == "localhost" || host.hasPrefix("localhost:")
  }
}
