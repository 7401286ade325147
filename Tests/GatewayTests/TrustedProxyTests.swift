import ClusterLogic
import Gateway
import HTTPTransport
import Platform
import ServiceAPI
import TestSupport
import Testing

@Suite("Proxies in front")
struct TrustedProxyTests {
  struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var trusted: [String]
    var peer: String
    var forwarded: [String]
    var client: String
  }

  static let cases = [
    Case(testDescription: "nobody is trusted by default", trusted: [], peer: "10.0.0.1", forwarded: ["1.2.3.4"], client: "10.0.0.1"),
    Case(testDescription: "a stranger's header", trusted: ["10.0.0.0/8"], peer: "11.0.0.1", forwarded: ["1.2.3.4"], client: "11.0.0.1"),
    Case(testDescription: "a proxy without a header", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: [], client: "10.0.0.1"),
    Case(testDescription: "a proxy's word", trusted: ["10.0.0.0/8"], peer: "10.9.8.7", forwarded: ["1.2.3.4"], client: "1.2.3.4"),
    Case(
      testDescription: "what a client put before the proxy's word", trusted: ["10.0.0.0/8"], peer: "10.0.0.1",
      forwarded: ["127.0.0.1, 9.9.9.9, 1.2.3.4"], client: "1.2.3.4"),
    Case(
      testDescription: "the same in a field of its own", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: ["9.9.9.9", "1.2.3.4"],
      client: "1.2.3.4"),
    Case(
      testDescription: "two proxies in a row", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: ["8.8.8.8, 1.2.3.4, 10.0.0.2"],
      client: "1.2.3.4"),
    Case(
      testDescription: "a client that claims to be a proxy", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: ["7.7.7.7, 10.0.0.66"],
      client: "7.7.7.7"),
    Case(
      testDescription: "nothing but proxies", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: ["10.0.0.3, 10.0.0.2"],
      client: "10.0.0.3"),
    Case(
      testDescription: "what is no address", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: ["1.2.3.4, unknown, 10.0.0.2"],
      client: "10.0.0.2"),
    Case(testDescription: "an empty header", trusted: ["10.0.0.0/8"], peer: "10.0.0.1", forwarded: [""], client: "10.0.0.1"),
    Case(testDescription: "a port behind it", trusted: ["10.0.0.1"], peer: "10.0.0.1", forwarded: ["1.2.3.4:5678"], client: "1.2.3.4"),
    Case(
      testDescription: "IPv6 with a port", trusted: ["10.0.0.1"], peer: "10.0.0.1", forwarded: ["[2001:DB8::0:1]:80"],
      client: "2001:db8::1"),
    Case(
      testDescription: "IPv6 networks", trusted: ["2001:db8::/33"], peer: "2001:db8:7fff::1", forwarded: ["2001:db8:8000::1"],
      client: "2001:db8:8000::1"),
    Case(testDescription: "IPv4 in IPv6 form", trusted: ["10.0.0.0/8"], peer: "::ffff:10.0.0.1", forwarded: ["1.2.3.4"], client: "1.2.3.4"),
    Case(
      testDescription: "the whole internet", trusted: ["0.0.0.0/0"], peer: "5.5.5.5", forwarded: ["1.2.3.4, 2.3.4.5"], client: "1.2.3.4"),
  ]

  @Test("an address counts only as far back as trusted proxies vouch for it", arguments: cases)
  func clients(given: Case) throws {
    #expect(try #require(TrustedProxies(given.trusted)).client(peer: given.peer, forwarded: given.forwarded) == given.client)
  }

  @Test(
    "what is no network is refused",
    arguments: ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/", "10.0.0/8", "proxy.example", "::/129", "1.2.3.4/8/8"])
  func nonsense(text: String) { #expect(TrustedProxies([text]) == nil) }

  @Test("whatever a stranger's header says, the stranger's own address counts")
  func spoofing() throws {
    var random = Seeds.random()
    let proxies = try #require(TrustedProxies(["10.0.0.0/8", "fd00::/8"]))
    let pieces = ["10.0.0.1", "1.2.3.4", ",", " ", "fd00::1", "[", "]", ":", "::", "x", "127.0.0.1", "%"]
    for _ in 0..<5000 {
      let header = (0..<Int.random(in: 0...12, using: &random)).map { _ in pieces.randomElement(using: &random) ?? "" }.joined()
      #expect(proxies.client(peer: "192.0.2.1", forwarded: [header]) == "192.0.2.1")
      // Behind a proxy that adds whom it has it from, nothing that stood there before counts.
      #expect(proxies.client(peer: "10.0.0.1", forwarded: [header + ", 192.0.2.1"]) == "192.0.2.1")
    }
  }

  @Test("rates and the coordinator's audit go by the address that a trusted proxy names, and only then")
  func gateway() async throws {
    for isTrusted in [false, true] {
      let proxies = try #require(TrustedProxies(isTrusted ? ["127.0.0.0/8"] : []))
      try await withGateway {
        $0.trustedProxies = proxies
        // So slow that none comes back during the test.
        $0.attemptRate = RequestRate(perSecond: 1, burst: 3)
        $0.addressRate = nil
      } body: { gateway in
        gateway.control.answerAll()
        var statuses: [Int] = []
        for number in 0..<40 {
          let reply = try await gateway.send(
            .post, "/v1/sessions", json: #"{"name":"ada","password":"correct horse"}"#, token: nil,
            headers: ["X-Forwarded-For": "9.9.9.9, 203.0.113.\(number)"])
          statuses.append(reply.status)
        }
        let addresses = Set(gateway.control.calls.map(\.context.remoteAddress))
        if isTrusted {
          #expect(statuses.allSatisfy { $0 == statuses[0] && $0 < 300 })
          #expect(addresses == Set((0..<40).map { "203.0.113.\($0)" }))
        } else {
          #expect(statuses.contains(429))
          #expect(addresses == ["127.0.0.1"])
        }
      }
    }
  }
}
