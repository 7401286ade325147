import SyncAgent
import Testing

@Suite("How often a synced folder is read again")
struct RescanPaceTests {
  @Test("a small folder is read each ten minutes, or each minute where no hints come, and a large one as seldom as each hour")
  func fits() {
    var pace = RescanPace()
    #expect(pace.interval(isWatched: true) == .seconds(600) && pace.interval(isWatched: false) == .seconds(60))
    pace.lastScan = .seconds(1)
    #expect(pace.interval(isWatched: true) == .seconds(2000) && pace.interval(isWatched: false) == .seconds(60))
    pace.lastScan = .seconds(100)
    #expect(pace.interval(isWatched: true) == RescanPace.slowest && pace.interval(isWatched: false) == RescanPace.slowest)
  }
}
