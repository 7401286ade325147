/// Which pages of other origins may call a server from a browser.
struct CORSPolicy: Sendable {
  /// As configured; `*` stands for every one.
  let origins: [String]

  /// What a browser asks before a request that it would not send by itself; nil when this is no such question.
  func preflight(_ head: HTTPRequestHead, _ router: HTTPRouter) -> HTTPResponse? {
    guard head.method == .options, head.headers["Origin"] != nil, let wanted = head.headers["Access-Control-Request-Method"] else {
      return nil
    }
    guard case .methodNotAllowed(let allowed) = router.match(HTTPMethod(rawValue: "\u{0}"), head.target) else { return nil }
    var response = HTTPResponse(status: 204, headers: ["Allow": allowed.map(\.rawValue).joined(separator: ", ")])
    guard isAllowed(head), allowed.contains(HTTPMethod(rawValue: wanted)) else { return response }
    response.headers["Access-Control-Allow-Methods"] = allowed.map(\.rawValue).joined(separator: ", ")
    if let names = head.headers["Access-Control-Request-Headers"], CORSPolicy.isHeaderList(names) {
      response.headers["Access-Control-Allow-Headers"] = names
    }
    response.headers["Access-Control-Max-Age"] = "600"
    return response
  }

  /// Adds what lets the page read the response.
  func apply(to response: inout HTTPResponse, for head: HTTPRequestHead) {
    guard !origins.isEmpty, let origin = head.headers["Origin"] else { return }
    response.headers.append("Vary", "Origin")
    guard isAllowed(head) else { return }
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] =
      "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, ETag, Link, Location, "
      + "RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"
  }

  private func isAllowed(_ head: HTTPRequestHead) -> Bool {
    guard let origin = head.headers["Origin"], !origin.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7f }) else { return false }
    return origins.contains("*") || origins.contains(origin)
  }

  private static func isHeaderList(_ text: String) -> Bool {
    text.utf8.count <= 1024
      && text.utf8.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
          UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: ","), UInt8(ascii: " "):
          true
        default: false
        }
      }
  }
}
