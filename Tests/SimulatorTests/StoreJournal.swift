import BlockModel
import BlockStore
import Platform
import Simulator
import TestSupport

/// What `storewriter` said before it was stopped, and what a store has to show afterwards.
struct StoreJournal {
  private enum Entry {
    case append(UInt64)
    case raise(UInt64)
    case delete(UInt64)

    func applied(to state: UInt64?) -> UInt64? {
      switch self {
      case .append(let epoch): return max(state ?? 0, epoch)
      case .raise(let epoch): return state.map { max($0, epoch) }
      case .delete(let below): return state.flatMap { $0 < below ? nil : $0 }
      }
    }
  }

  private struct Block {
    var acknowledged: UInt64?
    /// Begun and not acknowledged in time, in order.
    var later: [Entry] = []

    /// What may be there: nothing of what was begun later, or the first of it, or the first two of it and so on.
    var states: [UInt64?] {
      later.reduce(into: [acknowledged]) { states, entry in states.append(entry.applied(to: states[states.count - 1])) }
    }
  }

  private var blocks: [Int: Block] = [:]
  private(set) var acknowledgements = 0

  /// - Parameters:
  ///   - path: the file with the writer's output.
  ///   - certainBytes: how much of it was there when the power failed. What a process says after that, no process would have said.
  init(path: String, certainBytes: Int = .max) throws {
    let text = String(decoding: try AtomicFile.read(path, limit: 16 << 20) ?? [], as: UTF8.self)
    var end = 0
    // A line without its end was being written when the process was killed.
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
      end += line.utf8.count + 1
      let words = line.split(separator: " ").map(String.init)
      guard words.count == 4, let number = Int(words[2]), let epoch = UInt64(words[3]) else { continue }
      let entry: Entry = words[1] == "append" ? .append(epoch) : words[1] == "raise" ? .raise(epoch) : .delete(epoch)
      var block = blocks[number] ?? Block()
      if words[0] == "?" {
        block.later.append(entry)
      } else if words[0] == "!", end <= certainBytes {
        block.later = []
        block.acknowledged = entry.applied(to: block.acknowledged)
        acknowledgements += 1
      }
      blocks[number] = block
    }
  }

  /// Opens the store in `folder` and says what is not as it has to be.
  func faults(in folder: String) async throws -> [String] {
    var configuration = SegmentStore.Configuration(folder: folder, cluster: StoreRun.cluster, keys: StoreContents.keys)
    configuration.segmentBytes = 256 << 10
    let opened = configuration
    let store = try await BlockingPool(name: "open", threads: 1).run { try SegmentStore.open(opened) }
    let pool = BufferPool(bufferCapacity: RecordLayout.bufferBytes, limit: 2)
    var faults: [String] = []
    for (number, block) in blocks.sorted(by: { $0.key < $1.key }) {
      let contents = StoreContents.numbered(number)
      let shown = store.status(of: contents.id)?.gcEpoch
      guard block.states.contains(shown) else {
        faults.append("block \(number) is \(shown.map(String.init) ?? "absent"), was acknowledged as \(block)")
        continue
      }
      guard shown != nil else { continue }
      do {
        let payload = try await store.read(contents.id, range: nil, into: pool)
        if Array(payload.buffer.bytes(payload.range)) != contents.plain { faults.append("block \(number) has wrong bytes") }
      } catch { faults.append("block \(number) does not read: \(error)") }
    }
    if !faults.isEmpty { faults.append("opening found \(store.openReport)") }
    await store.close()
    return faults
  }
}
