internal import BlockModel

/// The folders and names of a simulated disk, as processes see them and as they are after the power failed.
struct SimulatedNames {
  enum Change {
    case link(String, Int)
    case unlink(String)
    case rename(String, to: String, Int)
    case makeDirectory(String)

    var paths: [String] {
      switch self {
      case .link(let path, _), .unlink(let path), .makeDirectory(let path): return [path]
      case .rename(let source, let destination, _): return [source, destination]
      }
    }
  }

  private struct Table {
    var files: [String: Int] = [:]
    var directories: Set<String> = ["/"]

    mutating func apply(_ change: Change) {
      switch change {
      case .link(let path, let inode): files[path] = inode
      case .unlink(let path):
        files[path] = nil
        directories.remove(path)
      case .rename(let source, let destination, let inode):
        if files[source] == inode { files[source] = nil }
        files[destination] = inode
      case .makeDirectory(let path): directories.insert(path)
      }
    }

    func isThere(_ directory: String) -> Bool {
      directories.contains(directory) && (directory == "/" || isThere(SimulatedNames.folder(of: directory)))
    }
  }

  private var shown = Table()
  private var durable = Table()
  /// What was done since the folders were synced, in order.
  private var pending: [Change] = []

  static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return "/" }
    return String(path[..<slash])
  }

  func inode(_ path: String) -> Int? { shown.files[path] }
  func isDirectory(_ path: String) -> Bool { shown.directories.contains(path) }
  /// In no particular order.
  var inodes: [Int] { Array(shown.files.values) }

  func list(_ directory: String) -> [String] {
    let prefix = directory == "/" ? "/" : directory + "/"
    return (Array(shown.files.keys) + Array(shown.directories)).filter {
      $0.hasPrefix(prefix) && $0.utf8.count > prefix.utf8.count && !$0.dropFirst(prefix.count).contains("/")
    }.map { String($0.dropFirst(prefix.count)) }.sorted()
  }

  mutating func change(_ change: Change) {
    shown.apply(change)
    pending.append(change)
  }

  /// Everything done to names in `directory` is durable from now on.
  mutating func sync(_ directory: String) {
    var left: [Change] = []
    for change in pending {
      if change.paths.contains(where: { SimulatedNames.folder(of: $0) == directory }) { durable.apply(change) } else { left.append(change) }
    }
    pending = left
  }

  /// The power fails. With a journal what arrives is what came first; without one, any part of it. A rename arrives whole or not at all.
  mutating func losePower(_ random: inout SeededRandom) {
    if random.next() % 3 != 0 {
      for change in pending.prefix(Int(random.next() % UInt64(pending.count + 1))) { durable.apply(change) }
    } else {
      for change in pending where random.next() % 2 == 0 { durable.apply(change) }
    }
    durable.directories = durable.directories.filter { durable.isThere($0) }
    durable.files = durable.files.filter { durable.isThere(SimulatedNames.folder(of: $0.key)) }
    shown = durable
    pending = []
  }
}
