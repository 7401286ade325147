/// The operations that change nothing: a caller may ask them again after a lost answer.
extension UserOperations.WhoAmI {
  package static var isRead: Bool { true }
}

extension UserOperations.ListDevices {
  package static var isRead: Bool { true }
}

extension UserOperations.GetUsage {
  package static var isRead: Bool { true }
}

extension UserOperations.Stat {
  package static var isRead: Bool { true }
}

extension UserOperations.ListFolder {
  package static var isRead: Bool { true }
}

extension UserOperations.GetDownloadPlan {
  package static var isRead: Bool { true }
}

extension UserOperations.GetDownloadPlans {
  package static var isRead: Bool { true }
}

extension UserOperations.ListVersions {
  package static var isRead: Bool { true }
}

extension UserOperations.GetChanges {
  package static var isRead: Bool { true }
}

extension OperatorOperations.GetStatus {
  package static var isRead: Bool { true }
}

extension OperatorOperations.GetLayout {
  package static var isRead: Bool { true }
}

extension OperatorOperations.GetRepair {
  package static var isRead: Bool { true }
}

extension OperatorOperations.GetAudit {
  package static var isRead: Bool { true }
}

extension OperatorOperations.ExplainBlock {
  package static var isRead: Bool { true }
}

extension ClusterOperations.GetView {
  package static var isRead: Bool { true }
}
