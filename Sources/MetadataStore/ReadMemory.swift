internal import BlockModel

/// What many questions to one unchanging state have in common: files of a batch lie in few folders. Used on one thread.
final class ReadMemory {
  struct Folder: Hashable {
    var namespace: Int64
    var id: EntryID
  }

  /// Paths of living folders; nil for one that is not, or is in one that is not.
  var paths: [Folder: String?] = [:]
  /// Whether any block is off the layout.
  var hasStrays: Bool?
}
