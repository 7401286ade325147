import Chaos
import Testing

@Suite("What users were told") struct AcknowledgementsTests {
  @Test("an acknowledged file has to be there, an acknowledged removal has to hold, and anything else is a fault")
  func acknowledged() {
    var truth = Acknowledgements()
    #expect(truth.fault("/a", .absent) == nil && truth.fault("/a", .file("1")) != nil)
    truth.ended("/a", .file("1"), .acknowledged)
    #expect(truth.promised("/a") && truth.known("/a") == .file("1"))
    #expect(truth.fault("/a", .file("1")) == nil && truth.fault("/a", .absent) != nil && truth.fault("/a", .file("2")) != nil)
    truth.ended("/a", .file("2"), .acknowledged)
    #expect(truth.fault("/a", .file("1")) != nil, "what was written over does not come back")
    truth.ended("/a", .absent, .acknowledged)
    #expect(!truth.promised("/a") && truth.fault("/a", .absent) == nil && truth.fault("/a", .file("2")) != nil)
    #expect(truth.acknowledged == 3 && truth.unknown == 0)
  }

  @Test("after an operation of unknown outcome both are right, and nobody goes on with the path")
  func unknown() {
    var truth = Acknowledgements()
    truth.ended("/a", .file("1"), .acknowledged)
    truth.ended("/a", .file("2"), .unknown)
    #expect(!truth.isSettled("/a") && truth.known("/a") == nil && truth.promised("/a"))
    #expect(truth.fault("/a", .file("1")) == nil && truth.fault("/a", .file("2")) == nil && truth.fault("/a", .absent) != nil)
    truth.ended("/b", .file("1"), .unknown)
    #expect(!truth.promised("/b") && truth.fault("/b", .absent) == nil && truth.unknown == 2)
  }

  @Test("a refused operation changes nothing")
  func refused() {
    var truth = Acknowledgements()
    truth.ended("/a", .file("1"), .acknowledged)
    truth.ended("/a", .file("2"), .refused)
    #expect(truth.isSettled("/a") && truth.fault("/a", .file("2")) != nil && truth.all == ["/a"])
  }
}

@Suite("The timeline of a run") struct TimelineTests {
  @Test("the longest gap counts only what succeeded, from the first try on")
  func gaps() {
    var timeline = Timeline()
    for (start, end, succeeded) in [(1.0, 2.0, true), (2.0, 3.0, false), (3.0, 6.0, true), (6.0, 6.5, true)] {
      timeline.operations.append(.init(kind: .write, start: start, end: end, succeeded: succeeded))
    }
    timeline.end = 10
    #expect(timeline.longestGap(.write) == 4 && timeline.longestGap(.read) == 10 && timeline.availability(.write) == 0.75)
  }

  @Test("what a daemon takes is judged by the last two thirds of its last process, by their medians")
  func usage() {
    var timeline = Timeline()
    func note(_ name: String, _ process: Int32, _ mebibytes: [Int]) {
      for (index, size) in mebibytes.enumerated() {
        timeline.usage[name, default: []].append(
          Timeline.Usage(time: Double(index), process: process, bytes: Int64(size) << 20, files: 10 + size))
      }
    }
    // It warms up, stays, and has one outlier in each third.
    note("node-1", 7, [1, 20, 60, 100, 900, 100, 101, 1, 101])
    let flat = timeline.thirds(of: "node-1")
    #expect(flat?.second.bytes == 100 << 20 && flat?.last.bytes == 101 << 20)
    #expect(flat?.second.files == 110 && flat?.last.files == 111)
    // What its process before took says nothing of this one.
    note("node-2", 7, [900, 900, 900])
    note("node-2", 8, [10, 20, 30, 40, 50, 60, 70, 80, 90])
    let growing = timeline.thirds(of: "node-2")
    #expect(growing?.second.bytes == 50 << 20 && growing?.last.bytes == 80 << 20)
    note("node-3", 9, [1, 2, 3])
    #expect(timeline.thirds(of: "node-3") == nil)
    #expect(timeline.thirds(of: "nobody") == nil)
  }
}
