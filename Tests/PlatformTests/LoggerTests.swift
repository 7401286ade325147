internal import BlockModel
internal import Foundation
internal import Platform
internal import Synchronization
internal import TestSupport
internal import Testing

@Suite("Logger")
struct LoggerTests {
  private final class Lines: Sendable {
    private let lines = Mutex<[[UInt8]]>([])
    func add(_ line: [UInt8]) { lines.withLock { $0.append(line) } }
    var all: [[UInt8]] { lines.withLock { $0 } }
  }

  private let lines = Lines()

  private func logger(_ level: LogLevel = .info) -> Logger {
    let sink = LogSink.function(time: ManualTime(wall: WallTime(seconds: 0))) { [lines] in lines.add($0) }
    return Logger(component: "node", level: level, sink: sink)
  }

  private func object(_ line: [UInt8]) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(line)) as? [String: Any])
  }

  @Test("a line is one JSON object with time, level, component, message and the fields in order")
  func form() throws {
    logger().request("r-1").warning(
      "late", ["bytes": 5, "rate": .double(1.5), "ok": true, "waited": .duration(.milliseconds(250)), "peer": "node-2"])
    let text = String(decoding: try #require(lines.all.first), as: UTF8.self)
    #expect(
      text == #"{"ts":"1970-01-01T00:00:00Z","level":"warning","component":"node","message":"late","request_id":"r-1","#
        + #""bytes":5,"rate":1.5,"ok":true,"waited":0.25,"peer":"node-2"}"# + "\n")
  }

  @Test(
    "whatever text comes in, a line stays one line of valid JSON", arguments: ["a\"b\\c", "two\nlines\r\u{0}\u{7f}", "ünï 🪨", "\u{2028}"])
  func escaping(text: String) throws {
    logger().info(text, ["f": .string(text)])
    let line = try #require(lines.all.first)
    #expect(line.filter { $0 == 10 }.count == 1 && line.last == 10)
    #expect(try object(line)["message"] as? String == text)
    #expect(try object(line)["f"] as? String == text)
  }

  @Test("numbers that JSON does not know are null")
  func infinities() throws {
    logger().info("x", ["a": .double(.infinity), "b": .double(.nan)])
    #expect(try object(try #require(lines.all.first))["a"] is NSNull)
  }

  @Test("secrets are never written")
  func secrets() throws {
    logger().info("key \(SecretBytes(Array("hunter2".utf8)))", ["key": .secret(SecretBytes(Array("hunter2".utf8)))])
    let text = String(decoding: try #require(lines.all.first), as: UTF8.self)
    #expect(!text.contains("hunter2"))
    #expect(try object(Array(text.utf8))["key"] as? String == "«redacted»")
  }

  @Test("below the level, neither message nor fields are made")
  func levels() {
    func never() -> LogFields {
      Issue.record("the fields of a line that is not written were made")
      return [:]
    }
    let quiet = logger(.warning)
    quiet.info("\(never())", never())
    Logger.none.error("\(never())", never())
    quiet.error("written")
    #expect(lines.all.count == 1)
  }

  @Test("lines of many threads do not mix in a file")
  func wholeLines() async throws {
    let folder = try TemporaryFolder()
    let logger = Logger(component: "test", sink: try LogSink.file(folder.path("log")))
    let filler = String(repeating: "x", count: 5000)
    await withTaskGroup(of: Void.self) { group in
      for writer in 0..<8 { group.addTask { for _ in 0..<50 { logger.info(filler, ["writer": .int(writer)]) } } }
    }
    let text = try #require(try AtomicFile.read(folder.path("log"), limit: 16 << 20))
    let written = text.split(separator: 10)
    #expect(written.count == 400)
    for line in written { #expect((try object(Array(line))["message"] as? String)?.count == 5000) }
  }
}
