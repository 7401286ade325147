internal import BlockModel
internal import ClusterLogic
internal import Glibc
internal import HTTPTransport
internal import Platform
internal import ServiceAPI
internal import Synchronization

/// How often one token and one address may ask, told to clients by the header fields `RateLimit` and `RateLimit-Policy`
/// (draft-ietf-httpapi-ratelimit-headers), and by 429 with `Retry-After` when it was too often.
///
/// What must hold: a request that is refused costs nothing behind the gateway; no token is kept, only a number that follows from it in this
/// process.
final class RequestLimits: Sendable {
  /// What a request counts as.
  enum Kind: Sendable, Equatable {
    /// Never refused: what balancers and metrics ask.
    case free
    case normal
    /// Tries a password, which costs the coordinator some 60 ms of a processor.
    case attempt
  }

  /// What is said of it in the answer.
  struct Standing: Sendable {
    var policy: String
    var limit: String
    /// For a further charge when the token turns out to be nobody's.
    var address: String
  }

  private struct State {
    var tokens: RequestBudget<Int>?
    var addresses: RequestBudget<String>?
    var attempts: RequestBudget<String>?
  }

  private let state: Mutex<State>
  private let time: any TimeSource
  private let refusedTokens: Counter
  private let refusedAddresses: Counter
  /// What an address pays for a token that is nobody's, besides the request itself.
  private static let strangersCost = 9

  init(_ configuration: GatewayConfiguration, time: any TimeSource, metrics: Metrics) {
    state = Mutex(
      State(
        tokens: configuration.tokenRate.map { RequestBudget(rate: $0) },
        addresses: configuration.addressRate.map { RequestBudget(rate: $0) },
        attempts: configuration.attemptRate.map { RequestBudget(rate: $0) }))
    self.time = time
    let help = "Requests that were refused because there were too many of them."
    refusedTokens = metrics.counter("cairn_gateway_limited_requests_total", help: help, labels: ["by": "token"])
    refusedAddresses = metrics.counter("cairn_gateway_limited_requests_total", help: help, labels: ["by": "address"])
  }

  /// Counts a request. An answer refuses it; else the head carries its standing to `stamp`.
  func admit(_ head: inout HTTPRequestHead, _ kind: Kind) -> HTTPResponse? {
    guard kind != .free else { return nil }
    let address = RequestLimits.key(ofAddress: head.remoteAddress)
    let token = (try? GatewayCall.token(head.headers)).map(\.hashValue)
    let now = time.monotonic()
    let (name, rate, verdict, isAllowed) = state.withLock { state -> (String, RequestRate?, RateVerdict?, Bool) in
      // The address comes first: whoever makes tokens up has one all the same.
      if let verdict = state.addresses?.take(address, now: now), !verdict.isAllowed {
        return ("address", state.addresses?.rate, verdict, false)
      }
      if kind == .attempt, let verdict = state.attempts?.take(address, now: now) {
        return ("attempts", state.attempts?.rate, verdict, verdict.isAllowed)
      }
      if let token, let verdict = state.tokens?.take(token, now: now) {
        return ("token", state.tokens?.rate, verdict, verdict.isAllowed)
      }
      return ("", nil, nil, true)
    }
    guard let rate, let verdict else { return nil }
    let standing = Standing(
      policy: "\"\(name)\";q=\(rate.burst);w=\(rate.windowSeconds)", limit: "\"\(name)\";r=\(verdict.remaining);t=\(verdict.resetSeconds)",
      address: address)
    head.admission = standing
    guard !isAllowed else { return nil }
    (name == "token" ? refusedTokens : refusedAddresses).increment()
    let problem = Problem(
      .tooManyRequests, "Too many requests from one \(name == "token" ? "token" : "address"): go on more slowly.",
      retryAfter: verdict.retryAfterSeconds)
    return stamp(.problem(problem), head)
  }

  /// Says in an answer how much is left.
  func stamp(_ response: consuming HTTPResponse, _ head: HTTPRequestHead) -> HTTPResponse {
    var response = response
    guard let standing = head.admission as? Standing else { return response }
    response.headers["RateLimit-Policy"] = standing.policy
    response.headers["RateLimit"] = standing.limit
    if response.status == 401 {
      let now = time.monotonic()
      state.withLock { $0.addresses?.charge(standing.address, cost: RequestLimits.strangersCost, now: now) }
    }
    return response
  }

  /// Of IPv6 the first 64 bits, which is what one customer has.
  static func key(ofAddress text: String) -> String {
    guard text.contains(":") else { return text }
    var address = in6_addr()
    guard inet_pton(AF_INET6, text, &address) == 1 else { return text }
    return withUnsafeBytes(of: address) { HexDigits.encode(Array($0.prefix(8))) }
  }
}
