internal import BlockModel
internal import ClusterLogic
internal import HTTPTransport
internal import MetadataStore
internal import Platform
internal import ServiceAPI

/// The checks of an audit that are not about copies.
extension AuditRunner {
  private static let requestDeadline: Duration = .seconds(30)

  /// Reads a block as a client does, and tries to read it without permission.
  func auditReading(_ sample: Judged, _ size: Int, _ sheet: inout AuditSheet) async {
    guard let node = sample.copies.first(where: { $0.answer == .valid })?.node,
      let target = try? service.withState({ state in state.node(node).map { state.target($0.record) } }) ?? nil
    else { return }
    let url = service.client.url(.get, block: sample.block, size: size, target)
    if let response = await get(url) {
      let hash = response.bytes.withUnsafeBytes { BlockID(words: SHA256Hasher.hash($0)) }
      let isWrong = response.status == 200 && hash != sample.block
      sheet.record(
        .verifiedBytes, checked: 1,
        violations: isWrong ? ["Node \(node) served bytes for block \(sample.block.hex) whose hash is another."] : [])
    }
    for forged in [target.address + "/v1/blocks/" + sample.block.hex, String(url.dropLast()) + (url.hasSuffix("0") ? "1" : "0")] {
      guard let response = await get(forged) else { continue }
      let isServed = (200..<300).contains(response.status)
      sheet.record(
        .nothingForAHash, checked: 1,
        violations: isServed ? ["Node \(node) served block \(sample.block.hex) without a genuine capability."] : [])
    }
  }

  private func get(_ url: String) async -> HTTPClientResponse? {
    try? await service.http.send(
      HTTPClientRequest(method: .get, url: url, deadline: AuditRunner.requestDeadline, responseLimit: Limits.blockBytes))
  }

  /// Versions and generations only grow.
  func auditHistory(_ sheet: inout AuditSheet) async throws(MetadataError) {
    let history = try await service.metadata.layoutHistory(limit: 1000)
    var violations: [String] = []
    for (newer, older) in zip(history, history.dropFirst()) where newer.version != older.version + 1 {
      violations.append("Layout \(newer.version) follows layout \(older.version).")
    }
    if let version = try? service.withState({ state in state.layout.version }), let newest = history.first?.version, newest < version {
      violations.append("The newest layout in the database is \(newest), and layout \(version) is in use.")
    }
    sheet.record(.fenced, checked: history.count, violations: violations)
  }

  private static let deletesPage = 1000

  /// What nodes set aside for deletion was authorized, block by block.
  func auditDeletes(_ sheet: inout AuditSheet) async throws(MetadataError) {
    guard let garbage = service.garbage else { return }
    let nodes = (try? service.withState { state in state.nodes.map(\.record.id).filter { state.liveness($0) == .alive } }) ?? []
    sheet.record(.authorizedDeletes, checked: 0, violations: [])
    for node in nodes {
      var after: BlockID?
      repeat {
        let command = NodeCommand.listQuarantined(after: after, limit: AuditRunner.deletesPage)
        let reply = await service.request(node, command, deadline: AuditRunner.requestDeadline)
        guard case .done(.quarantined(let blocks, let epochs, let next)) = reply, blocks.count == epochs.count else { break }
        let unaccounted = try await garbage.unaccountedDeletes(zip(blocks, epochs).map { (block: $0, epoch: $1) })
        sheet.record(
          .authorizedDeletes, checked: blocks.count,
          violations: unaccounted.map { "Node \(node) deleted block \($0.hex), which no log accounts for." })
        after = next
      } while after != nil && !Task.isCancelled
    }
  }

  /// What is kept as a count, against a recount.
  func auditCounts(_ sheet: inout AuditSheet) async throws(MetadataError) {
    let findings = try await service.metadata.recount()
    for invariant in [Invariant.gaplessFeed, .countsEqualRecount] { sheet.record(invariant, checked: 1, violations: []) }
    for finding in findings {
      sheet.record(Invariant(rawValue: finding.invariant) ?? .countsEqualRecount, checked: 1, violations: [finding.sentence])
    }
  }
}
