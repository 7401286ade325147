internal import Platform
package import ServiceAPI

/// Scanning contents for malware.
extension SQLMetadataStore {
  package func dueScans(limit: Int) async throws(MetadataError) -> [DueScan] {
    let now = time.wall()
    return try await readers.read { try $0.dueScans(limit: limit, at: now) }
  }

  package func scanBlocks(_ scan: DueScan, first: Int, limit: Int) async throws(MetadataError) -> [ScanBlock]? {
    try await readers.read { try $0.scanBlocks(scan, first: first, limit: limit) }
  }

  package func recordScan(_ scan: DueScan, _ outcome: ScanOutcome) async throws(MetadataError) {
    try await writer.write(.namespace(scan.namespaceNumber), repeatable: true) { try $0.recordScan(scan, outcome) }
  }

  package func scanCounts() async throws(MetadataError) -> ScanCounts { try await readers.read { try $0.scanCounts() } }

  package func quarantine(limit: Int, cursor: String?) async throws(MetadataError) -> Page<QuarantinedVersion> {
    try await readers.read { try $0.quarantine(limit: limit, cursor: cursor) }
  }

  package func changeQuarantine(of number: Int64, _ change: QuarantineChange) async throws(MetadataError) -> QuarantinedVersion {
    try await writer.write(repeatable: true) { try $0.changeQuarantine(of: number, change) }
  }
}
