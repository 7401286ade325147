/// What users were told, and so what has to be there: the reference that a cluster is held against after a storm. A value without I/O.
///
/// What must hold: one client works on a path, one operation at a time. An operation whose end nobody knows may take effect at any later
/// moment, since a paused server may go on; so its client leaves the path alone, and either outcome is right in the end.
package struct Acknowledgements: Sendable {
  package enum Content: Hashable, Sendable, CustomStringConvertible {
    case absent
    /// A file's SHA-256, in hex.
    case file(String)

    package var description: String {
      switch self {
      case .absent: "nothing"
      case .file(let hash): "a file \(hash.prefix(12))…"
      }
    }
  }

  package enum Outcome: Sendable {
    case acknowledged
    /// It surely had no effect.
    case refused
    case unknown
  }

  private struct Path {
    var possible: Set<Content> = [.absent]
    var isOpen = false
  }

  private var paths: [String: Path] = [:]
  package private(set) var acknowledged = 0
  package private(set) var unknown = 0

  package init() {}

  /// All paths that were ever worked on, in order.
  package var all: [String] { paths.keys.sorted() }

  /// Whether a client may go on with the path.
  package func isSettled(_ path: String) -> Bool { paths[path].map { !$0.isOpen } ?? true }

  /// What is there, as far as one thing is known.
  package func known(_ path: String) -> Content? {
    guard let entry = paths[path] else { return .absent }
    return !entry.isOpen && entry.possible.count == 1 ? entry.possible.first : nil
  }

  /// An operation that should have made `content` of `path` has ended.
  package mutating func ended(_ path: String, _ content: Content, _ outcome: Outcome) {
    switch outcome {
    case .acknowledged:
      paths[path, default: Path()].possible = [content]
      acknowledged += 1
    case .refused: break
    case .unknown:
      paths[path, default: Path()].possible.insert(content)
      paths[path]?.isOpen = true
      unknown += 1
    }
  }

  /// Nil when what was seen is right; else what is wrong with it.
  package func fault(_ path: String, _ seen: Content) -> String? {
    let possible = paths[path]?.possible ?? [.absent]
    guard !possible.contains(seen) else { return nil }
    let expected = possible.map(\.description).sorted().joined(separator: " or ")
    return "\(path) is \(seen) and should be \(expected)"
  }

  /// Paths of which the user was promised a file.
  package func promised(_ path: String) -> Bool { paths[path].map { !$0.possible.contains(.absent) } ?? false }
}
