/// What is wrong with a configuration, in a sentence that names the file and the line.
package struct ConfigurationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Counted from 1; nil when something is missing.
  package var line: Int?
  package var message: String
  package init(line: Int? = nil, message: String) {
    self.line = line
    self.message = message
  }
  package var description: String { message }
}

/// A daemon's configuration: `key = value` lines, `#` comments, blank lines; values run to the end of the line and may be in double quotes.
///
/// Strict: an unknown key, a repeated one, or a value of the wrong kind is an error, because a typing mistake that is passed over becomes
/// a setting that is not in force.
package struct ConfigurationFile: Sendable {
  private struct Entry: Sendable {
    var key: String
    var value: String
    var line: Int
  }

  private let source: String
  private var entries: [Entry] = []

  /// - Parameters:
  ///   - text: the file's contents.
  ///   - source: its name, for messages.
  ///   - knownKeys: every key that the program reads.
  package init(text: String, source: String, knownKeys: [String]) throws(ConfigurationError) {
    self.source = source
    // By scalars: as characters, a carriage return and a line feed are one that is not a line feed.
    for (index, line) in text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
      guard let entry = try ConfigurationFile.parse(Substring(line), number: index + 1, source: source) else { continue }
      guard knownKeys.contains(entry.key) else {
        let hint = Suggestion.nearest(to: entry.key, in: knownKeys).map { "; did you mean “\($0)”?" } ?? "."
        throw ConfigurationError(line: entry.line, message: "\(source):\(entry.line): there is no setting “\(entry.key)”\(hint)")
      }
      if let earlier = entries.first(where: { $0.key == entry.key }) {
        throw ConfigurationError(
          line: entry.line, message: "\(source):\(entry.line): “\(entry.key)” was already set on line \(earlier.line).")
      }
      entries.append(entry)
    }
  }

  /// Reads and parses the file at `path`. Blocks.
  package static func load(_ path: String, knownKeys: [String]) throws -> ConfigurationFile {
    guard let bytes = try AtomicFile.read(path, limit: 1 << 20) else {
      throw ConfigurationError(line: nil, message: "There is no configuration file at \(path).")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw ConfigurationError(line: nil, message: "\(path) is not text in UTF-8.")
    }
    return try ConfigurationFile(text: text, source: path, knownKeys: knownKeys)
  }

  /// Nil when the key is not set.
  package func string(_ key: String) -> String? { entry(key)?.value }

  package func requiredString(_ key: String) throws(ConfigurationError) -> String {
    guard let value = string(key) else { throw ConfigurationError(line: nil, message: "\(source): “\(key)” has to be set.") }
    return value
  }

  /// A whole number within `range`.
  package func int(_ key: String, in range: ClosedRange<Int> = Int.min...Int.max) throws(ConfigurationError) -> Int? {
    try typed(
      key, expected: range == Int.min...Int.max ? "a whole number" : "a whole number from \(range.lowerBound) to \(range.upperBound)"
    ) {
      Int($0).flatMap { range.contains($0) ? $0 : nil }
    }
  }

  package func double(_ key: String) throws(ConfigurationError) -> Double? {
    try typed(key, expected: "a number") { Double($0).flatMap { $0.isFinite ? $0 : nil } }
  }

  /// `true` or `false`.
  package func bool(_ key: String) throws(ConfigurationError) -> Bool? {
    try typed(key, expected: "true or false") { $0 == "true" ? true : $0 == "false" ? false : nil }
  }

  /// Bytes, such as `4MiB`.
  package func size(_ key: String) throws(ConfigurationError) -> Int64? {
    try typed(key, expected: "a size such as 64MiB") { ByteSize.parse($0) }
  }

  /// Such as `10s`.
  package func duration(_ key: String) throws(ConfigurationError) -> Duration? {
    try typed(key, expected: "a duration such as 10s") { DurationText.parse($0) }
  }

  /// Values between commas, without the spaces around them; an empty one is an error.
  package func list(_ key: String) throws(ConfigurationError) -> [String]? {
    try typed(key, expected: "values between commas") { value in
      let items = value.split(separator: ",", omittingEmptySubsequences: false).map { trimmed($0) }
      return items.contains("") ? nil : items
    }
  }

  /// One of `choices`.
  package func choice(_ key: String, _ choices: [String]) throws(ConfigurationError) -> String? {
    try typed(key, expected: "one of " + choices.joined(separator: ", ")) { choices.contains($0) ? $0 : nil }
  }

  /// Reads the value with `parse`; nil from it is an error that says what was `expected`.
  package func typed<Value>(
    _ key: String, expected: String, _ parse: (String) -> Value?
  ) throws(ConfigurationError) -> Value? {
    guard let entry = entry(key) else { return nil }
    guard let value = parse(entry.value) else {
      throw ConfigurationError(
        line: entry.line, message: "\(source):\(entry.line): “\(key)” is “\(entry.value)” and has to be \(expected).")
    }
    return value
  }

  private func entry(_ key: String) -> Entry? { entries.first { $0.key == key } }

  private static func parse(_ line: Substring, number: Int, source: String) throws(ConfigurationError) -> Entry? {
    let text = trimmed(line)
    guard !text.isEmpty, !text.hasPrefix("#") else { return nil }
    guard let equals = text.firstIndex(of: "=") else {
      throw ConfigurationError(line: number, message: "\(source):\(number): a line has the form “key = value”.")
    }
    let key = trimmed(text[..<equals])
    guard !key.isEmpty else { throw ConfigurationError(line: number, message: "\(source):\(number): there is no key before the “=”.") }
    var value = trimmed(text[text.index(after: equals)...])
    if value.hasPrefix("\"") {
      guard value.count >= 2, value.hasSuffix("\""), !value.dropFirst().dropLast().contains("\"") else {
        throw ConfigurationError(line: number, message: "\(source):\(number): the quotes of “\(key)” do not close.")
      }
      value = String(value.dropFirst().dropLast())
    } else if let comment = value.range(ofCommentAfterSpace: ()) {
      value = trimmed(value[..<comment])
    }
    return Entry(key: key, value: value, line: number)
  }
}

private func trimmed(_ text: some StringProtocol) -> String {
  let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\r" }
  let head = text.drop(while: isSpace)
  guard let last = head.lastIndex(where: { !isSpace($0) }) else { return "" }
  return String(head[...last])
}

extension String {
  /// Where ` #` begins, so that a `#` within a value stays a part of it.
  fileprivate func range(ofCommentAfterSpace: Void) -> Index? {
    var previous: Character?
    for index in indices {
      if self[index] == "#", previous == nil || previous == " " || previous == "\t" { return index }
      previous = self[index]
    }
    return nil
  }
}
