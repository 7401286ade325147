internal import BlockModel
internal import Glibc
internal import Synchronization

package enum LogLevel: Int, Sendable, Comparable, CaseIterable {
  case debug, info, warning, error

  package static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }

  /// `debug`, `info`, `warning` or `error`.
  package init?(name: String) {
    guard let level = LogLevel.allCases.first(where: { $0.name == name }) else { return nil }
    self = level
  }

  package var name: String {
    switch self {
    case .debug: return "debug"
    case .info: return "info"
    case .warning: return "warning"
    case .error: return "error"
    }
  }
}

/// Writes what happened as one JSON object a line: `ts`, `level`, `component`, `message`, and the fields given.
///
/// A line below the level costs a comparison: message and fields are not made. A line is written by one call, so lines of
/// several threads or processes do not mix. A reader that is gone or full loses lines; it never stops the program.
package struct Logger: Sendable {
  private let sink: LogSink
  package var component: String
  package var level: LogLevel
  /// Added to every line, such as a request's id.
  package var fields: LogFields

  package init(component: String, level: LogLevel = .info, sink: LogSink = .standardError, fields: LogFields = [:]) {
    self.component = component
    self.level = level
    self.sink = sink
    self.fields = fields
  }

  /// A logger that writes nothing.
  package static let none = Logger(component: "", level: .error, sink: .discard)

  /// The same logger for another part of the program.
  package func component(_ name: String) -> Logger {
    var copy = self
    copy.component = name
    return copy
  }

  /// The same logger with more fields on each line.
  package func with(_ more: LogFields) -> Logger {
    var copy = self
    copy.fields = fields + more
    return copy
  }

  /// The same logger with `request_id` on each line.
  package func request(_ id: String) -> Logger { with(["request_id": .string(id)]) }

  package func isEnabled(_ level: LogLevel) -> Bool { level >= self.level && !sink.isDiscarding }

  package func debug(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.debug) { write(.debug, message(), fields()) }
  }

  package func info(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.info) { write(.info, message(), fields()) }
  }

  package func warning(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.warning) { write(.warning, message(), fields()) }
  }

  package func error(_ message: @autoclosure () -> String, _ fields: @autoclosure () -> LogFields = [:]) {
    if isEnabled(.error) { write(.error, message(), fields()) }
  }

  private func write(_ level: LogLevel, _ message: String, _ more: LogFields) {
    var line: [UInt8] = []
    line.reserveCapacity(256)
    line.append(contentsOf: "{\"ts\":".utf8)
    LogField.time(sink.time.wall()).append(to: &line)
    Logger.append("level", .string(level.name), to: &line)
    Logger.append("component", .string(component), to: &line)
    Logger.append("message", .string(message), to: &line)
    for field in fields.fields { Logger.append(field.name, field.value, to: &line) }
    for field in more.fields { Logger.append(field.name, field.value, to: &line) }
    line.append(contentsOf: "}\n".utf8)
    sink.write(line)
  }

  private static func append(_ name: String, _ value: LogField, to line: inout [UInt8]) {
    line.append(UInt8(ascii: ","))
    JSONText.append(name, to: &line)
    line.append(UInt8(ascii: ":"))
    value.append(to: &line)
  }
}

/// Where log lines go.
package final class LogSink: Sendable {
  private enum Target: Sendable {
    case descriptor(Int32)
    case file(File)
    case function(@Sendable ([UInt8]) -> Void)
    case nowhere
  }

  private let target: Target
  let time: any TimeSource
  /// Keeps lines whole when the system takes only a part of one at a time.
  private let turn = Mutex(())

  private init(_ target: Target, time: any TimeSource = SystemTime()) {
    self.target = target
    self.time = time
  }

  package static let standardError = LogSink(.descriptor(2))
  package static let discard = LogSink(.nowhere)

  /// Appends to a file; opened with `.append`, so that several processes may write to it.
  package static func file(_ path: String) throws(FileError) -> LogSink {
    LogSink(.file(try File(path, [.write, .create, .append], mode: 0o640)))
  }

  /// Gives each line, with its end, to `function`; for tests.
  package static func function(time: any TimeSource = SystemTime(), _ function: @escaping @Sendable ([UInt8]) -> Void) -> LogSink {
    LogSink(.function(function), time: time)
  }

  var isDiscarding: Bool {
    if case .nowhere = target { return true }
    return false
  }

  func write(_ line: [UInt8]) {
    turn.withLock { _ in
      switch target {
      case .descriptor(let descriptor): LogSink.writeAll(line, to: descriptor)
      case .file(let file): file.withDescriptor { LogSink.writeAll(line, to: $0) }
      case .function(let function): function(line)
      case .nowhere: break
      }
    }
  }

  private static func writeAll(_ line: [UInt8], to descriptor: Int32) {
    line.withUnsafeBytes { bytes in
      var done = 0
      while done < bytes.count {
        let count = Glibc.write(descriptor, bytes.baseAddress! + done, bytes.count - done)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return }
        done += count
      }
    }
  }
}
