internal import BlockModel
internal import Testing

@Suite("Times")
struct TimeTests {
  @Test(
    "RFC 3339 text and microseconds agree both ways",
    arguments: [
      (0, "1970-01-01T00:00:00Z"), (1, "1970-01-01T00:00:00.000001Z"), (-1, "1969-12-31T23:59:59.999999Z"),
      (1_767_225_600_000_000, "2026-01-01T00:00:00Z"), (951_782_400_000_000, "2000-02-29T00:00:00Z"),
      (-62_167_219_200_000_000, "0000-01-01T00:00:00Z"), (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
      (1_795_241_340_123_000, "2026-11-21T06:09:00.123000Z"),
    ] as [(Int64, String)])
  func text(microseconds: Int64, text: String) {
    #expect(WallTime(microseconds: microseconds).rfc3339 == text)
    #expect(WallTime(rfc3339: text) == WallTime(microseconds: microseconds))
  }

  @Test(
    "other spellings of a time are read",
    arguments: [
      ("2026-01-01T01:30:00+01:30", 1_767_225_600_000_000), ("2025-12-31t16:00:00-08:00", 1_767_225_600_000_000),
      ("2026-01-01 00:00:00.5z", 1_767_225_600_500_000), ("2026-01-01T00:00:00.123456789Z", 1_767_225_600_123_456),
      ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
    ] as [(String, Int64)])
  func spellings(text: String, microseconds: Int64) {
    #expect(WallTime(rfc3339: text)?.microseconds == microseconds)
  }

  @Test(
    "what is no time is refused",
    arguments: [
      "", "2026-01-01", "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-13-01T00:00:00Z",
      "2026-00-01T00:00:00Z",
      "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00",
      "2026-01-01T00:00:00.Z",
      "2026-01-01T00:00:00+24:00", "2026-01-01T00:00:00Zx", "26-01-01T00:00:00Z", "+2026-01-01T00:00:00Z", "2026-01-01T00:00:00+0100",
      "２026-01-01T00:00:00Z",
    ])
  func refusals(text: String) {
    #expect(WallTime(rfc3339: text) == nil)
    #expect(FileTime(rfc3339: text) == nil)
  }

  @Test("every day of four centuries is written and read back")
  func days() {
    var time = WallTime(microseconds: -11_676_096_000_000_000)
    var previous = ""
    var wrong: [String] = []
    for _ in 0..<146_097 {
      let text = time.rfc3339
      if text <= previous || WallTime(rfc3339: text) != time { wrong.append(text) }
      previous = text
      time = time + .seconds(86_400)
    }
    #expect(wrong.isEmpty && previous == "1999-12-31T00:00:00Z")
  }

  @Test("the ends of what a number holds are written and moved without a trap", arguments: [Int64.min, Int64.min + 1, Int64.max])
  func ends(number: Int64) {
    #expect(WallTime(rfc3339: WallTime(microseconds: number).rfc3339) != nil)
    #expect(FileTime(rfc3339: FileTime(nanoseconds: number).rfc3339) == FileTime(nanoseconds: number))
    #expect(WallTime(microseconds: .max) + .seconds(1) == WallTime(microseconds: .max))
    #expect(WallTime(microseconds: .min) - .seconds(1) == WallTime(microseconds: .min))
    #expect(MonotonicTime.distantFuture + .seconds(Int64.max) == .distantFuture)
    #expect(MonotonicTime.zero + .seconds(Int64.max) == .distantFuture)
    #expect(FileTime(rfc3339: "9999-12-31T23:59:59.999999999Z") == FileTime(nanoseconds: .max))
    // Found by fuzzing: the fraction of a year that is out of reach was added to the first time that there is.
    #expect(FileTime(rfc3339: "0970-01-01T00:00:00.00000005Z") == FileTime(nanoseconds: .min))
  }

  @Test("differences are durations, and adding them comes back")
  func arithmetic() {
    let start = MonotonicTime(nanoseconds: 5)
    #expect(start + .milliseconds(3) - start == .milliseconds(3))
    #expect(start - .nanoseconds(5) == .zero)
    #expect(WallTime(seconds: 10) - WallTime(seconds: 4) == .seconds(6))
    #expect(WallTime(microseconds: -1).seconds == -1)
    #expect(Duration.milliseconds(-1500).saturatedMilliseconds == -1500)
    #expect(Duration.milliseconds(1500).inSeconds == 1.5)
  }
}
