internal import BlockModel
internal import ClusterLogic
internal import SQLSession

/// How a block stands for the caller. A member may read a part of the namespace only, and whether the rest has a block is not for them to
/// know: what counts for them is what their own files have and what the file that they revise has. That is less than all they may read,
/// never more.
extension BlockStanding {
  /// What `init(_:isReadable:)` reads from column 1 on, of a block named `p.block`. `?1` is the number of the caller's own namespace.
  ///
  /// Each by itself and not by joins: PostgreSQL plans a statement once, and when the tables were empty at that time, as after an upgrade
  /// or a quiet night, it takes walking all of an index for as good as a look-up in it. In a subquery there is only the look-up.
  static let columns = """
    (SELECT b.size FROM blocks b WHERE b.id = p.block), (SELECT b.namespaces FROM blocks b WHERE b.id = p.block),
    (SELECT n.refs FROM namespace_blocks n WHERE n.ns = ?1 AND n.block = p.block) IS NOT NULL,
    (SELECT coalesce(r.zones, -1) FROM repairs r WHERE r.block = p.block)
    """

  /// Nil for a block that nobody knows.
  /// - Parameter isReadable: the caller may read it in another tree.
  init?(_ row: any SQLRow, isReadable: Bool) {
    guard !row.isNull(1) else { return nil }
    self.init(
      size: row.int(1), namespaces: row.int64(2), isMine: row.bool(3) || isReadable, hasRepair: !row.isNull(4),
      zones: row.optionalInt64(4).flatMap { $0 < 0 ? nil : Int($0) })
  }
}
