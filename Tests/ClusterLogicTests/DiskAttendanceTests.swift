import BlockModel
import ClusterLogic
import Testing

@Suite struct DiskAttendanceTests {
  private func report(_ number: UInt64, isServing: Bool = true) -> DiskAttendance.Report {
    DiskAttendance.Report(disk: DiskID(high: 0, low: number), isServing: isServing, isHealthy: isServing)
  }

  private func disks(_ numbers: UInt64...) -> [DiskID] { numbers.map { DiskID(high: 0, low: $0) } }

  @Test("a disk that is not reported any more is lost at once, and stays on record until its loss is noted")
  func wiped() {
    var attendance = DiskAttendance()
    let (recorded, isLost) = attendance.observe([report(2)], recorded: disks(1), outAfter: .seconds(5), now: .seconds(1))
    #expect(recorded == disks(1, 2) && isLost)
    #expect(attendance.counted(recorded: recorded, outAfter: .seconds(5), now: .seconds(1)) == disks(2))
  }

  @Test("one that is fenced has as long to come back as a silent node")
  func fenced() {
    var attendance = DiskAttendance()
    let reports = [report(1), report(2, isServing: false)]
    let early = attendance.observe(reports, recorded: disks(1, 2), outAfter: .seconds(5), now: .seconds(1))
    #expect(early.recorded == disks(1, 2) && !early.isDiskLost)
    let still = attendance.observe(reports, recorded: disks(1, 2), outAfter: .seconds(5), now: .seconds(5.9))
    #expect(!still.isDiskLost)
    let late = attendance.observe(reports, recorded: disks(1, 2), outAfter: .seconds(5), now: .seconds(6))
    #expect(late.recorded == disks(1, 2) && late.isDiskLost)
  }

  @Test("with no disk that takes copies nothing is asked for again: the node's silence is what others go by")
  func nowhere() {
    var attendance = DiskAttendance()
    let (recorded, isLost) = attendance.observe([], recorded: disks(1), outAfter: .seconds(5), now: .seconds(1))
    #expect(recorded == disks(1) && !isLost)
  }
}
