internal import BlockModel
internal import Glibc
internal import Platform
internal import Synchronization

/// The folders below one local folder that a download writes into.
///
/// What must hold: nothing is written outside of `root`. Names are checked before they come here, and below `root` no symbolic link is ever
/// gone through, so a link that was downloaded or lay there leads nothing astray.
final class LocalFolders: Sendable {
  let root: String
  private let known = Mutex<Set<[EntryName]>>([])

  /// - Parameter root: may itself be a link to a folder, as the user named it.
  init(root: String) { self.root = root }

  /// Where an entry goes whose names below the root are `names`.
  func path(_ names: [EntryName]) -> String { names.reduce(root) { LocalPath.join($0, $1.text) } }

  /// Makes the folder and those above it. Blocks.
  /// - Throws: `CairnError` when something else is in the way.
  func make(_ names: [EntryName]) throws {
    if known.withLock({ $0.contains(names) }) { return }
    if names.isEmpty {
      try LocalFolders.makeWithParents(root)
    } else {
      try make(Array(names.dropLast()))
      try makeOne(path(names))
    }
    known.withLock { _ = $0.insert(names) }
  }

  private func makeOne(_ path: String) throws {
    if mkdir(path, 0o777) == 0 { return }
    guard errno == EEXIST else { throw FileError(operation: "mkdir", path: path, errno: errno) }
    guard let there = try FileIdentity.at(path, followingLinks: false), there.isDirectory else {
      throw CairnError(.localFile, "\(path) is in the way of a folder and is none itself (links are not followed); move it away.")
    }
  }

  /// Blocks.
  static func makeWithParents(_ path: String) throws(FileError) {
    if mkdir(path, 0o777) == 0 { return }
    let number = errno
    if number == ENOENT {
      let parent = Directory.parent(of: path)
      if parent != path {
        try makeWithParents(parent)
        if mkdir(path, 0o777) == 0 { return }
      }
    }
    let there = try FileIdentity.at(path, followingLinks: true)
    guard there?.isDirectory == true else { throw FileError(operation: "mkdir", path: path, errno: number) }
  }
}
