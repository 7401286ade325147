internal import CommandLineKit
internal import Synchronization
internal import Testing

@Suite("What people see")
struct OutputTests {
  @Test("columns are aligned, wide characters counted as two, no spaces at the ends of lines")
  func table() {
    var table = Table([.left("NAME"), .right("SIZE"), .left("ZONE")])
    table.add(["a", "5", ""])
    table.add(["石の山", "1,000", "b"])
    #expect(
      table.render() == """
        NAME     SIZE  ZONE
        a           5
        石の山  1,000  b

        """)
  }

  @Test("names from elsewhere cannot steer the terminal")
  func sanitised() {
    var table = Table([.left("NAME")])
    table.add(["a\u{1B}[2Jb\r\n\u{202E}"])
    #expect(table.render() == "NAME\na\u{FFFD}[2Jb\u{FFFD}\u{FFFD}\u{FFFD}\n")
    #expect(TextWidth.sanitised("plain ü 石") == "plain ü 石")
  }

  @Test(
    "cutting keeps within the columns and shows that something is missing",
    arguments: [("abcdef", 4, "abc…"), ("abc", 3, "abc"), ("石石石", 4, "石…"), ("abc", 0, ""), ("abc", 1, "…")])
  func cut(text: String, columns: Int, result: String) {
    #expect(TextWidth.cut(text, to: columns) == result)
    #expect(TextWidth.columns(of: TextWidth.cut(text, to: columns)) <= columns)
  }

  @Test("colours are there only where they were asked for")
  func style() {
    #expect(Style.plain.red("x") == "x")
    #expect(Style.coloured.red("x") == "\u{1B}[31mx\u{1B}[0m")
    #expect(Style.coloured.bold("") == "")
  }

  @Test(
    "sizes",
    arguments: [
      (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "0.98 KiB"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (10_240, "10.0 KiB"),
      (1_048_575, "1.00 MiB"),
      (4 << 20, "4.00 MiB"), (2_147_483_648, "2.00 GiB"), (123_456_789_012, "115 GiB"), (Int64.max, "8.00 EiB"), (-2048, "-2.00 KiB"),
      (Int64.min, "-8.00 EiB"),
    ] as [(Int64, String)])
  func sizes(bytes: Int64, text: String) {
    #expect(HumanFormat.size(bytes) == text)
  }

  @Test(
    "durations",
    arguments: [
      (Duration.zero, "0 ms"), (.milliseconds(850), "850 ms"), (.milliseconds(1499), "1 s"), (.seconds(59), "59 s"),
      (.milliseconds(59_600), "1 min"),
      (.seconds(185), "3 min 5 s"), (.seconds(3600), "1 h"), (.seconds(7800), "2 h 10 min"), (.seconds(90_000), "1 d 1 h"),
      (.seconds(-5), "0 ms"),
    ])
  func durations(duration: Duration, text: String) {
    #expect(HumanFormat.duration(duration) == text)
  }

  @Test("counts and rates")
  func counts() {
    #expect(["0", "999", "1,000", "-1,234,567"] == [0, 999, 1000, -1_234_567].map(HumanFormat.count))
    #expect(HumanFormat.counted(1, "file") == "1 file" && HumanFormat.counted(2000, "copy", "copies") == "2,000 copies")
    #expect(HumanFormat.rate(1_572_864) == "1.50 MiB/s" && HumanFormat.rate(.infinity) == "-" && HumanFormat.rate(.nan) == "-")
  }

  @Test("notes are silent when quiet; results and errors are not")
  func quiet() {
    let recorder = Recorder()
    let console = recorder.console(isQuiet: true)
    console.note("note")
    console.complain("error")
    console.print("result")
    #expect(recorder.error == "error\n" && recorder.output == "result\n")
  }
}

@Suite("Progress")
struct ProgressTests {
  private final class Clock: Sendable {
    private let time = Mutex(Duration.zero)
    var now: Duration { time.withLock { $0 } }
    func advance(by duration: Duration) { time.withLock { $0 += duration } }
  }

  private func frames(_ recorder: Recorder) -> [String] { recorder.error.split(separator: "\r").map(String.init) }

