import Foundation

/// The repository's Swift sources as text, found from this file's own place.
struct SourceTree {
  struct File {
    /// Relative to the repository, such as `Sources/BlockModel/BlockID.swift`.
    let path: String
    let lines: [String]
    /// The target that the file belongs to: the folder below `Sources` or `Tests`, or the executable's.
    var target: String {
      let parts = path.split(separator: "/").map(String.init)
      return parts[1] == "Executables" ? parts[2] : parts[1]
    }
    /// Modules that the file imports.
    var imports: [String] {
      lines.compactMap { line in
        let words = line.split(separator: " ").map(String.init).filter {
          !["package", "internal", "public", "private", "fileprivate"].contains($0)
        }
        guard let first = words.first, first == "import" || first == "@preconcurrency", let keyword = words.firstIndex(of: "import") else {
          return nil
        }
        let rest = words.dropFirst(keyword + 1).filter { !["struct", "class", "enum", "func", "protocol"].contains($0) }
        return rest.first?.split(separator: ".").first.map(String.init)
      }
    }
    /// Lines with their numbers, without comments and the contents of string literals.
    var code: [(number: Int, text: String)] {
      var inBlockString = false
      return lines.enumerated().compactMap { index, line in
        if line.contains("\"\"\"") {
          let count = line.components(separatedBy: "\"\"\"").count - 1
          if count % 2 == 1 { inBlockString.toggle() }
          return nil
        }
        if inBlockString { return nil }
        return (index + 1, SourceTree.withoutStringsAndComments(line))
      }
    }
  }

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

  static func files(below folder: String) throws -> [File] {
    let base = root.appendingPathComponent(folder)
    guard let walker = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil) else { return [] }
    var found: [File] = []
    for case let url as URL in walker where url.pathExtension == "swift" {
      let path = String(url.standardizedFileURL.path.dropFirst(root.standardizedFileURL.path.count + 1))
      found.append(File(path: path, lines: try String(contentsOf: url, encoding: .utf8).components(separatedBy: "\n")))
    }
    return found.sorted { $0.path < $1.path }
  }

  static func withoutStringsAndComments(_ line: String) -> String {
    var result = ""
    var inString = false
    var previous: Character = " "
    for character in line {
      if character == "\"", previous != "\\" {
        inString.toggle()
      } else if !inString {
        if character == "/", previous == "/" {
          result.removeLast()
          return result
        }
        result.append(character)
      }
      previous = previous == "\\" && character == "\\" ? " " : character
    }
    return result
  }
}
