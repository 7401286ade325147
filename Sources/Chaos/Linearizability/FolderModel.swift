/// What a folder of files may hold and answer, by the documented meaning of the API and by nothing of its code: the sequential
/// specification that a history is held against.
package struct FolderModel: Sendable, Hashable {
  package struct File: Sendable, Hashable {
    package var name: String
    /// Nil as long as nobody was told: it was made by a call whose answer is unknown.
    package var id: String?
    package var version: Int64
    package var content: String
  }

  /// By name.
  package private(set) var files: [File] = []

  package init() {}

  /// The state after a call, when it gets this answer at this moment; nil when the answer would be wrong.
  ///
  /// With `.unknown` it is the state after the call took effect, and nil when it would have had none.
  package func after(_ request: RecordedCall.Request, _ answer: RecordedCall.Answer) -> FolderModel? {
    switch request {
    case .read(let name): return afterRead(name, answer)
    case .list: return afterList(answer)
    case .write(let name, let content, let base): return afterWrite(name, content, base, answer)
    case .delete(let id, let version):
      guard let place = place(of: id) else { return answer == .absent ? self : nil }
      guard version == nil || version == files[place].version else { return answer == .conflict ? self : nil }
      guard answer == .done || answer == .unknown else { return nil }
      var next = self
      next.files.remove(at: place)
      return next
    case .move(let id, let target): return afterMove(id, target, answer)
    }
  }

  private func afterRead(_ name: String, _ answer: RecordedCall.Answer) -> FolderModel? {
    switch answer {
    case .absent: return self[name] == nil ? self : nil
    case .file(let file): return seen(file)
    default: return nil
    }
  }

  private func afterList(_ answer: RecordedCall.Answer) -> FolderModel? {
    guard case .files(let listed) = answer, listed.count == files.count else { return nil }
    var next = self
    for file in listed {
      guard let known = next.seen(file) else { return nil }
      next = known
    }
    // As many as there are, all of them there, and each named once: these are all.
    return Set(listed.map(\.name)).count == listed.count ? next : nil
  }

  private func afterWrite(_ name: String, _ content: String, _ base: Int64?, _ answer: RecordedCall.Answer) -> FolderModel? {
    var next = self
    let version: Int64
    if let place = files.firstIndex(where: { $0.name == name }) {
      // Equal content is never a conflict and no new version.
      if files[place].content != content {
        guard files[place].version == base else { return answer == .conflict ? self : nil }
        next.files[place].version += 1
        next.files[place].content = content
      }
      version = next.files[place].version
    } else {
      guard base == nil else { return answer == .conflict ? self : nil }
      version = 1
      next.insert(File(name: name, id: nil, version: version, content: content))
    }
    switch answer {
    case .unknown: return next == self ? nil : next
    case .file(let file):
      // The name is not looked at: an answer that was asked for again shows where the file is by then.
      guard file.version == version, file.content == content else { return nil }
      return next.seen(RecordedCall.File(name: name, id: file.id, version: version, content: content))
    default: return nil
    }
  }

  private func afterMove(_ id: String, _ target: String, _ answer: RecordedCall.Answer) -> FolderModel? {
    guard let place = place(of: id) else { return answer == .absent ? self : nil }
    if let other = files.firstIndex(where: { $0.name == target }), other != place { return answer == .taken ? self : nil }
    var next = self
    var file = next.files.remove(at: place)
    file.name = target
    next.insert(file)
    switch answer {
    case .unknown: return next == self ? nil : next
    case .file(let shown): return shown.id == id && shown.version == file.version && shown.content == file.content ? next : nil
    default: return nil
    }
  }

  /// Itself, with the id of what was shown now known, when this file is just so here.
  private func seen(_ file: RecordedCall.File) -> FolderModel? {
    guard let place = files.firstIndex(where: { $0.name == file.name }), files[place].version == file.version,
      files[place].content == file.content
    else { return nil }
    if let id = files[place].id { return id == file.id ? self : nil }
    guard self.place(of: file.id) == nil else { return nil }
    var next = self
    next.files[place].id = file.id
    return next
  }

  package subscript(name: String) -> File? { files.first { $0.name == name } }

  private func place(of id: String) -> Int? { files.firstIndex { $0.id == id } }

  private mutating func insert(_ file: File) {
    files.insert(file, at: files.firstIndex { $0.name > file.name } ?? files.count)
  }
}