  @Test("the line shows share, bytes, rate and time left")
  func line() {
    let (clock, recorder) = (Clock(), Recorder())
    let bar = ProgressBar(recorder.console(isErrorTerminal: true, width: 100), label: "video.mp4", total: 100 << 20, elapsed: { clock.now })
    for _ in 0..<10 {
      clock.advance(by: .seconds(1))
      bar.advance(by: 5 << 20)
    }
    #expect(
      frames(recorder).last == "video.mp4  ▕████████████            ▏   50%  50.0 MiB of 100 MiB  5.00 MiB/s  10 s left\u{1B}[K")
    bar.finish()
    #expect(recorder.error.hasSuffix("\u{1B}[K\n"))
  }

  @Test("it is drawn at most ten times a second, whatever calls it")
  func limit() {
    let (clock, recorder) = (Clock(), Recorder())
    let bar = ProgressBar(recorder.console(isErrorTerminal: true), label: "x", total: 1 << 30, elapsed: { clock.now })
    for _ in 0..<10_000 {
      clock.advance(by: .milliseconds(1))
      bar.advance(by: 1000)
    }
    #expect((90...102).contains(frames(recorder).count))
    #expect(bar.done == 10_000_000)
  }

  @Test("no line is wider than the terminal, however narrow", arguments: [10, 20, 40, 69, 70, 80, 200])
  func width(columns: Int) {
    let (clock, recorder) = (Clock(), Recorder())
    let label = "a very long name of a file 石石石石 that goes on and on and on and on and on and on.txt"
    let bar = ProgressBar(recorder.console(isErrorTerminal: true, width: columns), label: label, total: 5 << 40, elapsed: { clock.now })
    for _ in 0..<5 {
      clock.advance(by: .seconds(3))
      bar.advance(by: 123_456_789)
    }
    for frame in frames(recorder) { #expect(TextWidth.columns(of: frame.replacing("\u{1B}[K", with: "")) < columns) }
  }

  @Test(
    "nothing is drawn without a terminal, when quiet, or when results are JSON",
    arguments: [(false, false, false), (true, true, false), (true, false, true)])
  func silent(terminal: Bool, quiet: Bool, json: Bool) {
    let recorder = Recorder()
    let bar = ProgressBar(recorder.console(isJSON: json, isQuiet: quiet, isErrorTerminal: terminal), label: "x", total: 10)
    bar.advance(by: 10)
    bar.finish()
    #expect(recorder.error == "" && bar.done == 10)
  }

  @Test("the rate is that of the last seconds, and a stall shows")
  func stall() {
    let (clock, recorder) = (Clock(), Recorder())
    let bar = ProgressBar(recorder.console(isErrorTerminal: true, width: 100), label: "x", total: 1 << 30, elapsed: { clock.now })
    for _ in 0..<100 {
      clock.advance(by: .milliseconds(200))
      bar.advance(by: 1 << 20)
    }
    #expect(frames(recorder).last?.contains("5.00 MiB/s") == true)
    for _ in 0..<10 {
      clock.advance(by: .seconds(1))
      bar.tick()
    }
    #expect(frames(recorder).last?.contains("     0 B/s") == true)
    #expect(frames(recorder).last?.contains("left") == false)
  }

  @Test("a total that comes later, more bytes than the total, and bytes taken back are shown as they are")
  func odd() {
    let (clock, recorder) = (Clock(), Recorder())
    let bar = ProgressBar(recorder.console(isErrorTerminal: true, width: 100), label: "-", elapsed: { clock.now })
    #expect(frames(recorder).last == "-  0 B\u{1B}[K")
    clock.advance(by: .seconds(1))
    bar.setTotal(10)
    clock.advance(by: .seconds(1))
    bar.advance(by: 20)
    #expect(frames(recorder).last?.contains("100%") == true)
    clock.advance(by: .seconds(1))
    bar.advance(by: -15)
    #expect(frames(recorder).last?.contains(" 50%") == true)
    bar.note("retrying")
    #expect(recorder.error.contains("\r\u{1B}[Kretrying\n"))
    bar.finish(keepLine: false)
    bar.finish()
    #expect(recorder.error.hasSuffix("\r\u{1B}[K"))
  }
}
