/// One call of a client on the names of one folder, and what it was told: what a history is made of. Each folder is a group by itself, and
/// no call touches two.
package struct RecordedCall: Sendable, Codable, Equatable {
  package enum Request: Sendable, Codable, Equatable {
    /// A file's content under a name, on the condition that the name is at that version; nil is the condition that nothing is there.
    case write(name: String, content: String, base: Int64?)
    /// By id; with a version on the condition that it is at that one.
    case delete(id: String, version: Int64?)
    /// To another name of the folder, by id.
    case move(id: String, to: String)
    case read(name: String)
    /// All names of the folder at once.
    case list
  }

  /// A file as an answer shows it.
  package struct File: Sendable, Codable, Hashable {
    package var name: String
    package var id: String
    package var version: Int64
    package var content: String
    package init(name: String, id: String, version: Int64, content: String) {
      (self.name, self.id, self.version, self.content) = (name, id, version, content)
    }
  }

  package enum Answer: Sendable, Codable, Equatable {
    case file(File)
    case files([File])
    /// It was done, and there is nothing to show.
    case done
    case absent
    /// The version is another one than the request was based on.
    case conflict
    /// Something else has the name.
    case taken
    /// Nobody knows whether it took effect, or ever will.
    case unknown
  }

  /// The folder.
  package var group: String
  package var request: Request
  package var answer: Answer
  /// Nanoseconds since the run began: when the client sent it, and when it had the answer.
  package var start: Int64
  package var end: Int64

  package init(group: String, request: Request, answer: Answer, start: Int64, end: Int64) {
    (self.group, self.request, self.answer, self.start, self.end) = (group, request, answer, start, end)
  }

  package var isMutation: Bool {
    switch request {
    case .write, .delete, .move: true
    case .read, .list: false
    }
  }
}

/// What the change feed says of one change, as far as a history can be held against it.
package struct RecordedChange: Sendable, Codable, Equatable {
  package enum Action: String, Sendable, Codable { case created, modified, moved, deleted }
  package var sequence: Int64
  package var action: Action
  package var id: String
  package var path: String
  /// With `moved`: where it was.
  package var oldPath: String?
  package var version: Int64
  /// Nil for a folder.
  package var content: String?

  package init(sequence: Int64, action: Action, id: String, path: String, oldPath: String?, version: Int64, content: String?) {
    self.sequence = sequence
    self.action = action
    self.id = id
    self.path = path
    self.oldPath = oldPath
    self.version = version
    self.content = content
  }
}
