internal import BlockModel
internal import ServiceAPI

/// A download plan as its reader sees it. Blocks, and the lists of them, are as they are stored; size and content hash are the file's own.
struct FilePlan: Sendable {
  var plan: DownloadPlan
  /// Opens the blocks; nil outside of encrypted folders.
  var cipher: FolderCipher?
  /// Bytes.
  var size: Int64
  var contentHash: String

  var file: FileEntry { plan.file }
  var version: Int64 { plan.version }
  var chunker: Chunker { plan.chunker }
  var blocks: [DownloadPlan.Block] { plan.blocks }

  /// Bytes of a block that are not the file's.
  var overhead: Int { cipher == nil ? 0 : SealedForm.tagBytes }
}
