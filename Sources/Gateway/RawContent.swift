internal import BlockModel
internal import HTTPTransport
internal import Platform
internal import ServiceAPI

/// The bytes of one range of one version, block after block: while one is on its way to the client, the next is read from the nodes.
///
/// What must hold: pieces leave in order and only verified; at most two blocks are in memory; a block that no replica gives ends the
/// stream with an error, which breaks the connection short of its declared length. URLs are signed when a block is due, so that a slow
/// client never meets an expired one.
actor RawContent {
  /// Fetches the page of the plan after a cursor.
  typealias NextPage = @Sendable (String) async throws(Problem) -> DownloadPlan
  typealias Read = @Sendable (DownloadPlan.Block) async throws(Problem) -> IOBuffer

  private let range: Range<Int64>
  private let nextPage: NextPage
  private let read: Read
  /// Blocks that are still to come, as far as the plan is known.
  private var blocks: ArraySlice<DownloadPlan.Block>
  private var cursor: String?
  /// Up to here the bytes of the range were read.
  private var position: Int64
  private var ahead: Task<HTTPBodyPiece?, any Error>?

  /// - Parameters:
  ///   - plan: the plan's first page.
  ///   - range: bytes of the file; not empty.
  init(plan: DownloadPlan, range: Range<Int64>, nextPage: @escaping NextPage, read: @escaping Read) {
    precondition(!range.isEmpty, "an empty range has no stream")
    self.range = range
    self.nextPage = nextPage
    self.read = read
    blocks = plan.blocks[...]
    cursor = plan.next
    position = range.lowerBound
  }

  /// Reads the first block, so that a file that cannot be read is refused with a status and not with a broken connection.
  func prepare() async throws(Problem) {
    let task = Task { try await self.step() }
    ahead = task
    do { _ = try await task.value } catch { throw error as? Problem ?? Problem(.internalError, "The file could not be read.") }
  }

  func next() async throws -> HTTPBodyPiece? {
    let current = ahead ?? Task { try await self.step() }
    let piece = try await current.value
    // Reads of one stream never overlap: the next begins when this one is done.
    ahead = piece == nil ? nil : Task { try await self.step() }
    return piece
  }

  private func step() async throws -> HTTPBodyPiece? {
    while position < range.upperBound {
      guard let block = blocks.popFirst() else {
        guard let cursor else { throw Problem(.internalError, "The plan ends before the file does.") }
        let page = try await nextPage(cursor)
        guard !page.blocks.isEmpty else { throw Problem(.internalError, "The plan ends before the file does.") }
        blocks = page.blocks[...]
        self.cursor = page.next
        continue
      }
      let end = block.offset + Int64(block.size)
      if end <= position { continue }
      guard block.offset <= position, block.size <= Limits.blockBytes else { throw Problem(.internalError, "The plan has a hole.") }
      let buffer = try await read(block)
      let piece = Int(position - block.offset)..<Int(min(end, range.upperBound) - block.offset)
      position = min(end, range.upperBound)
      return .buffer(buffer, range: piece)
    }
    return nil
  }
}
