import Foundation
import HTTPTransport
import Platform
import Testing

@Suite("requests and responses")
struct ExchangeTests {
  private static func start(atOnce: Bool) -> HTTPGate {
    { head in
      head.startsAtOnce = atOnce
      return nil
    }
  }

  @Test("a handler that began on the network thread keeps nobody waiting while it waits")
  func waitingAtOnce() async throws {
    let (gates, opener) = AsyncStream<Void>.makeStream()
    try await withServer {
      $0.threads = 1
    } routes: { router in
      router.add(.get, "/waits", gate: Self.start(atOnce: true)) { _, _ in
        for await _ in gates { break }
        return HTTPResponse(status: 200, body: .bytes(Array("waited".utf8)))
      }
      router.add(.get, "/opens", gate: Self.start(atOnce: true)) { _, _ in
        opener.yield()
        return HTTPResponse(status: 200, body: .bytes(Array("opened".utf8)))
      }
    } body: { server in
      try await withClient { client in
        async let first = client.send(HTTPClientRequest(method: .get, url: server.base + "/waits"))
        let second = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/opens"))
        #expect(second.bytes == Array("opened".utf8))
        #expect(try await first.bytes == Array("waited".utf8))
      }
    }
  }

  @Test(
    "a handler that looked at a body's beginning gets all of it afterwards, in order",
    arguments: [0, 1, 999, 1000, 1001, 40_000, 3_000_000])
  func beginning(length: Int) async throws {
    let sent = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    try await withServer { _ in
    } routes: { router in
      router.add(.post, "/", maxBodyBytes: 4 << 20) { head, body in
        do {
          let beginning = try await body.beginning(min(length, 1000))
          let buffer = IOBuffer(capacity: max(1, length))
          body.receive(into: buffer, placement: .contiguous, limit: length)
          var progress = (count: 0, ended: false)
          while !progress.ended { progress = try await body.received(beyond: progress.count) }
          return HTTPResponse(status: 200, body: .bytes(beginning + Array(buffer.bytes(0..<progress.count))))
        } catch { return HTTPResponse(status: 500) }
      }
    } body: { server in
      try await withClient { client in
        let answer = try await client.send(HTTPClientRequest(method: .post, url: server.base + "/", body: .bytes(sent)))
        #expect(answer.status == 200 && answer.bytes == Array(sent.prefix(1000)) + sent)
      }
    }
  }

  @Test("a body's beginning is there before the rest is sent, and a handler that dislikes it answers at once")
  func beginningAlone() async throws {
    let seen = Shared(0)
    try await withServer { _ in
    } routes: { router in
      router.add(.post, "/", maxBodyBytes: 4 << 20) { _, body in
        let count = (try? await body.beginning(1000).count) ?? -1
        seen.change { $0 = count }
        return HTTPResponse(status: 403)
      }
    } body: { server in
      try await withClient { client in
        let source = UploadSource(buffer: IOBuffer(capacity: 1 << 20), length: 1 << 20, ready: 1500)
        let request = HTTPClientRequest(method: .post, url: server.base + "/", body: .buffer(source))
        async let answer = client.send(request)
        while seen.now == 0 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(seen.now == 1000)
        source.advance(to: 1 << 20)
        #expect(try await answer.status == 403)
      }
    }
  }

