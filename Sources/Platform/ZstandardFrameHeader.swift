/// What a zstd frame says of itself (RFC 8878, section 3.1.1.1), read before the decoder sees a byte.
///
/// What must hold: only frames that state their exact content size, want no dictionary and at most 4 MiB of window get further, so what
/// a stranger sends decides over neither memory nor time.
struct ZstandardFrameHeader: Equatable {
  /// Bytes of plain content.
  var contentSize: UInt64
  /// Bytes that the decoder looks back.
  var windowSize: UInt64

  /// The longest header: magic, descriptor, window, dictionary, content size.
  static let maximumSize = 18
  static let windowLimit: UInt64 = 4 << 20
  private static let magic: [UInt8] = [0x28, 0xB5, 0x2F, 0xFD]

  /// Nil when more bytes are needed.
  static func parse(_ bytes: UnsafeRawBufferPointer) throws(ZstandardError) -> ZstandardFrameHeader? {
    for (index, expected) in magic.enumerated() {
      guard index < bytes.count else { return nil }
      guard bytes[index] == expected else { throw .notAFrame }
    }
    guard bytes.count > 4 else { return nil }
    let descriptor = bytes[4]
    let isSingleSegment = descriptor & 0b0010_0000 != 0
    guard descriptor & 0b0000_1000 == 0 else { throw .notAFrame }
    guard descriptor & 0b0000_0011 == 0 else { throw .dictionary }
    let sizeFieldBytes: Int
    switch descriptor >> 6 {
    case 0: sizeFieldBytes = isSingleSegment ? 1 : 0
    case 1: sizeFieldBytes = 2
    case 2: sizeFieldBytes = 4
    default: sizeFieldBytes = 8
    }
    guard sizeFieldBytes > 0 else { throw .contentSizeMismatch }
    let sizeFieldStart = isSingleSegment ? 5 : 6
    guard bytes.count >= sizeFieldStart + sizeFieldBytes else { return nil }
    var contentSize: UInt64 = 0
    for index in (0..<sizeFieldBytes).reversed() { contentSize = contentSize << 8 | UInt64(bytes[sizeFieldStart + index]) }
    if sizeFieldBytes == 2 { contentSize += 256 }
    let windowSize: UInt64
    if isSingleSegment {
      windowSize = contentSize
    } else {
      let exponent = UInt64(bytes[5] >> 3)
      let mantissa = UInt64(bytes[5] & 7)
      let base: UInt64 = 1 << (10 + exponent)
      windowSize = base + base / 8 * mantissa
    }
    guard windowSize <= windowLimit else { throw .windowTooLarge }
    return ZstandardFrameHeader(contentSize: contentSize, windowSize: windowSize)
  }
}
