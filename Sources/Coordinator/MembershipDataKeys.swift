internal import BlockModel
internal import MetadataStore
internal import ServiceAPI

/// Who makes the key of a data-key epoch, and who fetches it.
///
/// What must hold: one founder is recorded durably before anybody makes a key; a key seals blocks only after its check value is recorded;
/// a node is told to use an epoch only when it states the key with this check value.
enum MembershipDataKeys {
  struct Decision: Sendable, Equatable {
    var order: DataKeyOrder
    /// To be recorded before the order is given.
    var record: DataKeyEpochRecord?
  }

  /// - Parameters:
  ///   - records: the recorded epochs, in any order.
  ///   - isAlive: whether a founder may still be expected to answer.
  static func decide(
    for node: NodeID, states statements: [DataKeyStatement], records: [DataKeyEpochRecord], isAlive: (NodeID) -> Bool
  ) -> Decision {
    let epochs = records.sorted { $0.epoch < $1.epoch }
    guard let current = epochs.last(where: { !$0.check.isEmpty }) else { return found(node, statements, epochs.last, isAlive) }
    let lacking = epochs.filter { record in
      !record.check.isEmpty && !statements.contains { $0.epoch == record.epoch && $0.check == record.check }
    }
    if lacking.contains(where: { $0.epoch == current.epoch }) { return Decision(order: .fetch(epoch: current.epoch)) }
    if let older = lacking.first { return Decision(order: .fetch(epoch: older.epoch)) }
    return Decision(order: .use(current: current.epoch))
  }

  /// No key is recorded yet.
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
