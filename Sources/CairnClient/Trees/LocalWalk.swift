internal import BlockModel
internal import Glibc
internal import Platform

/// One thing of a local tree and where it goes.
struct LocalItem: Sendable {
  var path: String
  var remote: RemotePath
  var identity: FileIdentity
  /// What this one file is based on, where that is known file by file; else the options say it for all.
  var baseEntry: EntryID?
  var baseVersion: Int64?
}

/// What lies below the local paths, sorted by what is to be done with it. Held in memory: some 200 bytes an item.
struct LocalTree: Sendable {
  /// Parents before their children.
  var folders: [LocalItem] = []
  var files: [LocalItem] = []
  var links: [(item: LocalItem, target: String)] = []
  var skipped: [String] = []
  var failures: [(path: String, error: CairnError)] = []

  /// Adds what is at `path` with all below it. Symbolic links are taken as links, except for `path` itself when `followsTop`. Blocks.
  mutating func add(_ path: String, to remote: RemotePath, recursive: Bool, followsTop: Bool) throws(CairnError) {
    let identity: FileIdentity?
    do { identity = try FileIdentity.at(path, followingLinks: followsTop) } catch { throw CairnError(error) }
    guard let identity else {
      throw CairnError(.notFound, path.isEmpty ? "A local path is empty; name a file." : "\(path) does not exist; check the path.")
    }
    if identity.isDirectory, !recursive {
      throw CairnError(.invalidArgument, "\(path) is a folder; add -r to put it with all that is in it.")
    }
    var stack = [LocalItem(path: path, remote: remote, identity: identity)]
    while let item = stack.popLast() {
      place(item, isTop: item.path == path)
      if item.identity.isDirectory { stack += children(of: item).reversed() }
    }
  }

  private mutating func place(_ item: LocalItem, isTop: Bool) {
    if item.identity.isDirectory {
      folders.append(item)
    } else if item.identity.isSymbolicLink {
      do { links.append((item, try LocalLink.target(of: item.path))) } catch { failures.append((item.path, CairnError(error))) }
    } else if item.identity.isRegular || isTop {
      // A pipe or device that is named by itself is read as a stream.
      files.append(item)
    } else {
      skipped.append(item.path)
    }
  }

  private mutating func children(of folder: LocalItem) -> [LocalItem] {
    let names: [String]
    do { names = try Directory.list(folder.path) } catch {
      failures.append((folder.path, CairnError(error)))
      return []
    }
    var items: [LocalItem] = []
    var taken: Set<EntryName> = []
    for name in names {
      let path = LocalPath.join(folder.path, name)
      guard !LocalPath.isPart(name) else {
        skipped.append(path)
        continue
      }
      do {
        let remoteName = try EntryName(name)
        guard taken.insert(remoteName).inserted else {
          throw CairnError(
            .invalidArgument, "\(path) has the same name as another file in its folder, spelled in other code points; rename it.")
        }
        guard folder.remote.components.count < Limits.pathDepth else {
          throw CairnError(.invalidArgument, "\(path) lies deeper than \(Limits.pathDepth) folders; move it up.")
        }
        guard let identity = try FileIdentity.at(path, followingLinks: false) else {
          throw CairnError(.localFile, "\(path) went away, or its name is not valid UTF-8; rename it.")
        }
        items.append(LocalItem(path: path, remote: folder.remote.appending(remoteName), identity: identity))
      } catch let error as EntryName.Invalid {
        failures.append((path, CairnError(.invalidArgument, "\(path) cannot be stored: \(error.description); rename it.")))
      } catch { failures.append((path, CairnError(error))) }
    }
    return items
  }
}

/// Symbolic links of this machine. All calls block.
enum LocalLink {
  static func target(of path: String) throws(FileError) -> String {
    let buffer = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 4097)
    defer { buffer.deallocate() }
    let count = readlink(path, buffer.baseAddress!, 4096)
    guard count >= 0 else { throw FileError(operation: "readlink", path: path, errno: errno) }
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Makes or replaces the link at `path`; a folder there is left alone.
  static func make(_ path: String, target: String, modified: FileTime) throws(FileError) {
    if let there = try? LocalLink.target(of: path), there == target { return }
    let part = Directory.parent(of: path) + "/.cairn-link-" + HexDigits.encode(SecureRandom.bytes(6))
    guard symlink(target, part) == 0 else { throw FileError(operation: "symlink", path: path, errno: errno) }
    let seconds = modified.nanoseconds / 1_000_000_000 - (modified.nanoseconds % 1_000_000_000 < 0 ? 1 : 0)
    let time = timespec(tv_sec: Int(seconds), tv_nsec: Int(modified.nanoseconds - seconds * 1_000_000_000))
    // A file system that keeps no time for links is no reason to fail.
    _ = utimensat(AT_FDCWD, part, [time, time], AT_SYMLINK_NOFOLLOW)
    do { try Directory.rename(part, to: path) } catch {
      try? Directory.remove(part)
      throw error
    }
  }
}
