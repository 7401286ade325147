package import BlockModel

/// One line of the audit log: who did what to what.
package struct AuditEntry: Sendable, Codable, Equatable {
  package var number: Int64
  package var at: WallTime
  /// A user's name, `operator NAME`, or `coordinator`.
  package var actor: String
  /// What was done, or with an operator's operation begun: its name.
  package var action: String
  /// Ids and names, by the action; nothing secret.
  package var subject: String
  package init(number: Int64, at: WallTime, actor: String, action: String, subject: String) {
    self.number = number
    self.at = at
    self.actor = actor
    self.action = action
    self.subject = subject
  }
}

extension OperatorOperations {
  /// Who did what, the newest first.
  package struct GetAuditLog: ControlOperation {
    package typealias Response = Page<AuditEntry>
    package static let name = "get-audit-log"
    package static let audience = ControlAudience.op
    package static let isRead = true
    /// Of this actor alone.
    package var actor: String?
    package var limit: Int
    package var cursor: String?
    package init(actor: String?, limit: Int, cursor: String?) {
      self.actor = actor
      self.limit = limit
      self.cursor = cursor
    }
  }
}

// What each operation is done to.

extension OperatorOperations.SetUserQuota {
  package var auditSubject: String { "\(user) \(quota.map(String.init) ?? "unlimited")" }
}
extension OperatorOperations.SetUserDisabled {
  package var auditSubject: String { "\(user) \(isDisabled ? "disabled" : "enabled")" }
}
extension OperatorOperations.ResetUserPassword {
  package var auditSubject: String { user }
}
extension OperatorOperations.AdmitNode {
  package var auditSubject: String { node.text }
}
extension OperatorOperations.AssignRole {
  package var auditSubject: String { "\(node.text) \(zone?.text ?? "-") \(weight.map { "\($0)" } ?? "-")" }
}
extension OperatorOperations.RemoveRole {
  package var auditSubject: String { node.text }
}
extension OperatorOperations.ApplyLayout {
  package var auditSubject: String { "version \(version)" }
}
extension OperatorOperations.DrainNode {
  package var auditSubject: String { node.text }
}
extension OperatorOperations.StartRepair {
  package var auditSubject: String {
    node?.text ?? block?.hex ?? partition.map { "partition \($0)" } ?? "all" + (overridesBrake == true ? ", brake overridden" : "")
  }
}
extension OperatorOperations.ControlScrub {
  package var auditSubject: String { node?.text ?? "all" }
}
extension OperatorOperations.StartGarbage {
  package var auditSubject: String { plan ? "plan" : acceptsUnlogged == true ? "run, unlogged accepted" : "run" }
}
extension OperatorOperations.UndoGarbage {
  package var auditSubject: String { sinceRun.map { "since run \($0)" } ?? "the last run" }
}
extension OperatorOperations.SetTuning {
  package var auditSubject: String { "\(key) \(value.map(String.init) ?? "default")" }
}
