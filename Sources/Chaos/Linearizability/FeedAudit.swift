/// Holds a namespace's change feed against what clients were told and against the tree in the end (invariants 9 and 10).
///
/// What must hold: no number is left out; replaying the changes gives the listing; each content that a client was told to be committed is
/// there exactly once, and so is each deletion; nothing is there that nobody asked for; and the feed's order contradicts no client's own:
/// what was answered before something else was sent comes before it.
package enum FeedAudit {
  /// - Parameters:
  ///   - changes: from the namespace's beginning.
  ///   - listing: every file of the namespace in the end, `name` being its path.
  ///   - calls: all of the namespace, by folders whose names are the groups'.
  /// - Returns: a sentence for each fault, at most a hundred.
  package static func faults(
    _ changes: [RecordedChange], listing: [RecordedCall.File], calls: [RecordedCall]
  ) -> [String] {
    let found = numbering(changes) + replay(changes, listing) + acknowledged(changes, calls) + order(changes, calls)
    return Array(found.prefix(100))
  }

  private static func numbering(_ changes: [RecordedChange]) -> [String] {
    zip(changes, changes.dropFirst()).filter { $1.sequence != $0.sequence + 1 }.map {
      "after change \($0.sequence) the feed goes on with \($1.sequence)"
    }
  }

  private static func replay(_ changes: [RecordedChange], _ listing: [RecordedCall.File]) -> [String] {
    var faults: [String] = []
    var files: [String: RecordedCall.File] = [:]
    for change in changes {
      guard let content = change.content else { continue }
      let file = RecordedCall.File(name: change.path, id: change.id, version: change.version, content: content)
      switch change.action {
      case .created:
        if files[change.path] != nil { faults.append("change \(change.sequence) creates \(change.path), which is there") }
        files[change.path] = file
      case .modified:
        if files[change.path]?.id != change.id {
          faults.append("change \(change.sequence) modifies \(change.path), which is another file")
        }
        files[change.path] = file
      case .moved:
        let old = change.oldPath ?? ""
        if files[old]?.id != change.id { faults.append("change \(change.sequence) moves \(old), which is another file") }
        files[old] = nil
        if files[change.path] != nil { faults.append("change \(change.sequence) moves onto \(change.path), which is there") }
        files[change.path] = file
      case .deleted:
        if files[change.path]?.id != change.id { faults.append("change \(change.sequence) deletes \(change.path), which is another file") }
        files[change.path] = nil
      }
    }
    for file in listing {
      if files[file.name] != file {
        faults.append("the feed leads to \(text(files[file.name])) at \(file.name), and \(text(file)) is there")
      }
      files[file.name] = nil
    }
    for path in files.keys.sorted() { faults.append("the feed leads to \(text(files[path])) at \(path), and nothing is there") }
    return faults
  }

  private static func text(_ file: RecordedCall.File?) -> String {
    file.map { "version \($0.version) of \($0.id.prefix(12)) with content \($0.content.prefix(12))" } ?? "nothing"
  }

  private struct Version: Hashable {
    var id: String
    var version: Int64
  }

  private static func acknowledged(_ changes: [RecordedChange], _ calls: [RecordedCall]) -> [String] {
    var faults: [String] = []
    var contents: [Version: [String]] = [:]
    var deletions: [String: Int] = [:]
    for change in changes where change.content != nil {
      switch change.action {
      case .created, .modified: contents[Version(id: change.id, version: change.version), default: []].append(change.content ?? "")
      case .deleted: deletions[change.id, default: 0] += 1
      case .moved: break
      }
    }
    var wanted: Set<String> = []
    for call in calls {
      if case .write(_, let content, _) = call.request { wanted.insert(content) }
      switch (call.request, call.answer) {
      case (.write, .file(let file)):
        let there = contents[Version(id: file.id, version: file.version)] ?? []
        if there != [file.content] {
          faults.append("\(text(file)) was acknowledged, and the feed has it \(there.count { $0 == file.content }) times of \(there.count)")
        }
      case (.delete(let id, _), .done) where deletions[id] != 1:
        faults.append("the deletion of \(id.prefix(12)) was acknowledged, and the feed has it \(deletions[id] ?? 0) times")
      case (.move(let id, let target), .file):
        let path = "/\(call.group)/\(target)"
        if !changes.contains(where: { $0.id == id && $0.path == path && $0.action != .deleted }) {
          faults.append("the move of \(id.prefix(12)) to \(path) was acknowledged, and the feed never has it there")
        }
      default: break
      }
    }
    for change in changes {
      guard let content = change.content, change.action == .created || change.action == .modified, !wanted.contains(content) else {
        continue
      }
      faults.append("change \(change.sequence) has a content that nobody wrote: \(content.prefix(12))")
    }
    for id in deletions.keys.sorted() where deletions[id] != 1 {
      faults.append("\(id.prefix(12)) was deleted \(deletions[id] ?? 0) times")
    }
    return faults
  }

  private static func order(_ changes: [RecordedChange], _ calls: [RecordedCall]) -> [String] {
    var places: [Version: Int] = [:]
    var deletions: [String: Int] = [:]
    for (index, change) in changes.enumerated() where change.content != nil {
      switch change.action {
      case .created, .modified: places[Version(id: change.id, version: change.version)] = index
      case .deleted: deletions[change.id] = index
      case .moved: break
      }
    }
    // The call that made a version is the first that was told of it: later ones with the same content changed nothing.
    var first: [Int: RecordedCall] = [:]
    for call in calls {
      let place: Int? =
        switch (call.request, call.answer) {
        case (.write, .file(let file)): places[Version(id: file.id, version: file.version)]
        case (.delete(let id, _), .done): deletions[id]
        default: nil
        }
      guard let place else { continue }
      // Of several with the same content any may be the one: it began with the earliest and was over with the latest.
      if let other = first[place] {
        first[place]?.start = min(other.start, call.start)
        first[place]?.end = max(other.end, call.end)
      } else {
        first[place] = call
      }
    }
    var faults: [String] = []
    var earliestEnd = (time: Int64.max, place: 0)
    for place in first.keys.sorted().reversed() {
      guard let call = first[place] else { continue }
      if earliestEnd.time < call.start {
        faults.append(
          "change \(changes[earliestEnd.place].sequence) was acknowledged before change \(changes[place].sequence) was asked for, "
            + "and comes after it"
        )
      }
      if call.end < earliestEnd.time { earliestEnd = (call.end, place) }
    }
    return faults
  }
}
