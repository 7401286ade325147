internal import BlockModel
internal import Platform
internal import Synchronization

/// The open files of a disk's segments: a bounded number, those used last.
///
/// A file that is dropped from here closes when the last call that uses it returns.
final class SegmentFiles: Sendable {
  private struct Key: Hashable {
    var slot: UInt32
    var isDirect: Bool
  }

  private struct Entry {
    var file: any OpenFile
    var lastUse: UInt64
  }

  private struct State {
    var open: [Key: Entry] = [:]
    var uses: UInt64 = 0
  }

  let fileSystem: any FileSystem
  /// The folder of the segments.
  let folder: String
  private let limit: Int
  private let state = Mutex(State())

  init(fileSystem: any FileSystem, folder: String, limit: Int) {
    self.fileSystem = fileSystem
    self.folder = folder
    self.limit = max(2, limit)
  }

  func path(of segment: Segment) -> String { folder + "/" + segment.fileName }

  /// The file for reading and writing through the page cache.
  func file(_ slot: UInt32, _ segment: Segment) throws(FileError) -> any OpenFile {
    if let file = cached(Key(slot: slot, isDirect: false)) { return file }
    return keep(try fileSystem.open(path(of: segment), [.read, .write]), Key(slot: slot, isDirect: false))
  }

  /// The file for reading and writing past the page cache, where the file system can. Offsets, lengths and memory are multiples of 4 KiB.
  func directFile(_ slot: UInt32, _ segment: Segment) throws(FileError) -> any OpenFile {
    let key = Key(slot: slot, isDirect: true)
    if let file = cached(key) { return file }
    do { return keep(try fileSystem.open(path(of: segment), [.read, .write, .direct]), key) } catch {
      guard error.isInvalidArgument else { throw error }
      return keep(try fileSystem.open(path(of: segment), [.read, .write]), key)
    }
  }

  /// A new file, in a slot that may have had another one.
  func adopt(_ file: any OpenFile, _ slot: UInt32) {
    forget(slot)
    _ = keep(file, Key(slot: slot, isDirect: false))
  }

  /// The slot's file is gone.
  func forget(_ slot: UInt32) {
    state.withLock { state in
      state.open[Key(slot: slot, isDirect: false)] = nil
      state.open[Key(slot: slot, isDirect: true)] = nil
    }
  }

  func closeAll() { state.withLock { $0.open = [:] } }

  private func cached(_ key: Key) -> (any OpenFile)? {
    state.withLock { state in
      state.uses += 1
      state.open[key]?.lastUse = state.uses
      return state.open[key]?.file
    }
  }

  private func keep(_ file: any OpenFile, _ key: Key) -> any OpenFile {
    state.withLock { state in
      state.uses += 1
      if let known = state.open[key] { return known.file }
      if state.open.count >= limit, let oldest = state.open.min(by: { $0.value.lastUse < $1.value.lastUse }) {
        state.open[oldest.key] = nil
      }
      state.open[key] = Entry(file: file, lastUse: state.uses)
      return file
    }
  }
}

extension FileError {
  /// What opening for direct access answers where the file system has none.
  var isInvalidArgument: Bool { errno == 22 }
}
