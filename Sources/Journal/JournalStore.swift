internal import BlockModel
package import ClusterLogic
package import Platform
internal import Synchronization

/// A node's part of the metadata's journal: files of records that are only ever appended to, and snapshots.
///
/// What must hold:
/// - what `append` and the last part of a snapshot have returned from is durable; so is a promise;
/// - nothing of a term earlier than the promised one is taken, whatever happens in between;
/// - nothing is overwritten or cut off: what does not follow on the newest record goes into a file of its own, and whoever reads follows
///   the
///   hashes (`JournalHistory`). Records go only by `cut`;
/// - a file ends where its bytes are no record that follows on the one before: what a crash tore is not part of it. A file that was open
///   when the process ended is not continued;
/// - after a failed sync nothing is taken until the store is opened anew: what the disk has is unknown.
///
/// All calls block; one at a time runs, so that files are written in order. The coordinator puts all that waits into one message, so a sync
/// serves all of it.
package final class JournalStore: Sendable {
  package static let snapshotPrefix = "snapshot-"
  static let recordsPrefix = "records-"
  private static let partSuffix = ".part"
  private static let promiseName = "promise"
  /// A new file is begun when one has so much, so that cutting gives space back.
  package static let fileBytes: Int64 = 8 << 20

  struct RecordFile {
    var name: String
    var bytes: Int64
    var newest: JournalPosition?
    /// The highest number in it; what is cut goes by it.
    var lastSequence: UInt64 = 0
  }

  struct Part {
    var file: any OpenFile
    var name: String
    var bytes: Int64
  }

  struct State {
    var promised: JournalTerm?
    /// In the order of their names; the last is the open one when `open` is there.
    var files: [RecordFile] = []
    var snapshots: [(name: String, sequence: UInt64, bytes: Int64)] = []
    var open: (any OpenFile)?
    /// Numbers and hashes in the open file.
    var recent: [UInt64: BlockID] = [:]
    var part: Part?
    var counter = 0
    var failure: String?
    /// When the writer that was promised last spoke.
    var heardAt: MonotonicTime?
  }

  let fileSystem: any FileSystem
  let folder: String
  private let limitBytes: Int64
  private let time: any TimeSource
  private let state: Mutex<State>

  /// Opens the journal in a folder and makes it when it is not there. Blocks.
  ///
  /// - Parameter limitBytes: of all files together; more is refused as `.full`.
  /// - Throws: `.io`; `.malformed` when the promise cannot be read, because without it an old coordinator could write here.
  package init(
    fileSystem: any FileSystem, folder: String, limitBytes: Int64 = 1 << 40, time: any TimeSource = SystemTime()
  ) throws(JournalError) {
    self.time = time
    self.fileSystem = fileSystem
    self.folder = folder
    self.limitBytes = limitBytes
    var state = State()
    do {
      try fileSystem.createDirectory(folder)
      try JournalStore.load(&state, fileSystem, folder)
    } catch let error as FileError { throw JournalError(.io, error.description) } catch let error as JournalError { throw error } catch {
      throw JournalError(.io, "\(error)")
    }
    self.state = Mutex(state)
  }

  private static func load(_ state: inout State, _ fileSystem: any FileSystem, _ folder: String) throws {
    for name in try fileSystem.list(folder) {
      let path = folder + "/" + name
      if name.hasSuffix(partSuffix) {
        try fileSystem.remove(path)
      } else if name == promiseName {
        state.promised = try readPromise(fileSystem, path)
      } else if name.hasPrefix(snapshotPrefix), let sequence = sequence(in: name) {
        state.snapshots.append((name, sequence, try fileSystem.open(path, .read).size()))
      } else if name.hasPrefix(recordsPrefix), let counter = name.split(separator: "-").last.flatMap({ Int($0) }) {
        state.files.append(try scan(fileSystem, path, name))
        state.counter = max(state.counter, counter)
      }
    }
  }

  private static func sequence(in name: String) -> UInt64? {
    name.split(separator: "-").dropFirst().first.flatMap { UInt64($0) }
  }

  /// Reads the heads of a file's records; their hashes are for those who read the records.
  private static func scan(_ fileSystem: any FileSystem, _ path: String, _ name: String) throws -> RecordFile {
    let file = try fileSystem.open(path, .read)
    let size = try file.size()
    var scanned = RecordFile(name: name, bytes: size)
    var offset: Int64 = 0
    var head = [UInt8](repeating: 0, count: JournalRecord.headerBytes)
    while offset + Int64(head.count) <= size {
      try head.withUnsafeMutableBytes { buffer in try file.preadFully(into: buffer, at: offset) }
      var reader = JournalReader(head)
      guard let header = try? JournalRecord.header(&reader) else { break }
      offset += Int64(head.count + header.payloadBytes)
      guard offset <= size, scanned.newest.map({ $0.hash == header.previous }) ?? true else { break }
      scanned.newest = JournalPosition(term: header.term, sequence: header.sequence, hash: header.hash)
      scanned.lastSequence = max(scanned.lastSequence, header.sequence)
    }
    return scanned
  }

  // MARK: Asking

  package func status(withFiles: Bool = true) -> JournalStatus {
    let now = time.monotonic()
    return state.withLock { state in
      var files: [JournalStatus.File]?
      if withFiles {
        files = state.snapshots.map { JournalStatus.File(name: $0.name, bytes: $0.bytes) }
        files?.append(contentsOf: state.files.map { JournalStatus.File(name: $0.name, bytes: $0.bytes) })
      }
      return JournalStatus(
        promised: state.promised, newest: state.files.compactMap(\.newest).max(), files: files,
        quietMilliseconds: state.heardAt.map { (now - $0).saturatedMilliseconds })
    }
  }

  /// Bytes of a file; fewer than asked for at its end.
  /// - Throws: `.notFound`, `.io`.
  package func read(_ name: String, offset: Int64, limit: Int) throws(JournalError) -> [UInt8] {
    let isKnown = state.withLock { state in state.files.contains { $0.name == name } || state.snapshots.contains { $0.name == name } }
    guard isKnown, offset >= 0 else { throw JournalError(.notFound, "The journal has no file \(name).") }
    do throws(FileError) {
      let file = try fileSystem.open(folder + "/" + name, .read)
      let left = max(0, try file.size() - offset)
      var bytes = [UInt8](repeating: 0, count: Int(min(left, Int64(min(max(0, limit), JournalRequest.partBytes)))))
      let result = bytes.withUnsafeMutableBytes { buffer in
        Result { () throws(FileError) in try file.pread(into: buffer, at: offset) }
      }
      bytes.removeSubrange(try result.get()...)
      return bytes
    } catch { throw JournalError(.io, error.description) }
  }

  // MARK: Changing

  /// Promises to take nothing of an earlier term.
  /// - Throws: `.fenced`, `.full`, `.io`.
  package func promise(_ term: JournalTerm) throws(JournalError) {
    try change { (state) throws(JournalError) in try self.promise(term, &state) }
  }

  /// Makes records durable. Those that are here already are left out.
  /// - Throws: `.fenced`, `.full`, `.io`; `.malformed` when one does not follow on the one before.
  package func append(_ records: [JournalRecord], term: JournalTerm) throws(JournalError) {
    guard zip(records, records.dropFirst()).allSatisfy({ $1.previous == $0.hash && $1.sequence == $0.sequence + 1 }) else {
      throw JournalError(.malformed, "The records do not follow on each other.")
    }
    guard records.allSatisfy({ $0.term <= term }) else { throw JournalError(.malformed, "A record is of a later term than its message.") }
    try change { (state) throws(JournalError) in
      try self.promise(term, &state)
      let fresh = Array(records.drop { state.recent[$0.sequence] == $0.hash })
      guard !fresh.isEmpty else { return }
      try self.checkRoom(fresh.reduce(0) { $0 + $1.encodedBytes }, state)
      try self.write(fresh, &state)
    }
  }

  /// Takes a part of a snapshot; the last one makes it whole.
  /// - Throws: `.fenced`, `.full`, `.io`; `.malformed` when the part does not follow on what came before: begin anew.
  package func addSnapshot(
    _ position: JournalPosition, offset: Int64, bytes: [UInt8], isLast: Bool, term: JournalTerm
  ) throws(JournalError) {
    try change { (state) throws(JournalError) in
      try self.promise(term, &state)
      try self.checkRoom(bytes.count, state)
      try self.addPart(position, offset, bytes, isLast, &state)
    }
  }

  /// Drops files whose records all have this number or lower ones, and snapshots of lower ones.
  /// - Throws: `.fenced`, `.io`.
  package func cut(through sequence: UInt64, term: JournalTerm) throws(JournalError) {
    try change { (state) throws(JournalError) in
      try self.promise(term, &state)
      let gone = state.files.filter { $0.lastSequence <= sequence }
      if let last = state.files.last, gone.contains(where: { $0.name == last.name }) {
        state.open = nil
        state.recent = [:]
      }
      state.files.removeAll { $0.lastSequence <= sequence }
      let old = state.snapshots.filter { $0.sequence < sequence }
      state.snapshots.removeAll { $0.sequence < sequence }
      do throws(FileError) {
        for name in gone.map(\.name) + old.map(\.name) { try self.fileSystem.remove(self.folder + "/" + name) }
        try self.fileSystem.syncDirectory(self.folder)
      } catch { throw JournalError(.io, error.description) }
    }
  }

  private func change(_ body: (inout State) throws(JournalError) -> Void) throws(JournalError) {
    let result = state.withLock { state in
      Result { () throws(JournalError) in
        if let failure = state.failure { throw JournalError(.io, failure) }
        try body(&state)
      }
    }
    try result.get()
  }

  private func checkRoom(_ bytes: Int, _ state: State) throws(JournalError) {
    let used = state.files.reduce(0) { $0 + $1.bytes } + state.snapshots.reduce(0) { $0 + $1.bytes } + (state.part?.bytes ?? 0)
    guard used + Int64(bytes) <= limitBytes else { throw JournalError(.full, "The journal has all the space that it may take.") }
  }

  private func promise(_ term: JournalTerm, _ state: inout State) throws(JournalError) {
    if let promised = state.promised {
      if promised.generation == term.generation && promised.writer == term.writer {
        state.heardAt = time.monotonic()
        return
      }
      guard promised.admits(term) else {
        throw JournalError(.fenced, "This node has promised term \(promised.generation) of the journal, and this is of \(term.generation).")
      }
    }
    try writePromise(term)
    state.promised = term
    state.heardAt = time.monotonic()
  }

  private func write(_ records: [JournalRecord], _ state: inout State) throws(JournalError) {
    let follows = state.files.last.map { $0.newest?.hash == records[0].previous && $0.bytes < JournalStore.fileBytes } ?? false
    if state.open == nil || !follows { try beginFile(records[0].sequence, &state) }
    guard let file = state.open, let last = state.files.indices.last else { preconditionFailure("a file was begun") }
    let offset = state.files[last].bytes
    var bytes = JournalBytes(reserving: records.reduce(0) { $0 + $1.encodedBytes })
    for record in records { bytes.raw(record.encoded) }
    try writeDurably(bytes.bytes, to: file, at: offset, &state)
    state.files[last].bytes = offset + Int64(bytes.bytes.count)
    for record in records {
      state.recent[record.sequence] = record.hash
      state.files[last].lastSequence = max(state.files[last].lastSequence, record.sequence)
      state.files[last].newest = JournalPosition(term: record.term, sequence: record.sequence, hash: record.hash)
    }
  }

  private func beginFile(_ sequence: UInt64, _ state: inout State) throws(JournalError) {
    state.open = nil
    state.recent = [:]
    // A file that took nothing is tried again.
    if let last = state.files.last, last.newest == nil { state.files.removeLast() }
    state.counter += 1
    let name = "\(JournalStore.recordsPrefix)\(JournalStore.padded(sequence))-\(state.counter)"
    do throws(FileError) {
      state.open = try fileSystem.open(folder + "/" + name, [.read, .write, .create, .truncate])
      try fileSystem.syncDirectory(folder)
    } catch {
      state.open = nil
      throw JournalStore.error(error)
    }
    state.files.append(RecordFile(name: name, bytes: 0))
  }

  static func padded(_ number: UInt64) -> String {
    let digits = String(number)
    return String(repeating: "0", count: 20 - digits.count) + digits
  }

  /// A write that failed leaves the file's end where it was; a sync that failed ends the store.
  private func writeDurably(_ bytes: [UInt8], to file: any OpenFile, at offset: Int64, _ state: inout State) throws(JournalError) {
    let written = bytes.withUnsafeBytes { bytes in Result { () throws(FileError) in try file.pwrite(bytes, at: offset) } }
    do throws(FileError) { try written.get() } catch { throw JournalStore.error(error) }
    try sync(file, &state)
  }

  private func sync(_ file: any OpenFile, _ state: inout State) throws(JournalError) {
    do throws(FileError) { try file.fdatasync() } catch {
      state.failure = "A sync of the journal failed (\(error)); restart the node, and look at its disk."
      throw JournalError(.io, error.description)
    }
  }

  static func error(_ error: FileError) -> JournalError {
    JournalError(error.isOutOfSpace ? .full : .io, error.description)
  }

  // MARK: Snapshots

  private func addPart(
    _ position: JournalPosition, _ offset: Int64, _ bytes: [UInt8], _ isLast: Bool, _ state: inout State
  ) throws(JournalError) {
    let name = "\(JournalStore.snapshotPrefix)\(JournalStore.padded(position.sequence))-\(position.hash.hex)"
    if offset == 0 {
      state.part = nil
      do throws(FileError) {
        let file = try fileSystem.open(folder + "/" + name + JournalStore.partSuffix, [.read, .write, .create, .truncate])
        state.part = Part(file: file, name: name, bytes: 0)
      } catch { throw JournalStore.error(error) }
    }
    guard var part = state.part, part.name == name, part.bytes == offset else {
      throw JournalError(.malformed, "The snapshot's parts do not follow on each other: begin anew.")
    }
    let written = bytes.withUnsafeBytes { bytes in Result { () throws(FileError) in try part.file.pwrite(bytes, at: offset) } }
    do throws(FileError) { try written.get() } catch {
      state.part = nil
      throw JournalStore.error(error)
    }
    part.bytes += Int64(bytes.count)
    state.part = part
    guard isLast else { return }
    state.part = nil
    try sync(part.file, &state)
    do throws(FileError) {
      try fileSystem.rename(folder + "/" + name + JournalStore.partSuffix, to: folder + "/" + name)
      try fileSystem.syncDirectory(folder)
    } catch { throw JournalStore.error(error) }
    state.snapshots.removeAll { $0.name == name }
    state.snapshots.append((name, position.sequence, part.bytes))
  }

  // MARK: The promise

  private static func readPromise(_ fileSystem: any FileSystem, _ path: String) throws -> JournalTerm {
    let file = try fileSystem.open(path, .read)
    var bytes = [UInt8](repeating: 0, count: Int(min(1024, try file.size())))
    try bytes.withUnsafeMutableBytes { try file.preadFully(into: $0, at: 0) }
    var reader = JournalReader(bytes)
    let term = try reader.term()
    guard try reader.number(UInt32.self) == CRC32C.checksum(Array(bytes[..<20])) else {
      throw JournalError(.malformed, "\(path) is damaged: remove it only when no former coordinator runs any more.")
    }
    return term
  }

  private func writePromise(_ term: JournalTerm) throws(JournalError) {
    var bytes = JournalBytes()
    bytes.term(term)
    bytes.number(CRC32C.checksum(bytes.bytes))
    let path = folder + "/" + JournalStore.promiseName
    do throws(FileError) {
      let file = try fileSystem.open(path + JournalStore.partSuffix, [.read, .write, .create, .truncate])
      let written = bytes.bytes.withUnsafeBytes { bytes in Result { () throws(FileError) in try file.pwrite(bytes, at: 0) } }
      try written.get()
      try file.fsync()
      try fileSystem.rename(path + JournalStore.partSuffix, to: path)
      try fileSystem.syncDirectory(folder)
    } catch { throw JournalStore.error(error) }
  }
}
