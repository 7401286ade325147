internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("Time sources and test helpers")
struct TimeSourceTests {
  @Test("the machine's monotonic clock does not go back, and its wall clock is past 2025")
  func system() {
    let time = SystemTime()
    var last = time.monotonic()
    for _ in 0..<1000 {
      let now = time.monotonic()
      #expect(now >= last)
      last = now
    }
    #expect(time.wall() > WallTime(rfc3339: "2025-01-01T00:00:00Z") ?? .epoch)
  }

  @Test("manual time stands still until it is moved")
  func manual() {
    let time = ManualTime()
    let (start, wall) = (time.monotonic(), time.wall())
    #expect(time.monotonic() == start)
    time.advance(by: .seconds(3))
    #expect(time.monotonic() - start == .seconds(3) && time.wall() - wall == .seconds(3))
    time.setWall(.epoch)
    #expect(time.wall() == .epoch && time.monotonic() - start == .seconds(3))
  }

  @Test("a temporary folder goes with its last reference")
  func folder() throws {
    var folder: TemporaryFolder? = try TemporaryFolder()
    let path = try #require(folder?.path)
    try Directory.create(path + "/a/b")
    folder = nil
    #expect(try Directory.attributes(path) == nil)
  }

  @Test("what never comes true is said to be so")
  func never() async {
    await #expect(throws: NotInTime.self) { try await eventually(within: .milliseconds(30)) { false } }
  }

  @Test("a free port is a port")
  func port() {
    #expect((1...65535).contains(FreePort.next()))
  }
}
