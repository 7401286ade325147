import Foundation
import HTTPTransport
import Platform
import Testing

/// Figures rather than properties; runs only with `CAIRN_BENCH=1`, and means something only in a release build.
@Suite("benchmark", .serialized, .enabled(if: ProcessInfo.processInfo.environment["CAIRN_BENCH"] == "1"))
struct TransportBenchmark {
  private static let block = 4 << 20

  private static func addRoutes(_ router: inout HTTPRouter) {
    let buffer = filled(pattern(block))
    router.add(.get, "/small", inline: { _ in HTTPResponse(status: 200, body: .bytes(Array("hello".utf8))) }) { _, _ in
      HTTPResponse(status: 500)
    }
    router.add(.get, "/handler") { _, _ in HTTPResponse(status: 200, body: .bytes(Array("hello".utf8))) }
    router.add(.get, "/block") { _, _ in HTTPResponse(status: 200, body: .buffer(buffer, range: 0..<block)) }
    let pool = BufferPool(bufferCapacity: block, limit: 32)
    router.add(.put, "/block", maxBodyBytes: block) { head, body in
      guard let buffer = try? await pool.acquire(patience: .seconds(10)) else { return HTTPResponse(status: 503) }
      body.receive(into: buffer, placement: .contiguous, limit: block)
      var (count, ended) = (0, false)
      while !ended {
        guard let next = try? await body.received(beyond: count) else { return HTTPResponse(status: 500) }
        (count, ended) = next
      }
      return HTTPResponse(status: count == head.contentLength ? 201 : 500)
    }
  }

  /// Prints the rate by the clock, and what it would be with two cores to itself, by the processor time that client and server used.
  private static func measured(_ what: String, count: Int, bytes: Int, _ body: () async throws -> Void) async rethrows {
    let (began, processor) = (ContinuousClock.now, processorSeconds())
    try await body()
    let seconds = (ContinuousClock.now - began) / .seconds(1)
    let used = (processorSeconds() - processor) / 2
    let amount = bytes > 0 ? Double(count * bytes) / 1e9 : Double(count)
    let format = bytes > 0 ? "%.2f GB/s by the clock, %.2f GB/s by processor time" : "%.0f/s by the clock, %.0f/s by processor time"
    print("BENCH \(what): " + String(format: format, amount / seconds, amount / used))
  }

  private static func processorSeconds() -> Double {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let seconds = { (time: timeval) in Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
  }

  @Test("4 MiB blocks", arguments: [false, true], [32 << 10, 64 << 10, 128 << 10, 256 << 10])
  func blocks(tls: Bool, memory: Int) async throws {
    let certificates = try await TestCertificates.shared()
    try await withServer {
      $0.connectionMemoryBytes = memory
      if tls { $0.tls = certificates.server }
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      try await withClient {
        $0.caPEM = certificates.ca
      } body: { client in
        for (method, count) in [(HTTPMethod.put, 800), (.get, 800)] {
          let sent = filled(pattern(Self.block))
          try await Self.measured("\(tls ? "TLS" : "plain") \(method.rawValue) 4 MiB, \(memory >> 10) KiB", count: count, bytes: Self.block)
          {
            try await withThrowingTaskGroup(of: Void.self) { group in
              for _ in 0..<4 {
                group.addTask {
                  let target = IOBuffer(capacity: Self.block)
                  for _ in 0..<(count / 4) {
                    let source = UploadSource(buffer: sent, length: Self.block, ready: Self.block)
                    let response = try await client.send(
                      HTTPClientRequest(
                        method: method, url: server.base + "/block", body: method == .put ? .buffer(source) : .none,
                        responseBuffer: method == .get ? target : nil))
                    #expect(response.status == (method == .put ? 201 : 200))
                  }
                }
              }
              try await group.waitForAll()
            }
          }
        }
      }
    }
  }

  @Test("small GETs over plain sockets", arguments: ["/small", "/handler"], [32 << 10, 256 << 10])
  func small(path: String, memory: Int) async throws {
    let (rounds, connections) = (4000, 16)
    try await withServer {
      $0.connectionMemoryBytes = memory
    } routes: {
      Self.addRoutes(&$0)
    } body: { server in
      let port = server.port
      try await Self.measured("small GET \(path), \(memory >> 10) KiB", count: rounds * connections, bytes: 0) {
        try await blocking {
          let sockets = try (0..<connections).map { _ in try RawSocket(port: port) }
          let request = Array("GET \(path) HTTP/1.1\r\nHost: h\r\n\r\n".utf8)
          for _ in 0..<rounds {
            for socket in sockets { try socket.send(request) }
            // Responses are far below a segment, so one read takes one.
            for socket in sockets { #expect(socket.receive(4096)?.count ?? 0 > 100) }
          }
        }
      }
    }
  }

  @Test("small GETs by the client")
  func smallByClient() async throws {
    try await withServer(routes: Self.addRoutes) { server in
      try await withClient { client in
        try await Self.measured("small GET by the client", count: 32_000, bytes: 0) {
          try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
              group.addTask {
                for _ in 0..<2000 { _ = try await client.send(HTTPClientRequest(method: .get, url: server.base + "/small")) }
              }
            }
            try await group.waitForAll()
          }
        }
      }
    }
  }
}
