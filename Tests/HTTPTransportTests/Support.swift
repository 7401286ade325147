import BlockModel
import Foundation
import HTTPTransport
import Platform
import Synchronization
import TestSupport
import Testing

/// Starts a server with routes of the test's own on a free port of 127.0.0.1, and stops it afterwards.
@discardableResult
func withServer<Value>(
  _ change: (inout HTTPServer.Configuration) -> Void = { _ in }, routes: (inout HTTPRouter) -> Void,
  body: (HTTPServer) async throws -> Value
) async throws -> Value {
  var configuration = patientConfiguration()
  change(&configuration)
  var router = HTTPRouter()
  routes(&router)
  let server = HTTPServer(configuration: configuration, router: router)
  try server.start()
  do {
    let value = try await body(server)
    await server.shutdown(grace: .zero)
    return value
  } catch {
    await server.shutdown(grace: .zero)
    throw error
  }
}

/// A server's settings under which no peer counts as slow, however slow the machine is.
func patientConfiguration() -> HTTPServer.Configuration {
  var configuration = HTTPServer.Configuration()
  configuration.idleTimeout = .seconds(600)
  configuration.minimumRateGrace = .seconds(600)
  return configuration
}

/// A client whose threads end with the test.
@discardableResult
func withClient<Value>(
  _ change: (inout HTTPClient.Configuration) -> Void = { _ in }, body: (HTTPClient) async throws -> Value
) async throws -> Value {
  var configuration = HTTPClient.Configuration()
  change(&configuration)
  let client = HTTPClient(configuration: configuration)
  defer { client.shutdown() }
  return try await body(client)
}

extension HTTPServer {
  /// Where this server is.
  var base: String { "\(configuration.tls == nil ? "http" : "https")://127.0.0.1:\(port)" }
}

/// Runs blocking work, such as a plain socket's, away from the threads that the handlers need.
func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result { try body() }) }
  }
}

/// Sleeps the calling thread, which is one that `blocking` made.
func sleepThread(milliseconds: UInt32) { usleep(milliseconds * 1000) }

/// A value shared with handlers.
final class Shared<Value: Sendable>: Sendable {
  private let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
  var now: Value { value.withLock { $0 } }
  func change(_ body: (inout Value) -> Void) { value.withLock { body(&$0) } }
}

/// Something that a handler waits for until the test opens it.
final class Door: Sendable {
  private let isOpen = Shared(false)
  func open() { isOpen.change { $0 = true } }
  func pass() async { while !isOpen.now, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(2)) } }
}

struct RawSocketError: Error { var number: Int32 }

/// A port that is taken and that nobody listens on.
final class SilentPort: Sendable {
  let number: Int
  private let descriptor: Int32

  init() {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        _ = bind(descriptor, address, length)
        _ = getsockname(descriptor, address, &length)
      }
    }
    number = Int(in_port_t(bigEndian: address.sin_port))
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }
}

/// A plain listening socket, for a server that does what no server of ours would.
final class RawListener: Sendable {
  let port: Int
  private let descriptor: Int32

  init() {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        _ = bind(descriptor, address, length)
        _ = listen(descriptor, 16)
        _ = getsockname(descriptor, address, &length)
      }
    }
    port = Int(in_port_t(bigEndian: address.sin_port))
  }

  deinit { close(descriptor) }

  /// The next connection; nil when none comes in time.
  func accept(seconds: Int = 60) -> RawSocket? {
    var timeout = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    let connection = Glibc.accept(descriptor, nil, nil)
    return connection < 0 ? nil : RawSocket(descriptor: connection)
  }

  /// Refuses what comes from now on.
  func stop() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }
}

/// A plain blocking socket, for sending what no HTTP client would.
final class RawSocket: Sendable {
  private let descriptor: Int32

  init(port: Int, receiveBuffer: Int32? = nil, seconds: Int = 60) throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    if var size = receiveBuffer { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size)) }
    var timeout = timeval(tv_sec: seconds, tv_usec: 0)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(port).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
    guard result == 0 else {
      let number = errno
      close(descriptor)
      // Before the property is set, because afterwards `deinit` would close a second time.
      throw RawSocketError(number: number)
    }
    self.descriptor = descriptor
  }

  /// A connection that was accepted.
  init(descriptor: Int32) { self.descriptor = descriptor }

  deinit { close(descriptor) }

  /// Sends all, or throws what the system says.
  func send(_ bytes: [UInt8]) throws {
    var sent = 0
    while sent < bytes.count {
      let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { throw RawSocketError(number: errno) }
      sent += count
    }
  }

  func send(_ text: String) throws { try send(Array(text.utf8)) }

  /// At most `limit` bytes; empty at the end, nil when the connection broke or nothing came in time.
  func receive(_ limit: Int = 65536) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: limit)
    let count = recv(descriptor, &bytes, limit, 0)
    return count < 0 ? nil : Array(bytes[..<count])
  }

  /// Everything until the peer closes, breaks, or falls silent.
  func receiveToEnd() -> String {
    var all: [UInt8] = []
    while let bytes = receive(), !bytes.isEmpty { all += bytes }
    return String(decoding: all, as: UTF8.self)
  }

  /// One response with `Content-Length`, head and body.
  func receiveResponse() -> RawResponse? {
    var all: [UInt8] = []
    while true {
      if let response = RawResponse(parsing: all) { return response }
      guard let bytes = receive(1), !bytes.isEmpty else { return nil }
      all += bytes
    }
  }

  func shutdownSending() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

  /// Whether the peer has closed, as far as this side knows.
  var isClosed: Bool { receive(1).map(\.isEmpty) ?? true }
}

struct RawResponse: Sendable {
  var status: Int
  var head: String
  var body: String

  init?(parsing bytes: [UInt8]) {
    let text = String(decoding: bytes, as: UTF8.self)
    guard let end = text.range(of: "\r\n\r\n") else { return nil }
    head = String(text[..<end.lowerBound])
    body = String(text[end.upperBound...])
    status = Int(head.split(separator: " ").dropFirst().first ?? "") ?? 0
    let length =
      head.lowercased().split(separator: "\r\n").first { $0.hasPrefix("content-length:") }
      .flatMap { Int($0.dropFirst(15).trimmingCharacters(in: .whitespaces)) } ?? 0
    guard status < 200 || body.utf8.count >= length else { return nil }
  }
}

/// Bytes that differ from place to place, so that a misplaced one shows.
func pattern(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var random = SeededRandom(seed: seed)
  return random.bytes(count)
}

/// A buffer of its own with `bytes` in it.
func filled(_ bytes: [UInt8]) -> IOBuffer {
  let buffer = IOBuffer(capacity: max(1, bytes.count))
  bytes.withUnsafeBytes { if $0.count > 0 { buffer.mutableBytes(0..<bytes.count).copyMemory(from: $0) } }
  return buffer
}

/// Typed throws and `#expect` do not go together; this waits for the response first.
func expectStatus(
  _ status: Int, _ response: @autoclosure () async throws -> HTTPClientResponse, at location: SourceLocation = #_sourceLocation
) async throws {
  let got = try await response()
  #expect(got.status == status, sourceLocation: location)
}
