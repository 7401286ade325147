import HTTPTransport
import Platform
import ServiceAPI

/// A gateway's API as a user calls it: documents in and out, each request once.
struct APICaller: Sendable {
  let http: HTTPClient
  let gateway: String
  let token: String

  /// - Throws: `RequestFailed` for any answer but a 2xx.
  func raw(_ method: HTTPMethod, _ path: String, _ body: [UInt8]? = nil) async throws -> [UInt8] {
    var headers: HTTPHeaders = ["Authorization": "Bearer \(token)"]
    if body != nil { headers["Content-Type"] = "application/json" }
    let response = try await http.send(
      HTTPClientRequest(method: method, url: gateway + path, headers: headers, body: body.map { .bytes($0) } ?? .none))
    guard (200..<300).contains(response.status) else {
      throw RequestFailed(status: response.status, text: String(decoding: response.bytes.prefix(400), as: UTF8.self))
    }
    return response.bytes
  }

  func call<Answer: Decodable>(
    _ method: HTTPMethod, _ path: String, _ body: (some Encodable)?, as type: Answer.Type
  ) async throws -> Answer {
    try JSONCoding.decode(type, from: try await raw(method, path, try body.map { try JSONCoding.encode($0) }))
  }

  func get<Answer: Decodable>(_ path: String, as type: Answer.Type) async throws -> Answer {
    try JSONCoding.decode(type, from: try await raw(.get, path))
  }
}
