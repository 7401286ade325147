internal import CZstd

extension Zstandard {
  /// Decodes one frame that arrives in pieces, for checking a block before it is stored: the plain bytes go to a closure piece by piece
  /// and are kept nowhere.
  ///
  /// What must hold: no more than `plainSize` bytes come out, whatever goes in; the memory is the window (at most 4 MiB) and 128 KiB more.
  package struct StreamDecoder: ~Copyable {
    private let context: OpaquePointer
    private let plainSize: Int
    private let storedSize: Int
    private var header: [UInt8] = []
    private var headerAccepted = false
    private var frameEnded = false
    private var consumed = 0
    private var produced = 0

    /// - Parameters:
    ///   - plainSize: bytes of the block; the frame has to say the same.
    ///   - storedSize: bytes of the frame.
    /// - Throws: `.notSmaller` when `storedSize` is not below `plainSize`.
    package init(plainSize: Int, storedSize: Int) throws(ZstandardError) {
      guard storedSize < plainSize else { throw .notSmaller }
      guard let context = Contexts.decompression.take() else { throw .library("no memory for a decoder") }
      ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters)
      ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 22)
      self.context = context
      self.plainSize = plainSize
      self.storedSize = storedSize
    }

    deinit {
      ZSTD_DCtx_reset(context, ZSTD_reset_session_and_parameters)
      Contexts.decompression.giveBack(context)
    }

    /// Takes the next stored bytes and gives what they decode to. After an error the decoder is of no more use.
    package mutating func feed(
      _ stored: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) -> Void
    ) throws(ZstandardError) {
      consumed += stored.count
      guard consumed <= storedSize else { throw .trailingBytes }
      guard !headerAccepted else { return try decode(stored, output) }
      let taken = min(stored.count, ZstandardFrameHeader.maximumSize - header.count)
      header.append(contentsOf: stored[..<taken])
      guard try acceptHeader() else { return }
      let beginning = header
      let result = beginning.withUnsafeBytes { beginning in
        Result { () throws(ZstandardError) in try decode(beginning, output) }
      }
      try result.get()
      try decode(UnsafeRawBufferPointer(rebasing: stored[taken...]), output)
    }

    /// - Throws: `.incomplete` unless the frame has ended, with all its bytes in and all its contents out.
    package consuming func finish() throws(ZstandardError) {
      guard frameEnded, consumed == storedSize else { throw .incomplete }
      guard produced == plainSize else { throw .contentSizeMismatch }
    }

    private mutating func acceptHeader() throws(ZstandardError) -> Bool {
      let parsed = header.withUnsafeBytes { header in
        Result { () throws(ZstandardError) in try ZstandardFrameHeader.parse(header) }
      }
      guard let frame = try parsed.get() else { return false }
      guard frame.contentSize == UInt64(plainSize) else { throw .contentSizeMismatch }
      headerAccepted = true
      return true
    }

    private mutating func decode(_ stored: UnsafeRawBufferPointer, _ output: (UnsafeRawBufferPointer) -> Void) throws(ZstandardError) {
      let pieceSize = 128 << 10
      let result = withUnsafeTemporaryAllocation(byteCount: pieceSize, alignment: 16) { piece in
        Result { () throws(ZstandardError) in try decode(stored, by: piece, output) }
      }
      try result.get()
    }

    private mutating func decode(
      _ stored: UnsafeRawBufferPointer, by piece: UnsafeMutableRawBufferPointer, _ output: (UnsafeRawBufferPointer) -> Void
    ) throws(ZstandardError) {
      var input = ZSTD_inBuffer(src: stored.baseAddress, size: stored.count, pos: 0)
      while true {
        guard !frameEnded else {
          guard input.pos == input.size else { throw .trailingBytes }
          return
        }
        var room = ZSTD_outBuffer(dst: piece.baseAddress, size: piece.count, pos: 0)
        let left = ZSTD_decompressStream(context, &room, &input)
        guard ZSTD_isError(left) == 0 else { throw Zstandard.error(left) }
        frameEnded = left == 0
        produced += room.pos
        guard produced <= plainSize else { throw .contentSizeMismatch }
        if room.pos > 0 { output(UnsafeRawBufferPointer(start: piece.baseAddress, count: room.pos)) }
        // Output that filled the piece may have more behind it; otherwise the decoder is waiting for input.
        if !frameEnded, input.pos == input.size, room.pos < room.size { return }
      }
    }
  }
}
