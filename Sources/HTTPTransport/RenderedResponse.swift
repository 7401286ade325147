internal import CMicroHTTPD
internal import Platform

/// A response in the library's form. Bodies in pooled buffers are sent from where they are.
struct RenderedResponse {
  private let response: OpaquePointer?
  private let status: Int
  /// Bytes of a body that is all there; 0 for streams.
  let fixedLength: Int
  let stream: ResponseStream?

  /// Bytes that the library asks a stream for at once, and holds in memory for it.
  private static let streamBlock = 64 << 10
  /// Events are short, and their streams many: the library zeroes a block for each.
  private static let eventBlock = 1 << 10

  init(_ source: HTTPResponse, head: HTTPRequestHead, exchange: Exchange) {
    status = source.status
    let hasNoBody = head.method == .head || source.status == 204 || source.status == 304
    var stream: ResponseStream?
    var fixedLength = 0
    switch source.body {
    case .none:
      if head.method == .head, let length = source.headers["Content-Length"].flatMap(UInt64.init) {
        // The length of the body that GET would have; it is not asked for, so nothing has to provide it.
        response = cairn_mhd_response_streaming(length, 16, { _, _, _, _ in cairn_mhd_end_with_error }, nil, nil)
      } else {
        response = cairn_mhd_response_copying("", 0)
      }
    case .bytes(let bytes):
      response = bytes.withUnsafeBytes { cairn_mhd_response_copying($0.baseAddress, $0.count) }
      fixedLength = hasNoBody ? 0 : bytes.count
    case .buffer(let buffer, let range):
      response = RenderedResponse.lending(buffer, range)
      fixedLength = hasNoBody ? 0 : range.count
    case .stream(let length, let next):
      let events = source.headers["Content-Type"]?.hasPrefix("text/event-stream") ?? false
      let made = ResponseStream(length: length, isEvents: events, next: next, exchange: exchange)
      stream = made
      response = cairn_mhd_response_streaming(
        length.map { UInt64($0) } ?? UInt64.max, events ? RenderedResponse.eventBlock : RenderedResponse.streamBlock,
        RenderedResponse.read,
        Unmanaged.passRetained(made).toOpaque(), RenderedResponse.release)
    }
    self.stream = hasNoBody ? nil : stream
    self.fixedLength = fixedLength
    for (name, value) in source.headers.fields where !RenderedResponse.isFraming(name) {
      // The library refuses a field with a line break in it; the response is better without such a field than with two.
      if let response { MHD_add_response_header(response, name, value) }
    }
  }

  /// Gives the response to the library, on the connection's network thread. False when it took none.
  func queue(on handle: ConnectionHandle) -> Bool {
    guard let response else { return false }
    defer { MHD_destroy_response(response) }
    return MHD_queue_response(handle.pointer, UInt32(status), response) == cairn_mhd_yes
  }

  private static func lending(_ buffer: IOBuffer, _ range: Range<Int>) -> OpaquePointer? {
    let bytes = buffer.mutableBytes(range)
    guard let base = bytes.baseAddress, bytes.count > 0 else { return cairn_mhd_response_copying("", 0) }
    return MHD_create_response_from_buffer_with_free_callback_cls(
      bytes.count, base, RenderedResponse.giveBack, Unmanaged.passRetained(buffer).toOpaque())
  }

  private static let giveBack: MHD_ContentReaderFreeCallback = { buffer in
    if let buffer { Unmanaged<IOBuffer>.fromOpaque(buffer).release() }
  }

  private static let read: MHD_ContentReaderCallback = { context, _, bytes, limit in
    guard let context, let bytes else { return cairn_mhd_end_with_error }
    return Unmanaged<ResponseStream>.fromOpaque(context).takeUnretainedValue()
      .read(into: UnsafeMutableRawBufferPointer(start: bytes, count: limit))
  }

  private static let release: MHD_ContentReaderFreeCallback = { context in
    if let context { Unmanaged<ResponseStream>.fromOpaque(context).release() }
  }

  /// Fields that the library writes itself, from what it knows about the body.
  private static func isFraming(_ name: String) -> Bool {
    HTTPHeaders.sameName(name, "Content-Length") || HTTPHeaders.sameName(name, "Transfer-Encoding")
  }
}
