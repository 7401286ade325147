internal import BlockModel
internal import ClusterLogic
internal import Journal
internal import Platform

/// Fetches what nodes have of the metadata's journal, and finds the newest history in it.
///
/// What must hold: what nodes answer is believed only as far as hashes and seals bear it out. Records go to files, so memory is bounded by
/// their number and not by their size.
final class JournalCollector {
  /// Where a snapshot is.
  struct SnapshotPlace: Sendable {
    var target: ClusterNodeClient.Target
    var file: JournalStatus.File
  }

  private static let deadline: Duration = .seconds(30)

  private let client: ClusterNodeClient
  private let pool: BlockingPool
  private let scratch: String
  private(set) var entries: [JournalHistory.Entry] = []
  private(set) var bases: [JournalHistory.Base] = []
  private var snapshots: [SnapshotPlace] = []
  private var places: [(offset: Int64, count: Int)] = []
  private var file: File?
  private var fileBytes: Int64 = 0

  /// - Parameter scratch: a file that records go to; the caller removes it.
  init(client: ClusterNodeClient, pool: BlockingPool, scratch: String) {
    self.client = client
    self.pool = pool
    self.scratch = scratch
  }

  /// Fetches the records of a node, and the heads of its snapshots.
  /// - Throws: `NodeClientError` when the node does not answer; what is damaged there is left out.
  func collect(from target: ClusterNodeClient.Target, _ status: JournalStatus) async throws {
    try await collectSnapshots(of: target, status)
    try await collectRecords(of: target, status)
  }

  /// The heads of its snapshots alone.
  /// - Throws: as above.
  func collectSnapshots(of target: ClusterNodeClient.Target, _ status: JournalStatus) async throws {
    for file in status.files ?? [] where file.isSnapshot {
      let head = try await read(target, file.name, at: 0, SnapshotFormat.headBytes)
      guard let (position, _) = try? SnapshotFormat.readHead(head) else { continue }
      bases.append(.init(term: position.term, sequence: position.sequence, hash: position.hash, place: snapshots.count))
      snapshots.append(SnapshotPlace(target: target, file: file))
    }
  }

  /// Its records alone.
  /// - Throws: as above.
  func collectRecords(of target: ClusterNodeClient.Target, _ status: JournalStatus) async throws {
    for file in status.files ?? [] where !file.isSnapshot { try await collectRecords(target, file) }
  }

  private func collectRecords(_ target: ClusterNodeClient.Target, _ file: JournalStatus.File) async throws {
    var bytes: [UInt8] = []
    while true {
      let part = try await read(target, file.name, at: Int64(bytes.count), JournalRequest.partBytes)
      if part.isEmpty { break }
      bytes += part
    }
    for record in JournalStore.records(in: bytes) {
      let encoded = record.encoded
      entries.append(
        .init(term: record.term, sequence: record.sequence, hash: record.hash, previous: record.previous, place: places.count))
      places.append((fileBytes, encoded.count))
      try await write(encoded)
    }
  }

  private func write(_ bytes: [UInt8]) async throws {
    let (scratch, offset, known) = (scratch, fileBytes, file)
    file = try await pool.run {
      let file = try known ?? File(scratch, [.read, .write, .create, .truncate])
      try bytes.withUnsafeBytes { try file.pwrite($0, at: offset) }
      return file
    }
    fileBytes += Int64(bytes.count)
  }

  /// The record of an entry.
  func record(_ entry: JournalHistory.Entry) async throws -> JournalRecord {
    guard let file else { preconditionFailure("an entry has its record in the file") }
    let place = places[entry.place]
    return try await pool.run {
      var bytes = [UInt8](repeating: 0, count: place.count)
      try bytes.withUnsafeMutableBytes { try file.preadFully(into: $0, at: place.offset) }
      var reader = JournalReader(bytes)
      return try JournalRecord(&reader)
    }
  }

  private func read(_ target: ClusterNodeClient.Target, _ name: String, at offset: Int64, _ limit: Int) async throws -> [UInt8] {
    try await client.ask(.read(file: name, offset: offset, limit: limit), of: target, deadline: JournalCollector.deadline)
  }

  /// Fetches a snapshot into a file, unsealed, from the first node that has it whole.
  func fetch(_ base: JournalHistory.Base, to path: String, _ cipher: JournalCipher) async throws {
    var failure: any Error = JournalError(.notFound, "No node has the snapshot.")
    for place in bases.filter({ $0.hash == base.hash }).map({ snapshots[$0.place] }) {
      do { return try await fetch(place, to: path, cipher) } catch { failure = error }
    }
    throw failure
  }

  private func fetch(_ place: SnapshotPlace, to path: String, _ cipher: JournalCipher) async throws {
    let file = try await pool.run { try File(path, [.read, .write, .create, .truncate]) }
    var reader = SnapshotFormat.Reader(cipher)
    var (offset, written): (Int64, Int64) = (0, 0)
    while true {
      let part = try await read(place.target, place.file.name, at: offset, JournalRequest.partBytes)
      if part.isEmpty { break }
      offset += Int64(part.count)
      var plain: [[UInt8]] = []
      try reader.take(part) { plain.append($0) }
      for bytes in plain {
        let start = written
        try await pool.run { try bytes.withUnsafeBytes { try file.pwrite($0, at: start) } }
        written += Int64(bytes.count)
      }
    }
    guard reader.isWhole else { throw JournalError(.malformed, "\(place.target.node) has not all of its snapshot.") }
    try await pool.run { try file.fsync() }
  }
}
