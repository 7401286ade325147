/// What a `.cairnignore` says: the patterns of gitignore(5), for one folder and all below it.
package struct IgnoreRules: Sendable, Equatable {
  /// One line.
  struct Rule: Sendable, Equatable {
    var isNegated: Bool
    var foldersOnly: Bool
    /// Whether it is held against the path from the folder of the file on, and not against the name alone.
    var isAnchored: Bool
    var segments: [String]
  }

  package static let fileName = ".cairnignore"
  /// Bytes of a file that are read, and lines of it.
  package static let fileLimit = 1 << 20
  private static let lineLimit = 10_000

  let rules: [Rule]

  package init(_ text: String) {
    rules = text.split(whereSeparator: \.isNewline).prefix(IgnoreRules.lineLimit).compactMap { IgnoreRules.rule(String($0)) }
  }

  private static func rule(_ line: String) -> Rule? {
    var text = withoutTrailingSpaces(line)
    guard !text.isEmpty, !text.hasPrefix("#") else { return nil }
    let isNegated = text.hasPrefix("!")
    if isNegated { text.removeFirst() }
    let foldersOnly = text.hasSuffix("/")
    if foldersOnly { text.removeLast() }
    let isAnchored = text.contains("/")
    if text.hasPrefix("/") { text.removeFirst() }
    guard !text.isEmpty else { return nil }
    return Rule(
      isNegated: isNegated, foldersOnly: foldersOnly, isAnchored: isAnchored,
      segments: text.split(separator: "/", omittingEmptySubsequences: false).map(String.init))
  }

  /// Spaces at the end do not count, unless a backslash stands before them.
  private static func withoutTrailingSpaces(_ line: String) -> String {
    var characters = Array(line)
    while characters.last == " ", !(characters.count > 1 && characters[characters.count - 2] == "\\") { characters.removeLast() }
    return String(characters)
  }

  /// What the rules say of a path below their folder; nil when none fits. The last one that fits counts.
  ///
  /// - Parameter path: names from the folder of the file on.
  package func verdict(_ path: ArraySlice<String>, isFolder: Bool) -> Bool? {
    guard let name = path.last else { return nil }
    for rule in rules.reversed() where !rule.foldersOnly || isFolder {
      let fits =
        rule.isAnchored
        ? IgnoreRules.matches(rule.segments[...], path) : IgnoreRules.matches(pattern: Array(rule.segments[0]), Array(name))
      if fits { return !rule.isNegated }
    }
    return nil
  }

  /// `**` stands for any number of folders; at the end for everything inside.
  private static func matches(_ pattern: ArraySlice<String>, _ path: ArraySlice<String>) -> Bool {
    guard let first = pattern.first else { return path.isEmpty }
    if first == "**" {
      if pattern.count == 1 { return !path.isEmpty }
      return (path.startIndex...path.endIndex).contains { matches(pattern.dropFirst(), path[$0...]) }
    }
    guard let name = path.first, matches(pattern: Array(first), Array(name)) else { return false }
    return matches(pattern.dropFirst(), path.dropFirst())
  }

  // MARK: - One name

  /// `fnmatch` within a name: `*`, `?`, `[…]` and the backslash. Time grows with the product of the lengths, never faster.
  static func matches(pattern: [Character], _ name: [Character]) -> Bool {
    var (p, n) = (0, 0)
    var retry: (pattern: Int, name: Int)?
    while n < name.count {
      if p < pattern.count, pattern[p] == "*" {
        retry = (p + 1, n)
        p += 1
      } else if let next = step(pattern, p, name[n]) {
        p = next
        n += 1
      } else if let last = retry {
        retry = (last.pattern, last.name + 1)
        (p, n) = (last.pattern, last.name + 1)
      } else {
        return false
      }
    }
    while p < pattern.count, pattern[p] == "*" { p += 1 }
    return p == pattern.count
  }

  /// The place behind the part of the pattern that takes this character; nil when it does not.
  private static func step(_ pattern: [Character], _ place: Int, _ character: Character) -> Int? {
    guard place < pattern.count else { return nil }
    switch pattern[place] {
    case "?": return place + 1
    case "[": return set(pattern, place, character)
    case "\\" where place + 1 < pattern.count: return pattern[place + 1] == character ? place + 2 : nil
    default: return pattern[place] == character ? place + 1 : nil
    }
  }

  private static func set(_ pattern: [Character], _ start: Int, _ character: Character) -> Int? {
    var place = start + 1
    let isNegated = place < pattern.count && (pattern[place] == "!" || pattern[place] == "^")
    if isNegated { place += 1 }
    var contains = false
    var isFirst = true
    while place < pattern.count, isFirst || pattern[place] != "]" {
      isFirst = false
      if let (name, end) = characterClass(pattern, place) {
        if belongs(character, to: name) { contains = true }
        place = end
        continue
      }
      let low = literal(pattern, &place)
      if place + 1 < pattern.count, pattern[place] == "-", pattern[place + 1] != "]" {
        place += 1
        let high = literal(pattern, &place)
        if low <= character, character <= high { contains = true }
      } else if low == character {
        contains = true
      }
    }
    // Without its end the pattern fits nothing.
    guard place < pattern.count else { return nil }
    return contains != isNegated ? place + 1 : nil
  }

  private static func literal(_ pattern: [Character], _ place: inout Int) -> Character {
    if pattern[place] == "\\", place + 1 < pattern.count { place += 1 }
    defer { place += 1 }
    return pattern[place]
  }

  /// `[:alpha:]` and its like.
  private static func characterClass(_ pattern: [Character], _ place: Int) -> (name: String, end: Int)? {
    guard place + 1 < pattern.count, pattern[place] == "[", pattern[place + 1] == ":" else { return nil }
    var end = place + 2
    while end + 1 < pattern.count {
      if pattern[end] == ":", pattern[end + 1] == "]" { return (String(pattern[(place + 2)..<end]), end + 2) }
      end += 1
    }
    return nil
  }

  private static func belongs(_ character: Character, to name: String) -> Bool {
    guard let code = character.asciiValue else { return false }
    switch name {
    case "alpha": return character.isLetter
    case "digit": return (48...57).contains(code)
    case "alnum": return character.isLetter || (48...57).contains(code)
    case "lower": return (97...122).contains(code)
    case "upper": return (65...90).contains(code)
    case "space": return code == 32 || (9...13).contains(code)
    case "blank": return code == 32 || code == 9
    case "punct": return (33...126).contains(code) && !character.isLetter && !(48...57).contains(code)
    case "xdigit": return character.isHexDigit
    default: return false
    }
  }
}

/// All `.cairnignore` files of a tree.
package struct IgnoreTree: Sendable, Equatable {
  /// By the path of their folder, joined by slashes; the root's is empty.
  private var files: [String: IgnoreRules] = [:]

  package init() {}

  package var isEmpty: Bool { files.isEmpty }

  package mutating func set(_ rules: IgnoreRules?, in folder: [String]) { files[folder.joined(separator: "/")] = rules }

  /// Whether a path is left out. Of what lies in a folder that is left out nothing is asked: it is left out too.
  ///
  /// - Parameter names: from the root down.
  package func isIgnored(_ names: [String], isFolder: Bool) -> Bool {
    guard !files.isEmpty else { return false }
    // The file nearest to it counts most.
    for depth in (0..<names.count).reversed() {
      if let rules = files[names[..<depth].joined(separator: "/")], let verdict = rules.verdict(names[depth...], isFolder: isFolder) {
        return verdict
      }
    }
    return false
  }
}
