package import BlockModel

/// Tells from a node's reports which of its disks still count.
///
/// A disk that is not reported any more was taken away or wiped: what it held is lost. One that is fenced or missing may come back, as a
/// silent node may, and has as long to do so.
///
/// What must hold: a lost disk stays on record until its loss is noted durably, so that a crash of the coordinator does not forget it.
package struct DiskAttendance: Sendable {
  package struct Report: Sendable, Equatable {
    package var disk: DiskID
    /// It serves reads and may take writes; false for one that is fenced or missing.
    package var isServing: Bool
    /// It takes writes.
    package var isHealthy: Bool
    package init(disk: DiskID, isServing: Bool, isHealthy: Bool) {
      self.disk = disk
      self.isServing = isServing
      self.isHealthy = isHealthy
    }
  }

  /// The newest reports.
  package private(set) var reports: [Report] = []
  /// Disks that the node says are fenced or missing, and since when.
  private var ailing: [(disk: DiskID, since: MonotonicTime)] = []

  package init() {}

  /// Takes a report. Answers the disks on record as they shall be now, and whether a disk is lost whose blocks are to be asked for again.
  /// - Parameter recorded: disks whose copies count so far.
  package mutating func observe(
    _ reports: [Report], recorded: [DiskID], outAfter: Duration, now: MonotonicTime
  ) -> (recorded: [DiskID], isDiskLost: Bool) {
    let before = ailing
    self.reports = reports
    ailing = reports.filter { !$0.isServing }.map { report in before.first { $0.disk == report.disk } ?? (report.disk, now) }
    let counted = counted(recorded: recorded, outAfter: outAfter, now: now)
    let lost = recorded.filter { !counted.contains($0) }
    guard !lost.isEmpty else { return (counted, false) }
    // With no disk left there is nowhere to put copies: the node's own silence is what others are to go by.
    return ((recorded + counted.filter { !recorded.contains($0) }).sorted(), reports.contains(where: \.isHealthy))
  }

  /// Disks whose copies count: those that serve, and those that went wrong only a moment ago. Sorted.
  package func counted(recorded: [DiskID], outAfter: Duration, now: MonotonicTime) -> [DiskID] {
    let counted = reports.filter { report in
      report.isServing || recorded.contains(report.disk) && ailing.contains { $0.disk == report.disk && now - $0.since < outAfter }
    }
    return counted.map(\.disk).sorted()
  }
}
