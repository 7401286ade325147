import Glibc
import Platform
import Synchronization
import TestSupport

/// Something at a Unix socket that speaks INSTREAM, and misbehaves as the content says.
///
/// Content that holds `infected` is found infected; content that begins with `hang`, `close`, `junk`, `error` or `large` has it stay
/// silent, hang up, answer without an end, say that it failed, or say in the middle of the stream that it is too long.
final class FakeClamd: Sendable {
  let path: String
  private let folder: TemporaryFolder
  private let listener = Mutex<Int32>(-1)
  private let seen = Mutex<[Int]>([])

  init() throws {
    folder = try TemporaryFolder()
    path = folder.path("clamd.sock")
  }

  deinit { stop() }

  /// Bytes of each stream that came to its end.
  var streams: [Int] { seen.withLock { $0 } }

  func start() {
    unlink(path)
    let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
    }
    precondition(bound == 0 && listen(descriptor, 8) == 0, "a socket in a folder of its own can be bound")
    listener.withLock { $0 = descriptor }
    _ = WorkerThread.start(name: "fake-clamd") { [weak self] in
      while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0, let self else { return }
        self.serve(connection)
        close(connection)
      }
    }
  }

  func stop() {
    let descriptor = listener.withLock { listener in
      defer { listener = -1 }
      return listener
    }
    guard descriptor >= 0 else { return }
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
    unlink(path)
  }

  private func serve(_ connection: Int32) {
    guard read(connection, 10) == Array("zINSTREAM\0".utf8) else { return answer(connection, "UNKNOWN COMMAND\0") }
    var content: [UInt8] = []
    while let head = read(connection, 4) {
      let length = head.reduce(0) { $0 << 8 | Int($1) }
      if length == 0 { break }
      guard length <= 1 << 20, let chunk = read(connection, length) else { return }
      content += chunk
      if content.starts(with: Array("large".utf8)) { return answer(connection, "INSTREAM size limit exceeded. ERROR\0") }
    }
    seen.withLock { $0.append(content.count) }
    let text = String(decoding: content.prefix(64), as: UTF8.self)
    if text.hasPrefix("hang") {
      _ = read(connection, 1)
    } else if text.hasPrefix("junk") {
      answer(connection, String(repeating: "x", count: 100_000))
    } else if text.hasPrefix("error") {
      answer(connection, "stream: Can't allocate memory ERROR\0")
    } else if !text.hasPrefix("close") {
      answer(connection, text.contains("infected") ? "stream: Fake.Signature FOUND\0" : "stream: OK\0")
    }
  }

  private func read(_ connection: Int32, _ count: Int) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: count)
    var taken = 0
    while taken < count {
      let more = bytes.withUnsafeMutableBytes { recv(connection, $0.baseAddress! + taken, count - taken, 0) }
      if more <= 0 { return nil }
      taken += more
    }
    return bytes
  }

  private func answer(_ connection: Int32, _ text: String) {
    let bytes = Array(text.utf8)
    var sent = 0
    while sent < bytes.count {
      let more = bytes.withUnsafeBytes { send(connection, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL)) }
      if more <= 0 { return }
      sent += more
    }
  }
}
