internal import BlockModel
internal import MetadataStore
internal import ServiceAPI

/// Who makes the key of a data-key epoch, and who fetches it.
///
/// What must hold: one founder is recorded durably before anybody makes a key; a key seals blocks only after its check value is recorded, and
/// a key that follows on another only when every live node of the layout states it, so that no replica refuses a record for lack of the
/// key; a node is told to use an epoch only when it states the key with this check value.
enum MembershipDataKeys {
  struct Decision: Sendable, Equatable {
    var order: DataKeyOrder
    /// To be recorded before the order is given.
    var record: DataKeyEpochRecord?
  }

  /// - Parameters:
  ///   - records: the recorded epochs, in any order.
  ///   - isAlive: whether a founder may still be expected to answer.
  ///   - isHeld: whether every live node of the layout states the key of this record.
  static func decide(
    for node: NodeID, states statements: [DataKeyStatement], records: [DataKeyEpochRecord], isAlive: (NodeID) -> Bool,
    isHeld: (DataKeyEpochRecord) -> Bool
  ) -> Decision {
    let epochs = records.sorted { $0.epoch < $1.epoch }
    let known = epochs.filter { !$0.check.isEmpty }
    guard !known.isEmpty else { return found(node, statements, epochs.last, isAlive) }
    let lacking = known.filter { record in !statements.contains { $0.epoch == record.epoch && $0.check == record.check } }
    // The newest first: it is what new records come under.
    if let newest = lacking.last, newest.epoch == known.last?.epoch { return Decision(order: .fetch(epoch: newest.epoch)) }
    if let older = lacking.first { return Decision(order: .fetch(epoch: older.epoch)) }
    if let last = epochs.last, last.check.isEmpty {
      let next = found(node, statements, last, isAlive)
      // While somebody else makes it, this node goes on as before.
      if case .wait = next.order {
      } else if case .use = next.order {
        return Decision(order: .use(current: current(known, isHeld)), record: next.record)
      } else {
        return next
      }
    }
    return Decision(order: .use(current: current(known, isHeld)))
  }

  /// What new records are sealed under: the newest key, once all have it, and until then the one before, which all had before the newest
  /// was made.
  static func current(_ known: [DataKeyEpochRecord], _ isHeld: (DataKeyEpochRecord) -> Bool) -> UInt32 {
    guard let newest = known.last else { return 0 }
    return known.count == 1 || isHeld(newest) ? newest.epoch : known[known.count - 2].epoch
  }

  /// The last epoch's key is not recorded yet, or there is no epoch.
  private static func found(
    _ node: NodeID, _ statements: [DataKeyStatement], _ last: DataKeyEpochRecord?, _ isAlive: (NodeID) -> Bool
  ) -> Decision {
    guard let last else {
      return Decision(order: .create(epoch: 1), record: DataKeyEpochRecord(epoch: 1, founder: node, check: ""))
    }
    if last.founder == node {
      guard let statement = statements.first(where: { $0.epoch == last.epoch }) else { return Decision(order: .create(epoch: last.epoch)) }
      return Decision(
        order: .use(current: last.epoch), record: DataKeyEpochRecord(epoch: last.epoch, founder: node, check: statement.check))
    }
    if isAlive(last.founder) { return Decision(order: .wait(epoch: last.epoch)) }
    // The founder is gone before it stated its key, so nothing was sealed with it: the next epoch gets another founder.
    return Decision(
      order: .create(epoch: last.epoch + 1), record: DataKeyEpochRecord(epoch: last.epoch + 1, founder: node, check: ""))
  }
}
