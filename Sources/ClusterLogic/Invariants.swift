/// What must always hold in a cluster: the list that the simulator, the chaos audit and `cairnctl audit` check. Numbers and meaning are
/// those of the design.
package enum Invariant: Int, CaseIterable, Sendable {
  case readsBack = 1
  case committedAtQuorum
  case verifiedBytes
  case authorizedDeletes
  case pinnedWhileOpen
  case fullyReplicated
  case copiesNeverDecrease
  case fenced
  case linearizable
  case gaplessFeed
  case nothingForAHash
  case countsEqualRecount
  case unreachableIsNotMissing
  case oneDiskLosesNothing

  package var number: Int { rawValue }

  package var statement: String {
    switch self {
    case .readsBack:
      "An acknowledged block reads back, hash verified, until it is unreferenced and its grace has passed."
    case .committedAtQuorum:
      "No committed version refers to a block that was below write quorum when it was committed."
    case .verifiedBytes:
      "A client never accepts bytes whose hash is not the name; a node never serves a record whose check fails."
    case .authorizedDeletes:
      "A physical delete happens only to a block that is unreferenced, past its grace, under no open upload lease, and is logged."
    case .pinnedWhileOpen:
      "“You already have this block” pins the block until that session commits or expires."
    case .fullyReplicated:
      "With faults off, every referenced block reaches R valid copies in R zones, or as many as the layout has, in bounded time."
    case .copiesNeverDecrease:
      "Repair and rebalance never lower the number of valid copies."
    case .fenced:
      "Layout versions, coordinator generations and lease grants only grow; whoever acts on an old one is refused."
    case .linearizable:
      "Metadata operations are linearizable per namespace; a repeated idempotency key takes effect once."
    case .gaplessFeed:
      "The change feed of a namespace is gapless, in commit order; replaying it gives the listing."
    case .nothingForAHash:
      "Knowing a hash grants nothing: nodes refuse requests without a genuine capability."
    case .countsEqualRecount:
      "Quota and reference counts equal a recount."
    case .unreachableIsNotMissing:
      "No job deletes or re-creates anything because a node or disk did not answer."
    case .oneDiskLosesNothing:
      "Losing any one disk, the coordinator's included, loses no acknowledged operation."
    }
  }
}
