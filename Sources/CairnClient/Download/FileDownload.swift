internal import BlockModel
internal import Platform
internal import ServiceAPI

/// Downloads one file: blocks in parallel into a part file, each verified, then into place.
struct FileDownload: Sendable {
  let gateway: GatewayConnection
  let resources: TransferResources
  let progress: TransferProgress?
  let journals: TransferJournals?
  /// A local file that may have much in common with the download; nil is what is at the destination.
  var basis: String?
  /// What that file held when it was last looked at, by its content hash.
  var basisContent: String?
  /// Whether the next version is to be carried with what is learned of this one.
  var remembersCuts = false

  /// - Parameter destination: absolute or relative; what is there is replaced when the new file is whole.
  /// - Returns: what was downloaded, with the size and time of that version.
  func download(_ entry: FileEntry, version: Int64?, to destination: String) async throws -> FileEntry {
    let plan = try await gateway.downloadPlan(entry.id, in: entry.keyFolder, version: version)
    try await download(plan, to: destination)
    return plan.file
  }

  func download(_ plan: FilePlan, to destination: String) async throws {
    guard (0...Limits.fileBytes).contains(plan.size) else { throw PlanWalk.contradiction("its size cannot be") }
    if try await isThere(plan, destination) {
      progress?.moved(bytes: plan.size)
      return
    }
    let basis = basis ?? destination
    let records = records(plan)
    let (local, former) = try await resources.threads.run {
      let former = basisContent.flatMap { records?.record(of: $0) }
      return (LocalBlocks.open(basis, for: plan, isInPlace: plan.chunker == .fixed || former != nil), former)
    }
    let (part, journal, done) = try await prepare(plan, destination)
    do {
      try await fill(part, plan, from: local, former, done: done, journal)
      try await resources.threads.run {
        try part.finish(modified: plan.file.modifiedAt, executable: plan.file.executable, durably: true)
        journal?.remove()
      }
    } catch {
      // What a journal knows of stays for the next run, unless it is of no use.
      let failure = CairnError(error)
      if journal == nil || failure.kind == .unexpected {
        try? await resources.threads.run {
          part.discard()
          journal?.remove()
        }
      }
      throw failure
    }
  }

  /// Whether the destination is this very file already: size, time and mode say so, and then the bytes as well.
  private func isThere(_ plan: FilePlan, _ destination: String) async throws -> Bool {
    let identity = try await resources.threads.run { try FileIdentity.at(destination, followingLinks: false) }
    guard let identity else { return false }
    guard !identity.isDirectory else {
      throw CairnError(.localFile, "\(destination) is a folder; name the file itself, or remove the folder.")
    }
    guard identity.isRegular, identity.size == plan.size, identity.modifiedNanoseconds == plan.file.modifiedAt.nanoseconds,
      identity.isExecutable == plan.file.executable
    else { return false }
    let buffer = try await resources.buffer()
    return try await resources.threads.run {
      let file = try File(destination, [.read, .noFollow])
      return try ContentHash.ofFile(file, buffer: buffer) == plan.contentHash
    }
  }

  private func prepare(
    _ plan: FilePlan, _ destination: String
  ) async throws -> (part: PartFile, journal: DownloadJournal?, done: Set<Int>) {
    let journals = plan.blocks.count > 2 ? journals : nil
    return try await resources.threads.run {
      journals?.sweep.runOnce()
      let opened = journals.flatMap {
        DownloadJournal.open(folder: $0.folder, gateway: $0.gateway, destination: LocalPath.absolute(destination), plan: plan)
      }
      if let stale = opened?.stale { PartFile(named: stale, beside: destination)?.discard() }
      if let memory = opened?.memory, let part = PartFile(named: memory.partName, beside: destination) {
        return (part, opened?.journal, memory.done)
      }
      let part = try PartFile(beside: destination, executable: plan.file.executable, size: plan.size)
      do {
        try part.makeRoom(plan.size)
        try opened?.journal.began(plan, partName: part.name, in: Directory.parent(of: LocalPath.absolute(destination)))
      } catch {
        part.discard()
        throw error
      }
      return (part, opened?.journal, [])
    }
  }

