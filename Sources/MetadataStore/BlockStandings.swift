internal import BlockModel
internal import ClusterLogic
internal import SQLSession

/// How a block stands for the caller. A member may read a part of the namespace only, and whether the rest has a block is not for them to
/// know: what counts for them is what their own files have and what the file that they revise has. That is less than all they may read,
/// never more.
extension BlockStanding {
  /// What `init(_:isReadable:)` reads from column 1 on, of a block named `p.block`; to be joined with `joins`.
  static let columns = "b.size, b.namespaces, n.refs IS NOT NULL, r.number IS NOT NULL, r.zones"
  /// `?1` is the number of the caller's own namespace.
  static let joins = """
    LEFT JOIN blocks b ON b.id = p.block LEFT JOIN namespace_blocks n ON n.ns = ?1 AND n.block = b.id LEFT JOIN repairs r ON r.block = b.id
    """

  /// Nil for a block that nobody knows.
  /// - Parameter isReadable: the caller may read it in another tree.
  init?(_ row: any SQLRow, isReadable: Bool) {
    guard !row.isNull(1) else { return nil }
    self.init(
      size: row.int(1), namespaces: row.int64(2), isMine: row.bool(3) || isReadable, hasRepair: row.bool(4),
      zones: row.optionalInt64(5).map { Int($0) })
  }
}
