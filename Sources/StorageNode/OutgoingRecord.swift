internal import BlockStore
internal import HTTPTransport
internal import Platform
internal import Synchronization

/// One record on its way to any number of replicas: each may join at any time and gets it from the first byte on.
///
/// What must hold: bytes below what `advance` said are final. After `abort` no replica gets the last frame, so none can store the record.
final class OutgoingRecord: Sendable {
  private struct State {
    var ready = 0
    var isAborted = false
    var sources: [UploadSource] = []
  }

  let buffer: IOBuffer
  /// Bytes of the wire form.
  let length: Int
  private let state = Mutex(State())

  init(buffer: IOBuffer, storedBytes: Int) {
    self.buffer = buffer
    length = RecordLayout.wireRange(storedBytes: storedBytes).count
  }

  /// The record may be sent up to this offset of the buffer.
  func advance(to end: Int) {
    let ready = end - RecordLayout.localBytes
    let sources = state.withLock { state in
      state.ready = max(state.ready, ready)
      return state.sources
    }
    for source in sources { source.advance(to: ready) }
  }

  func abort() {
    let sources = state.withLock { state in
      state.isAborted = true
      return state.sources
    }
    for source in sources { source.abort() }
  }

  var isComplete: Bool { state.withLock { $0.ready == length && !$0.isAborted } }

  /// The body of one more transfer.
  func open() -> UploadSource {
    let (source, isAborted) = state.withLock { state in
      let source = UploadSource(buffer: buffer, start: RecordLayout.localBytes, length: length, ready: state.ready)
      state.sources.append(source)
      return (source, state.isAborted)
    }
    if isAborted { source.abort() }
    return source
  }
}