  /// Takes what is here already and fetches the rest. A block that is not where it was looked for waits until the local file was searched.
  ///
  /// - Parameter former: how what is here was cut.
  private func fill(
    _ part: PartFile, _ plan: FilePlan, from local: LocalBlocks?, _ former: CutRecord?, done: Set<Int>, _ journal: DownloadJournal?
  ) async throws {
    var walk = PlanWalk(gateway: gateway, plan: plan)
    var isWhole = false
    while !isWhole {
      let lacking = try await withThrowingTaskGroup(of: PlanWalk.Step?.self) { group in
        while !(local?.isSearchDue ?? false) {
          guard let step = try await walk.next() else {
            isWhole = true
            break
          }
          let buffer = try await resources.buffer()
          let isDone = done.contains(step.index)
          group.addTask {
            if isDone, try await isVerified(step, part, buffer, plan.cipher) {
              progress?.moved(bytes: Int64(step.size))
              return nil
            }
            if let local {
              if try await take(step, from: local, part, buffer, journal) { return nil }
              if local.mayFindMore { return step }
            }
            try await transfer(step, part, buffer, journal, plan.cipher)
            return nil
          }
        }
        return try await group.reduce(into: [PlanWalk.Step]()) { if let step = $1 { $0.append(step) } }
      }
      guard let local, local.isSearchDue || !lacking.isEmpty else { continue }
      try await local.search(resources)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for step in lacking.sorted(by: { $0.index < $1.index }) {
          let buffer = try await resources.buffer()
          group.addTask {
            if try await take(step, from: local, part, buffer, journal) { return }
            try await transfer(step, part, buffer, journal, plan.cipher)
          }
        }
        try await group.waitForAll()
      }
    }
    try await resources.threads.run { try part.flush() }
    try walk.checkContentHash()
    if plan.chunker == .cdc, plan.cipher == nil {
      // The disk writes what the processor hashes.
      async let written: Void = resources.threads.run { try part.file.fdatasync() }
      try await checkBytes(of: part, plan, walk.blocks, former)
      try await written
    }
  }

  private func take(
    _ step: PlanWalk.Step, from local: LocalBlocks, _ part: PartFile, _ buffer: IOBuffer, _ journal: DownloadJournal?
  ) async throws -> Bool {
    let isThere = try await resources.threads.run {
      guard let plain = local.take(step, into: buffer) else { return false }
      try part.write(buffer.bytes(plain), at: step.offset)
      try journal?.wrote(step.index)
      return true
    }
    if isThere { progress?.moved(bytes: Int64(step.size)) }
    return isThere
  }

  private func transfer(
    _ step: PlanWalk.Step, _ part: PartFile, _ buffer: IOBuffer, _ journal: DownloadJournal?, _ cipher: FolderCipher?
  ) async throws {
    let fetched = try await BlockFetcher(resources: resources, cipher: cipher).fetch(step.block, into: buffer) {
      try await step.page.freshTargets(step.block.id)
    }
    try await resources.disk.run {
      try part.write(fetched.buffer.bytes(fetched.range), at: step.offset)
      try journal?.wrote(step.index)
    }
    progress?.moved(bytes: Int64(step.size))
  }

  /// Whether a block that a former run wrote is really there.
  private func isVerified(
    _ step: PlanWalk.Step, _ part: PartFile, _ buffer: IOBuffer, _ cipher: FolderCipher?
  ) async throws -> Bool {
    try await resources.threads.run { try LocalBlocks.read(step, from: part.file, at: step.offset, into: buffer, cipher) != nil }
  }

  /// Where it is noted how the file is cut; nil where nobody would ask for that.
  private func records(_ plan: FilePlan) -> CutRecords? {
    let isWorthIt = remembersCuts && plan.chunker == .cdc && plan.cipher == nil && plan.size >= CutRecords.smallestFile
    return isWorthIt ? journals?.cuts : nil
  }

  /// Whether the bytes, all of which are in the blocks that they should be in, are those of the content hash that the uploader claimed.
  private func checkBytes(of part: PartFile, _ plan: FilePlan, _ blocks: [BlockRef], _ former: CutRecord?) async throws {
    let known = former?.commonPieces(with: blocks) ?? []
    var pieces = try await ContentHash.pieces(of: part.file, size: plan.size, known: known, resources)
    if pieces.map(ContentHash.ofPieces) != plan.contentHash, former != nil {
      // It may be the record that is wrong.
      pieces = try await ContentHash.pieces(of: part.file, size: plan.size, resources)
    }
    guard let pieces, ContentHash.ofPieces(pieces) == plan.contentHash else {
      throw CairnError(.corrupted, "The file's bytes do not have its content hash; whoever uploaded it claimed a wrong one.")
    }
    guard let records = records(plan), let record = CutRecord(pieces: pieces, blocks: blocks) else { return }
    try? await resources.threads.run { records.keep(record, inPlaceOf: basisContent) }
  }
}
