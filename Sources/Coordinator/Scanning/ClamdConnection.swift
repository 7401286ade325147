internal import Glibc
internal import Platform
internal import Synchronization

/// Why clamd did not say what it thinks of a stream.
package struct ClamdError: Error, Sendable, CustomStringConvertible {
  package enum Code: Sendable, Equatable {
    /// Nobody listens at the socket.
    case unreachable
    /// The connection ended, or nothing moved for too long.
    case interrupted
  }
  package var code: Code
  package var message: String
  package var description: String { message }
}

/// One stream scanned by ClamAV's daemon over its Unix socket: the INSTREAM command of clamd(8).
///
/// What must hold: every call ends, because the socket has deadlines; the answer that is read is bounded. All calls block: they belong on
/// threads of their own, one at a time; `interrupt` may come from anywhere.
package final class ClamdConnection: Sendable {
  /// Bytes of one chunk: below any `StreamMaxLength` that is of use.
  private static let chunkBytes = 256 << 10

  private let descriptor: Int32

  /// Connects and begins a stream.
  /// - Parameter patience: how long nothing may move.
  package init(path: String, patience: Duration) throws(ClamdError) {
    descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw ClamdConnection.error(.unreachable, "a socket cannot be made") }
    // What is thrown from here on has `deinit` close it.
    try set(patience)
    try connect(to: path)
    try Array("zINSTREAM\0".utf8).withUnsafeBytesThrowing { bytes throws(ClamdError) in try write(bytes) }
  }

  deinit { close(descriptor) }

  /// Has whoever is blocked in a call come back.
  package func interrupt() { shutdown(descriptor, Int32(SHUT_RDWR)) }

  /// Sends a part of the stream.
  package func send(_ bytes: UnsafeRawBufferPointer) throws(ClamdError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let chunk = rest.prefix(ClamdConnection.chunkBytes)
      try write(length: chunk.count)
      try write(UnsafeRawBufferPointer(rebasing: chunk))
      rest = rest.dropFirst(chunk.count)
    }
  }

  /// Ends the stream and waits for what was found.
  package func finish() throws(ClamdError) -> ClamdReply {
    try write(length: 0)
    return try answer()
  }

  /// What it said already, when it hung up in the middle of the stream.
  package func answer() throws(ClamdError) -> ClamdReply {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 512)
    while bytes.count <= ClamdReply.limit {
      let count = recv(descriptor, &piece, piece.count, 0)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw ClamdConnection.error(.interrupted, "clamd did not answer") }
      guard count > 0 else { break }
      bytes += piece.prefix(count)
      if bytes.contains(0) { return ClamdReply(parsing: bytes) }
    }
    guard !bytes.isEmpty else { throw ClamdError(code: .interrupted, message: "clamd closed the connection without an answer") }
    return ClamdReply(parsing: bytes)
  }

  // MARK: - The socket

  private func connect(to path: String) throws(ClamdError) {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { place in
      guard path.utf8.count < place.count else { return false }
      place.copyBytes(from: path.utf8)
      return true
    }
    guard fits else { throw ClamdError(code: .unreachable, message: "the path of clamd's socket is too long") }
    while true {
      let result = withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
      if result == 0 { return }
      guard errno == EINTR else { throw ClamdConnection.error(.unreachable, "clamd cannot be reached at \(path)") }
    }
  }

  private func set(_ patience: Duration) throws(ClamdError) {
    var time = timeval(tv_sec: Int(patience.components.seconds), tv_usec: 0)
    for option in [SO_SNDTIMEO, SO_RCVTIMEO] {
      guard setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size)) == 0 else {
        throw ClamdConnection.error(.unreachable, "the socket's deadlines cannot be set")
      }
    }
  }

  private func write(length: Int) throws(ClamdError) {
    let prefix: [UInt8] = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: length >> $0) }
    try prefix.withUnsafeBytesThrowing { bytes throws(ClamdError) in try write(bytes) }
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws(ClamdError) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = Glibc.send(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count, Int32(MSG_NOSIGNAL))
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { throw ClamdConnection.error(.interrupted, "clamd stopped reading") }
      rest = rest.dropFirst(count)
    }
  }

  private static func error(_ code: ClamdError.Code, _ what: String) -> ClamdError {
    let number = errno
    return ClamdError(code: code, message: number == 0 ? what : "\(what): \(String(cString: strerror(number)))")
  }
}

extension Array where Element == UInt8 {
  /// `withUnsafeBytes` with a typed error.
  fileprivate func withUnsafeBytesThrowing(_ body: (UnsafeRawBufferPointer) throws(ClamdError) -> Void) throws(ClamdError) {
    let result: Result<Void, ClamdError> = withUnsafeBytes { bytes in
      do throws(ClamdError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    try result.get()
  }
}
