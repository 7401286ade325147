internal import Glibc
internal import HTTPTransport

/// Networks whose machines stand in front of the gateway and say in `X-Forwarded-For` whom they speak for.
///
/// What must hold: what a header says counts only as far back as the machines that wrote it are trusted, beginning with the one that is
/// really connected; so nobody else can pass for another address. Without networks no header counts at all.
package struct TrustedProxies: Sendable {
  /// Addresses that are looked at; a longer list is somebody's nonsense.
  private static let hopLimit = 32

  private struct Network: Sendable {
    var bytes: [UInt8]
    var bits: Int
  }

  private let networks: [Network]

  package init() { networks = [] }

  /// - Parameter texts: networks such as `10.0.0.0/8` or `2001:db8::/32`, and single addresses.
  /// - Returns: nil when one is none, or has bits beyond its length.
  package init?(_ texts: [String]) {
    var networks: [Network] = []
    for text in texts {
      let parts = text.split(separator: "/", omittingEmptySubsequences: false)
      guard parts.count <= 2, let bytes = TrustedProxies.bytes(of: String(parts[0])) else { return nil }
      var bits = bytes.count * 8
      if parts.count == 2 {
        guard parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let number = Int(parts[1]), number <= bits else { return nil }
        bits = number
      }
      let network = Network(bytes: bytes, bits: bits)
      guard TrustedProxies.masked(bytes, bits) == bytes else { return nil }
      networks.append(network)
    }
    self.networks = networks
  }

  package var isEmpty: Bool { networks.isEmpty }

  /// Whose request it is: the peer, or what trusted proxies say of whom they have it from.
  func client(of head: HTTPRequestHead) -> String {
    guard !networks.isEmpty else { return head.remoteAddress }
    let forwarded = head.headers.fields.filter { $0.name.lowercased() == "x-forwarded-for" }.map(\.value)
    return client(peer: head.remoteAddress, forwarded: forwarded)
  }

  /// - Parameter forwarded: the values of `X-Forwarded-For` in the order of the fields; each hop added itself at the end.
  package func client(peer: String, forwarded: [String]) -> String {
    var client = peer
    guard isTrusted(peer) else { return client }
    let hops = forwarded.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }
    for hop in hops.reversed().prefix(TrustedProxies.hopLimit) {
      // What is no address says nothing of whoever came before it either.
      guard let address = TrustedProxies.address(inHop: hop) else { return client }
      client = address
      guard isTrusted(address) else { return client }
    }
    return client
  }

  private func isTrusted(_ address: String) -> Bool {
    guard let bytes = TrustedProxies.bytes(of: address) else { return false }
    return networks.contains { network in
      network.bytes.count == bytes.count && TrustedProxies.masked(bytes, network.bits) == network.bytes
    }
  }

  private static func masked(_ bytes: [UInt8], _ bits: Int) -> [UInt8] {
    bytes.enumerated().map { index, byte in
      let kept = min(8, max(0, bits - index * 8))
      return byte & UInt8(truncatingIfNeeded: 0xff00 >> kept)
    }
  }

  /// 4 or 16 bytes; an IPv4 address in IPv6 form is the IPv4 address.
  private static func bytes(of text: String) -> [UInt8]? {
    guard text.utf8.count <= 64 else { return nil }
    var four = in_addr()
    if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: four) { Array($0) } }
    var sixteen = in6_addr()
    guard inet_pton(AF_INET6, text, &sixteen) == 1 else { return nil }
    let bytes = withUnsafeBytes(of: sixteen) { Array($0) }
    let isMapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xff && bytes[11] == 0xff
    return isMapped ? Array(bytes.suffix(4)) : bytes
  }

  /// The address of one hop in one spelling; some proxies write a port behind it.
  private static func address(inHop hop: Substring) -> String? {
    var text = hop.drop { $0 == " " || $0 == "\t" }
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    if text.first == "[" {
      guard let end = text.firstIndex(of: "]"), isPort(text[text.index(after: end)...]) else { return nil }
      text = text[text.index(after: text.startIndex)..<end]
    } else if text.contains("."), let colon = text.lastIndex(of: ":"), text.firstIndex(of: ":") == colon {
      guard isPort(text[colon...]) else { return nil }
      text = text[..<colon]
    }
    guard let bytes = bytes(of: String(text)) else { return nil }
    return bytes.count == 4 ? bytes.map { String($0) }.joined(separator: ".") : spelled(bytes)
  }

  private static func isPort(_ text: Substring) -> Bool {
    if text.isEmpty { return true }
    return text.first == ":" && (1...5).contains(text.count - 1) && text.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  private static func spelled(_ bytes: [UInt8]) -> String? {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
