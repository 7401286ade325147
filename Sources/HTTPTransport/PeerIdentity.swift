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
  /// - Parameter url: a URL or the beginning of one. Who can be named before the host (`user@`) and names that only begin like a loopback
  ///   address do not count as this machine.
  package static func mayReach(_ url: String) -> Bool {
    let (secure, plain) = ("https://", "http://")
    if url.utf8.count >= secure.utf8.count, url.prefix(secure.utf8.count).lowercased() == secure { return true }
    guard url.prefix(plain.utf8.count).lowercased() == plain else { return false }
    let authority = url.dropFirst(plain.utf8.count).prefix { !"/?#\\".contains($0) }.lowercased()
    var host = authority[...]
    if let colon = authority.lastIndex(of: ":"), authority[authority.index(after: colon)...].utf8.allSatisfy({ (0x30...0x39).contains($0) })
    {
      host = authority[..<colon]
    }
    return host == "localhost" || host == "[::1]" || isLoopback(host)
  }

  /// An IPv4 address of 127.0.0.0/8, written as four decimal numbers.
  private static func isLoopback(_ host: Substring) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts[0] == "127"
      && parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } && (Int($0) ?? 256) < 256 }
  }
}
