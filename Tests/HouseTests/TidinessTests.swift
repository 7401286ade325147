import Foundation
import Testing

@Suite("Tidiness")
struct TidinessTests {
  private static let lineLimit = 140
  private static let fileLimit = 600

  @Test("lines are at most 140 characters and files at most 600 lines", arguments: ["Sources", "Tests"])
  func lengths(folder: String) throws {
    for file in try SourceTree.files(below: folder) {
      #expect(file.lines.count <= Self.fileLimit, "\(file.path) has \(file.lines.count) lines")
      for (index, line) in file.lines.enumerated() where line.count > Self.lineLimit {
        Issue.record("\(file.path):\(index + 1) has \(line.count) characters")
      }
    }
  }

  @Test("no call that hides a failure, blocks the wrong thread, or prints from a library")
  func bannedCalls() throws {
    let everywhere = ["try!", "fatalError(", "DispatchQueue", "URLSession", "as!", "nonisolated(unsafe)", "Thread.sleep"]
    for file in try SourceTree.files(below: "Sources") {
      let executable = file.path.contains("/Executables/") || file.target == "CommandLineKit"
      for (number, text) in file.code {
        // Threads of our own may wait.
        let text = text.replacingOccurrences(of: "WorkerThread.sleep", with: "")
        for call in everywhere where text.contains(call) && !explained(file, number) { Issue.record("\(file.path):\(number) has \(call)") }
        if !executable, text.range(of: #"(^|[^A-Za-z.])print\("#, options: .regularExpression) != nil {
          Issue.record("\(file.path):\(number) prints")
        }
      }
    }
  }

  /// Each access through generic storage wraps a closure once more and writes it back so, until calling it takes all of the stack.
  @Test("no closure is by itself in a mutex")
  func noClosureInMutex() throws {
    for file in try SourceTree.files(below: "Sources") {
      for (number, text) in file.code where text.range(of: #"(Mutex|Rotating)<[^>]*->"#, options: .regularExpression) != nil {
        Issue.record("\(file.path):\(number) has a closure by itself in a mutex; put it into a struct")
      }
    }
  }

  @Test("every @unchecked Sendable says why it is sound")
  func uncheckedIsExplained() throws {
    for file in try SourceTree.files(below: "Sources") {
      for (number, text) in file.code where text.contains("@unchecked Sendable") {
        let above = file.lines[max(0, number - 14)..<number].joined(separator: "\n")
        #expect(above.contains("@unchecked"), "\(file.path):\(number) has no reason beside it")
        #expect(above.contains("///") || above.contains("//"), "\(file.path):\(number) has no reason beside it")
      }
    }
  }

  @Test("only the SDK is public")
  func onlyTheSDKIsPublic() throws {
    for file in try SourceTree.files(below: "Sources") where file.target != "CairnClient" {
      for (number, text) in file.code where text.range(of: #"^\s*(public|open) "#, options: .regularExpression) != nil {
        Issue.record("\(file.path):\(number) is public")
      }
    }
  }

  @Test("nothing is left to be filled in")
  func nothingLeftOpen() throws {
    for folder in ["Sources", "Tests"] {
      for file in try SourceTree.files(below: folder) where !file.path.hasPrefix("Tests/HouseTests") {
        #expect(!file.path.hasSuffix("Placeholder.swift"), "\(file.path) holds a place")
        for (index, line) in file.lines.enumerated() where line.contains("TODO") || line.contains("FIXME") || line.contains("not built yet")
        {
          Issue.record("\(file.path):\(index + 1) is left open")
        }
      }
    }
  }

  /// A banned call counts as explained when the comment right above it begins with the proof that it is sound.
  private func explained(_ file: SourceTree.File, _ number: Int) -> Bool {
    let comment = file.lines[..<(number - 1)].reversed().prefix { $0.trimmingCharacters(in: .whitespaces).hasPrefix("//") }
    return comment.contains { $0.contains("// Proof:") }
  }
}
