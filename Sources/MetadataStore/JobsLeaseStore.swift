package import ClusterLogic
internal import SQLSession

/// Where coordinators agree on which of them keeps the cluster.
package protocol JobsLeaseStore: Sendable {
  func jobsLease() async throws(MetadataError) -> JobsLeaseRow
  /// Replaces the row if it is still `expected`; answers whether it was. With `.unavailable` it may have been replaced: read it again.
  func replaceJobsLease(_ expected: JobsLeaseRow, by row: JobsLeaseRow) async throws(MetadataError) -> Bool
}

extension SQLMetadataStore: JobsLeaseStore {
  package func jobsLease() async throws(MetadataError) -> JobsLeaseRow {
    try await readers.read { try $0.jobsLease() }
  }

  package func replaceJobsLease(_ expected: JobsLeaseRow, by row: JobsLeaseRow) async throws(MetadataError) -> Bool {
    try await writer.write { transaction in
      // The row of the holder alone is locked and decides: both are only ever written together.
      try transaction.db.lockRows("SELECT value FROM settings WHERE key = ?", .text(Settings.leaseHolder))
      guard try transaction.jobsLease() == expected else { return false }
      try Settings.set(transaction.db, Settings.leaseHolder, Int64(bitPattern: row.holder))
      try Settings.set(transaction.db, Settings.leaseBeat, Int64(bitPattern: row.beat))
      return true
    }
  }
}

extension MetadataReading {
  fileprivate func jobsLease() throws -> JobsLeaseRow {
    JobsLeaseRow(
      holder: UInt64(bitPattern: try Settings.number(db, Settings.leaseHolder)),
      beat: UInt64(bitPattern: try Settings.number(db, Settings.leaseBeat)))
  }
}
