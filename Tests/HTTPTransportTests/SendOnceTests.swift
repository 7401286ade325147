import HTTPTransport
import Testing

/// A kept connection may end while a request is on it, and nobody can tell whether the peer has read that.
@Suite("requests on connections that end") struct SendOnceTests {
  private static let nothing = "nothing"
  private static let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

  /// Answers one request, takes another one on the same connection and ends it; then answers whatever comes on further ones.
  /// - Returns: the first lines of what came after the first request.
  private static func serve(_ listener: RawListener, goesAway: Bool) async throws -> [String] {
    try await blocking {
      var lines: [String] = []
      guard let kept = listener.accept() else { return lines }
      _ = firstLine(kept)
      try kept.send(ok)
      lines.append(firstLine(kept))
      if goesAway {
        listener.stop()
        return lines
      }
      kept.shutdownSending()
      while let another = listener.accept(seconds: 1) {
        let line = firstLine(another)
        // A connection over which nothing is sent does no harm.
        guard line != nothing else { continue }
        lines.append(line)
        try another.send(ok)
      }
      return lines
    }
  }

  private static func firstLine(_ socket: RawSocket) -> String {
    var bytes: [UInt8] = []
    while let more = socket.receive(), !more.isEmpty {
      bytes += more
      let text = String(decoding: bytes, as: UTF8.self)
      // Bodies here are shorter than what is received at once.
      if let end = text.split(separator: "\r\n", omittingEmptySubsequences: false).first, text.contains("\r\n\r\n") { return String(end) }
    }
    return nothing
  }

  private static func outcome(
    _ request: HTTPClientRequest, on listener: RawListener, goesAway: Bool = false
  ) async throws -> (code: HTTPClientError.Code?, seen: [String]) {
    async let seen = serve(listener, goesAway: goesAway)
    let code = try await withClient({ $0.connectionsPerHost = 1 }) { client -> HTTPClientError.Code? in
      _ = try await client.send(HTTPClientRequest(method: .get, url: "http://127.0.0.1:\(listener.port)/first"))
      do throws(HTTPClientError) {
        _ = try await client.send(request)
        return nil
      } catch { return error.code }
    }
    return (code, try await seen)
  }

  @Test(
    "one that may change something goes out once, and its outcome is unknown",
    arguments: [HTTPMethod.delete, .post, .patch, .put])
  func changesGoOutOnce(_ method: HTTPMethod) async throws {
    let listener = RawListener()
    let body: HTTPClientRequest.Body = method == .delete ? .none : .bytes(Array("{}".utf8))
    let request = HTTPClientRequest(method: method, url: "http://127.0.0.1:\(listener.port)/second", body: body)
    let (code, seen) = try await Self.outcome(request, on: listener)
    #expect(code == .broken)
    #expect(seen == ["\(method.rawValue) /second HTTP/1.1"])
  }

  @Test("one that only reads is sent again")
  func readsAreSentAgain() async throws {
    let listener = RawListener()
    let (code, seen) = try await Self.outcome(
      HTTPClientRequest(method: .get, url: "http://127.0.0.1:\(listener.port)/second"), on: listener)
    #expect(code == nil)
    #expect(seen == ["GET /second HTTP/1.1", "GET /second HTTP/1.1"])
  }

  @Test(
    "a server that died with the request on it does not count as one that was never reached",
    arguments: [HTTPMethod.delete, .post, .get])
  func deathIsNoRefusal(_ method: HTTPMethod) async throws {
    let listener = RawListener()
    let (code, seen) = try await Self.outcome(
      HTTPClientRequest(method: method, url: "http://127.0.0.1:\(listener.port)/second"), on: listener, goesAway: true)
    #expect(code == .broken)
    #expect(seen == ["\(method.rawValue) /second HTTP/1.1"])
  }
}