  @Test("a GET is answered on the network thread and by a handler alike", arguments: ["/inline", "/handler"])
  func get(path: String) async throws {
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/inline", inline: { _ in HTTPResponse(status: 200, body: .bytes(Array("here".utf8))) }) { _, _ in
        HTTPResponse(status: 500)
      }
      router.add(.get, "/handler", inline: { _ in nil }) { _, _ in HTTPResponse(status: 200, body: .bytes(Array("here".utf8))) }
    } body: { server in
      try await withClient { client in
        for _ in 0..<3 {
          let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + path))
          #expect(response.status == 200)
          #expect(response.bytes == Array("here".utf8))
          #expect(response.headers["X-Request-Id"]?.count == 32)
        }
      }
      #expect(server.counters.requests == 3)
    }
  }

  @Test(
    "a body arrives whole and in place, wherever the handler begins",
    arguments: [0, 1, 1000, 32 << 10, (32 << 10) + 1, 300_000, 4 << 20], [false, true])
  func put(size: Int, startsAtOnce: Bool) async throws {
    let sent = pattern(size)
    let got = Shared<[UInt8]>([])
    try await withServer {
      $0.connectionMemoryBytes = 128 << 10
    } routes: { router in
      router.add(.put, "/block", maxBodyBytes: 4 << 20, gate: Self.start(atOnce: startsAtOnce)) { head, body in
        let buffer = IOBuffer(capacity: 8 << 20)
        let placement = BodyPlacement(base: 100, piece: 1000, stride: 1016)
        body.receive(into: buffer, placement: placement, limit: 4 << 20)
        var (count, ended) = (0, false)
        do {
          while !ended { (count, ended) = try await body.received(beyond: count) }
        } catch {
          return HTTPResponse(status: 500)
        }
        let taken = count
        got.change { bytes in
          for offset in 0..<taken { bytes.append(buffer.bytes(0..<buffer.capacity)[100 + offset / 1000 * 1016 + offset % 1000]) }
        }
        return HTTPResponse(status: 201, headers: ["X-Length": "\(head.contentLength ?? -1)"])
      }
    } body: { server in
      try await withClient { client in
        let source = UploadSource(buffer: filled(sent), length: size, ready: size)
        let response = try await client.send(HTTPClientRequest(method: .put, url: server.base + "/block", body: .buffer(source)))
        #expect(response.status == 201)
        #expect(response.headers["x-length"] == "\(size)")
        #expect(got.now == sent)
      }
    }
  }

  @Test("a collected body is the one that was sent", arguments: [0, 5, 40_000, 900_000])
  func post(size: Int) async throws {
    let sent = pattern(size)
    try await withServer { _ in
    } routes: { router in
      router.add(.post, "/echo") { _, body in
        guard let bytes = try? await body.collect(limit: 1 << 20) else { return HTTPResponse(status: 500) }
        return HTTPResponse(status: 200, body: .bytes(bytes))
      }
    } body: { server in
      try await withClient { client in
        let response = try await client.send(HTTPClientRequest(method: .post, url: server.base + "/echo", body: .bytes(sent)))
        #expect(response.status == 200)
        #expect(response.bytes == sent)
      }
    }
  }

  @Test("a block is sent from memory into memory", arguments: [0, 1, 70_000, 4 << 20])
  func getBuffer(size: Int) async throws {
    let bytes = pattern(size)
    let buffer = filled(bytes)
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/block") { _, _ in HTTPResponse(status: 200, body: .buffer(buffer, range: 0..<size)) }
    } body: { server in
      try await withClient { client in
        let target = IOBuffer(capacity: 4 << 20)
        let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/block", responseBuffer: target))
        #expect(response.count == size)
        #expect(response.bytes.isEmpty)
        #expect(target.bytes(0..<size).elementsEqual(bytes))
      }
    }
  }

  @Test("a stream arrives whole, with and without a length", arguments: [true, false])
  func stream(hasLength: Bool) async throws {
    let pieces = (0..<50).map { pattern(10_000 + $0, seed: UInt64($0)) }
    let whole = pieces.flatMap { $0 }
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/stream") { _, _ in
        let next = Shared(0)
        return HTTPResponse(
          status: 200,
          body: .stream(length: hasLength ? whole.count : nil) {
            let index = next.now
            next.change { $0 += 1 }
            if index % 3 == 0 { try await Task.sleep(for: .milliseconds(1)) }
            guard index < pieces.count else { return nil }
            return index % 2 == 0 ? .bytes(pieces[index]) : .buffer(filled(pieces[index]), range: 0..<pieces[index].count)
          })
      }
    } body: { server in
      try await withClient { client in
        for _ in 0..<2 {
          let response = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/stream"))
          #expect(response.bytes == whole)
          #expect(response.headers["Content-Length"] == (hasLength ? "\(whole.count)" : nil))
        }
      }
    }
  }

  @Test("a stream that fails breaks the connection instead of looking whole", arguments: [true, false])
  func brokenStream(hasLength: Bool) async throws {
    struct Broken: Error {}
    try await withServer { _ in
    } routes: { router in
      router.add(.get, "/stream") { _, _ in
        let next = Shared(0)
        return HTTPResponse(
          status: 200,
          body: .stream(length: hasLength ? 100_000 : nil) {
            next.change { $0 += 1 }
            if next.now == 3 { throw Broken() }
            return .bytes([UInt8](repeating: 1, count: 1000))
          })
      }
    } body: { server in
      try await withClient { client in
        await #expect(throws: HTTPClientError.self) {
          try await client.send(HTTPClientRequest(method: .get, url: server.base + "/stream"))
        }
      }
    }
  }
}
