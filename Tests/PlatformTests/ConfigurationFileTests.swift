internal import Platform
internal import TestSupport
internal import Testing

@Suite("Configuration file")
struct ConfigurationFileTests {
  private static let keys = ["listen", "data_folder", "zones", "limit", "timeout", "strict", "weight", "mode"]

  private func parse(_ text: String) throws -> ConfigurationFile {
    try ConfigurationFile(text: text, source: "node.conf", knownKeys: ConfigurationFileTests.keys)
  }

  @Test("values come back by their types; comments, blank lines and quotes are understood")
  func types() throws {
    let file = try parse(
      """
      # where it listens
      listen = 127.0.0.1:80#81   # not a comment before the space
      \tdata_folder="/with space # and hash"\r
      zones = a, b ,c

      limit=1.5 GiB
      timeout = 250ms
      strict = true
      weight = -3
      mode =
      """)
    #expect(file.string("listen") == "127.0.0.1:80#81")
    #expect(file.string("data_folder") == "/with space # and hash")
    #expect(try file.list("zones") == ["a", "b", "c"])
    #expect(try file.size("limit") == 1_610_612_736)
    #expect(try file.duration("timeout") == .milliseconds(250))
    #expect(try file.bool("strict") == true)
    #expect(try file.int("weight") == -3)
    #expect(try file.int("weight", in: -5...0) == -3)
    #expect(file.string("mode") == "")
  }

  @Test(
    "a mistake is named with its line",
    arguments: [
      ("listen = a\nlimti = 5", "node.conf:2: there is no setting “limti”; did you mean “limit”?"),
      ("nothing_like_it = 5", "node.conf:1: there is no setting “nothing_like_it”."),
      ("limit = 1\n\nlimit = 2", "node.conf:3: “limit” was already set on line 1."),
      ("just words", "node.conf:1: a line has the form “key = value”."),
      ("= 5", "node.conf:1: there is no key before the “=”."),
      ("listen = \"a", "node.conf:1: the quotes of “listen” do not close."),
    ])
  func mistakes(text: String, message: String) {
    let error = #expect(throws: ConfigurationError.self) { try parse(text) }
    #expect(error?.message == message)
  }

  @Test("a value of the wrong kind is an error, and never passed over")
  func kinds() throws {
    let file = try parse("listen = x\nzones = a,,b")
    let messages = [
      #expect(throws: ConfigurationError.self) { try file.int("listen") },
      #expect(throws: ConfigurationError.self) { try file.size("listen") },
      #expect(throws: ConfigurationError.self) { try file.duration("listen") },
      #expect(throws: ConfigurationError.self) { try file.bool("listen") },
      #expect(throws: ConfigurationError.self) { try file.double("listen") },
      #expect(throws: ConfigurationError.self) { try file.choice("listen", ["a", "b"]) },
      #expect(throws: ConfigurationError.self) { try file.list("zones") },
    ].map { $0?.message }
    #expect(messages.first == "node.conf:1: “listen” is “x” and has to be a whole number.")
    #expect(messages.allSatisfy { $0?.contains("has to be") == true })
  }

  @Test("what is not set is nil, or an error when it is required")
  func missing() throws {
    let file = try parse("")
    #expect(file.string("listen") == nil)
    #expect(try file.int("limit") == nil)
    #expect(throws: ConfigurationError.self) { try file.requiredString("listen") }
  }

  @Test("a missing file and one that is no text are said to be so")
  func files() throws {
    let folder = try TemporaryFolder()
    #expect(throws: ConfigurationError.self) { try ConfigurationFile.load(folder.path("none"), knownKeys: []) }
    try AtomicFile.write(folder.path("binary"), [0xff, 0xfe])
    #expect(throws: ConfigurationError.self) { try ConfigurationFile.load(folder.path("binary"), knownKeys: []) }
    try AtomicFile.write(folder.path("good"), Array("limit = 3".utf8))
    #expect(try ConfigurationFile.load(folder.path("good"), knownKeys: ["limit"]).int("limit") == 3)
  }

  @Test(
    "sizes",
    arguments: [
      ("0", 0), ("1", 1), ("9223372036854775807", Int64.max), ("4k", 4096), ("4KiB", 4096), ("4 kB", 4000), ("1.5MiB", 1_572_864),
      ("2TB", 2_000_000_000_000),
      ("", nil), ("-1", nil), ("1.5", nil), ("k", nil), ("1 x", nil), ("1..5k", nil), (".5k", nil), ("9000000000T", nil), ("1  k", nil),
      ("٣", nil),
    ])
  func sizes(text: String, bytes: Int64?) {
    #expect(ByteSize.parse(text) == bytes)
  }

  @Test(
    "durations",
    arguments: [
      ("0", Duration.zero), ("10s", .seconds(10)), ("250ms", .milliseconds(250)), ("1.5h", .seconds(5400)), ("7d", .seconds(604_800)),
      ("2 w", .seconds(1_209_600)),
      ("10", nil), ("s", nil), ("-1s", nil), ("1y", nil), ("1000000w", nil), ("", nil),
    ] as [(String, Duration?)])
  func durations(text: String, duration: Duration?) {
    #expect(DurationText.parse(text) == duration)
  }

  @Test(
    "the nearest word is suggested when it is near",
    arguments: [
      ("statsu", "status"), ("stat", "status"), ("lyaout", "layout"), ("x", nil), ("completely", nil), ("nodse", "nodes"), ("", nil),
    ])
  func suggestions(word: String, expected: String?) {
    #expect(Suggestion.nearest(to: word, in: ["status", "nodes", "layout", "repair"]) == expected)
  }
}
