internal import CZstd
internal import Synchronization

/// Blocks in compressed form: one zstd frame with its content size, window at most 4 MiB, no dictionary.
package enum Zstandard {
  /// Fast enough to keep up with a network, and where zstd's gain per effort is best.
  package static let defaultLevel = 3

  /// The frame, nil when it would not be smaller than `plain`. Levels are 1 to 19.
  package static func compress(_ plain: UnsafeRawBufferPointer, level: Int = defaultLevel) -> [UInt8]? {
    guard plain.count > 1 else { return nil }
    // One byte less than the plain length: what does not fit into it is not worth storing, and the library stops early.
    var isSmaller = false
    let frame = [UInt8](unsafeUninitializedCapacity: plain.count - 1) { buffer, count in
      let room = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<(plain.count - 1)])
      count = compress(plain, into: room, level: level) ?? 0
      isSmaller = count > 0
    }
    return isSmaller ? frame : nil
  }

  /// Writes the frame into `destination` and answers its length, nil when it does not fit or would not be smaller than `plain`.
  package static func compress(
    _ plain: UnsafeRawBufferPointer, into destination: UnsafeMutableRawBufferPointer, level: Int = defaultLevel
  ) -> Int? {
    let room = min(destination.count, plain.count - 1)
    guard room > 0 else { return nil }
    return Contexts.compression.borrow { context in
      guard let context else { return nil }
      ZSTD_CCtx_reset(context, ZSTD_reset_session_and_parameters)
      ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Int32(max(1, min(level, 19))))
      ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
      if plain.count > 4 << 20 { ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, 22) }
      let written = ZSTD_compress2(context, destination.baseAddress, room, plain.baseAddress, plain.count)
      return ZSTD_isError(written) == 0 ? written : nil
    }
  }

  /// Decodes one frame whose contents are exactly as long as `plain`.
  ///
  /// - Throws: `ZstandardError` when `stored` is anything but that; `plain` holds undefined bytes then.
  package static func decode(_ stored: UnsafeRawBufferPointer, into plain: UnsafeMutableRawBufferPointer) throws(ZstandardError) {
    guard stored.count < plain.count else { throw .notSmaller }
    guard let header = try ZstandardFrameHeader.parse(stored) else { throw .incomplete }
    guard header.contentSize == UInt64(plain.count) else { throw .contentSizeMismatch }
    let frameSize = ZSTD_findFrameCompressedSize(stored.baseAddress, stored.count)
    guard ZSTD_isError(frameSize) == 0 else { throw error(frameSize) }
    guard frameSize == stored.count else { throw .trailingBytes }
    let count: Int? = Contexts.decompression.borrow { context in
      context.map { ZSTD_decompressDCtx($0, plain.baseAddress, plain.count, stored.baseAddress, stored.count) }
    }
    guard let count else { throw .library("no memory for a decoder") }
    guard ZSTD_isError(count) == 0 else { throw error(count) }
    guard count == plain.count else { throw .contentSizeMismatch }
  }

  static func error(_ code: Int) -> ZstandardError {
    let words = String(cString: ZSTD_getErrorName(code))
    switch ZSTD_getErrorCode(code) {
    case ZSTD_error_srcSize_wrong: return .incomplete
    case ZSTD_error_prefix_unknown: return .notAFrame
    case ZSTD_error_memory_allocation: return .library(words)
    default: return .damaged(words)
    }
  }
}

/// The library's working memory, kept for reuse: making it costs more than compressing a small block.
final class Contexts: Sendable {
  static let compression = Contexts(make: { ZSTD_createCCtx() }, free: { ZSTD_freeCCtx($0) })
  static let decompression = Contexts(make: { ZSTD_createDCtx() }, free: { ZSTD_freeDCtx($0) })

  /// Idle contexts kept at most; each holds up to a few MiB.
  private static let kept = 8

  /// `@unchecked`: a context belongs to whoever took it off the list, one thread at a time.
  private struct Context: @unchecked Sendable {
    let pointer: OpaquePointer
  }

  private let idle = Mutex<[Context]>([])
  private let make: @Sendable () -> OpaquePointer?
  private let free: @Sendable (OpaquePointer) -> Void

  private init(make: @escaping @Sendable () -> OpaquePointer?, free: @escaping @Sendable (OpaquePointer) -> Void) {
    self.make = make
    self.free = free
  }

  /// A context that nobody else has until `giveBack`, nil when there is no memory.
  func take() -> OpaquePointer? { idle.withLock { $0.popLast() }?.pointer ?? make() }

  func giveBack(_ pointer: OpaquePointer) {
    let context = Context(pointer: pointer)
    let isKept = idle.withLock { idle in
      guard idle.count < Contexts.kept else { return false }
      idle.append(context)
      return true
    }
    if !isKept { free(pointer) }
  }

  func borrow<R>(_ body: (OpaquePointer?) -> R) -> R {
    let context = take()
    defer { if let context { giveBack(context) } }
    return body(context)
  }
}
