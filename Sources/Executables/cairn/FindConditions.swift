import CairnClient

/// What `cairn find` looks for; all that is given has to hold.
struct FindConditions {
  var name: Glob?
  /// In lower case.
  var foldedName: Glob?
  var kind: Entry.Kind?
  /// Bytes.
  var above: Int64?
  var below: Int64?
  var since: Timestamp?

  func hold(for entry: Entry) -> Bool {
    if let kind, entry.kind != kind { return false }
    if let name, !name.matches(entry.name) { return false }
    if let foldedName, !foldedName.matches(entry.name.lowercased()) { return false }
    if let above, entry.kind != .file || entry.size <= above { return false }
    if let below, entry.kind != .file || entry.size >= below { return false }
    if let since, entry.modifiedAt < since { return false }
    return true
  }
}

/// A pattern of `*` (any run of characters) and `?` (any one).
struct Glob {
  private let pattern: [Character]

  init(_ pattern: String) { self.pattern = Array(pattern) }

  /// Goes back to the last `*` alone, so it takes at most the product of both lengths.
  func matches(_ text: String) -> Bool {
    let text = Array(text)
    var (here, there) = (0, 0)
    var star: (pattern: Int, text: Int)?
    while there < text.count {
      if here < pattern.count, pattern[here] == "*" {
        star = (here, there)
        here += 1
      } else if here < pattern.count, pattern[here] == "?" || pattern[here] == text[there] {
        here += 1
        there += 1
      } else if let last = star {
        star = (last.pattern, last.text + 1)
        here = last.pattern + 1
        there = last.text + 1
      } else {
        return false
      }
    }
    return pattern[here...].allSatisfy { $0 == "*" }
  }
}
