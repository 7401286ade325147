internal import BlockModel
internal import BlockStore
internal import Glibc
internal import Platform
internal import Synchronization

/// What was asked of a store and is to be answered.
enum StoreRequest: Sendable {
  case append(Int, epoch: UInt64)
  case raise(Int, to: UInt64)
  case delete(Int, below: UInt64)
  case read(Int, Range<Int>?)
  case readRecord(Int)
  case verify(Int)

  init?(_ action: StoreSequence.Action) {
    switch action {
    case .append(let content, let epoch): self = .append(content, epoch: epoch)
    case .raise(let content, let epoch): self = .raise(content, to: epoch)
    case .delete(let content, let epoch): self = .delete(content, below: epoch)
    case .read(let content): self = .read(content, nil)
    case .readRange(let content, let a, let b):
      let count = StoreContents.all[content].stored.count
      self = .read(content, min(a, b, count)..<min(max(a, b), count))
    case .readRecord(let content): self = .readRecord(content)
    case .verify(let content): self = .verify(content)
    default: return nil
    }
  }

  var content: Int {
    switch self {
    case .append(let content, _), .raise(let content, _), .delete(let content, _): return content
    case .read(let content, _), .readRecord(let content), .verify(let content): return content
    }
  }

  /// Nil for reads.
  var mutation: StoreModel.Mutation? {
    switch self {
    case .append(_, let epoch): return .append(epoch: epoch)
    case .raise(_, let epoch): return .raise(to: epoch)
    case .delete(_, let epoch): return .delete(below: epoch)
    case .read, .readRecord, .verify: return nil
    }
  }

  enum Answer: Sendable {
    /// Appends: the block was new; raises and deletes: they did something.
    case changed(Bool)
    /// A read: the bytes are the right ones.
    case bytes(areRight: Bool)
    case verified
  }

  private static func areEqual(_ a: UnsafeRawBufferPointer, _ bytes: [UInt8], _ range: Range<Int>) -> Bool {
    bytes.withUnsafeBytes { areEqual(a, UnsafeRawBufferPointer(rebasing: $0[range])) }
  }

  private static func areEqual(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    guard a.count == b.count, let first = a.baseAddress, let second = b.baseAddress else { return a.count == b.count }
    return memcmp(first, second, a.count) == 0
  }

  func perform(on store: any BlockStoring, _ settings: StoreSequence.Settings, _ buffers: BufferPool) async throws(BlockStoreError)
    -> Answer
  {
    let block = StoreContents.all[content]
    switch self {
    case .append(_, let epoch):
      let record = try block.record(gcEpoch: epoch, isEncrypted: settings.isEncrypted)
      return .changed(try await store.append(record).wasNew)
    case .raise(_, let epoch): return .changed(try await store.raiseEpoch(of: block.id, to: epoch))
    case .delete(_, let epoch): return .changed(try await store.delete(block.id, ifEpochBelow: epoch))
    case .read(_, let range):
      let payload = try await store.read(block.id, range: range, into: buffers)
      let bytes = payload.buffer.bytes(payload.range)
      return .bytes(areRight: StoreRequest.areEqual(bytes, block.stored, range ?? 0..<block.stored.count))
    case .readRecord:
      let record = try await store.readRecord(block.id, into: buffers)
      let expected = try block.record(gcEpoch: 0, isEncrypted: settings.isEncrypted)
      let wire = RecordLayout.wireRange(storedBytes: block.stored.count)
      return .bytes(
        areRight: record.header == expected.header && StoreRequest.areEqual(record.buffer.bytes(wire), expected.buffer.bytes(wire)))
    case .verify:
      try await store.verify(block.id, using: buffers)
      return .verified
    }
  }
}

/// What the tasks of one process report, in order, until it is gone.
final class StoreEventLog: Sendable {
  enum Event: Sendable {
    case began(Int)
    case ended(Int, Result<StoreRequest.Answer, BlockStoreError>)
    case opened(Result<SegmentStore, BlockStoreError>)
    case closed
  }

  private let state = Mutex<(isOpen: Bool, events: [Event])>((true, []))

  func add(_ event: Event) { state.withLock { state in if state.isOpen { state.events.append(event) } } }

  /// What was reported since the last call.
  func take() -> [Event] {
    state.withLock { state in
      defer { state.events = [] }
      return state.events
    }
  }

  func close() { state.withLock { $0 = (false, []) } }
}
