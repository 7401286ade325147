internal import CMicroHTTPD
internal import Platform
internal import Synchronization

/// A response body that is pulled piece by piece: one piece is asked for when the one before has gone to the socket, so that a slow
/// reader holds one piece in memory and no more.
final class ResponseStream: Sendable {
  private struct State {
    var piece: HTTPBodyPiece?
    /// Bytes of `piece` that were handed over.
    var offset = 0
    var isPulling = false
    var hasEnded = false
    var hasFailed = false
    var sent = 0
    var task: Task<Void, Never>?
  }

  private let length: Int?
  private let isEvents: Bool
  private let next: @Sendable () async throws -> HTTPBodyPiece?
  private let exchange: Exchange
  private let state = Mutex(State())

  init(length: Int?, isEvents: Bool, next: @escaping @Sendable () async throws -> HTTPBodyPiece?, exchange: Exchange) {
    self.length = length
    self.isEvents = isEvents
    self.next = next
    self.exchange = exchange
  }

  /// Body bytes that were handed over.
  var sent: Int { state.withLock { $0.sent } }

  /// Whether `read` has something to say.
  var isReady: Bool { state.withLock { $0.piece != nil || $0.hasEnded || $0.hasFailed } }

  private enum Reading {
    case bytes(Int)
    case end
    case failure
    case wait(pull: Bool)
  }

  /// The library's call for more, on the network thread.
  func read(into bytes: UnsafeMutableRawBufferPointer) -> Int {
    switch state.withLock({ advance(&$0, bytes) }) {
    case .bytes(let count): return count
    case .end: return cairn_mhd_end_of_stream
    case .failure: return cairn_mhd_end_with_error
    case .wait(let mustPull):
      if mustPull { pull() }
      exchange.suspendUntilPiece(self)
      return 0
    }
  }

  private func advance(_ state: inout State, _ bytes: UnsafeMutableRawBufferPointer) -> Reading {
    if state.hasFailed { return .failure }
    if let piece = state.piece {
      let left = piece.count - state.offset
      // More than was announced: a broken connection is better than a body that looks whole.
      if let length, left > length - state.sent { return .failure }
      let count = min(left, bytes.count)
      piece.copy(from: state.offset, into: UnsafeMutableRawBufferPointer(rebasing: bytes[..<count]))
      state.offset += count
      state.sent += count
      if state.offset == piece.count {
        state.piece = nil
        state.offset = 0
      }
      return .bytes(count)
    }
    if state.hasEnded { return length.map { $0 == state.sent } ?? true ? .end : .failure }
    defer { state.isPulling = true }
    return .wait(pull: !state.isPulling)
  }

  private func pull() {
    let task = Task { [self] in
      do {
        var piece = try await next()
        while let empty = piece, empty.count == 0 {
          try Task.checkCancellation()
          piece = try await next()
        }
        deliver { state in
          state.piece = piece
          if piece == nil { state.hasEnded = true }
        }
      } catch {
        // A stream that was told to end may be cancelled out of its wait, which is no failure.
        deliver { if !$0.hasEnded { $0.hasFailed = true } }
      }
    }
    let isLate = state.withLock { state in
      if state.isPulling { state.task = task }
      return state.hasFailed
    }
    if isLate { task.cancel() }
  }

  private func deliver(_ change: (inout State) -> Void) {
    state.withLock { state in
      change(&state)
      state.isPulling = false
      state.task = nil
    }
    exchange.resume()
  }

  /// The connection is gone: whoever makes the pieces may stop.
  func cancel() {
    let task = state.withLock { state in
      state.hasFailed = true
      return state.task
    }
    task?.cancel()
  }

  /// Ends the stream properly when it is one of events, which its reader takes up again elsewhere.
  func endIfEvents() {
    guard isEvents else { return }
    let task = state.withLock { state in
      state.hasEnded = true
      return state.task
    }
    task?.cancel()
    exchange.resume()
  }
}

extension HTTPBodyPiece {
  var count: Int {
    switch self {
    case .bytes(let bytes): bytes.count
    case .buffer(_, let range): range.count
    }
  }

  fileprivate func copy(from offset: Int, into target: UnsafeMutableRawBufferPointer) {
    switch self {
    case .bytes(let bytes):
      bytes.withUnsafeBytes { target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<(offset + target.count)])) }
    case .buffer(let buffer, let range):
      let start = range.lowerBound + offset
      target.copyMemory(from: buffer.bytes(start..<(start + target.count)))
    }
  }
}
