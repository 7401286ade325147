internal import Glibc
internal import Platform

/// Text work on local paths.
enum LocalPath {
  /// With the process's folder before it when it is relative; nothing else changes.
  static func absolute(_ path: String) -> String {
    if path.hasPrefix("/") { return path }
    guard let folder = getcwd(nil, 0) else { return path }
    defer { free(folder) }
    return String(cString: folder) + "/" + path
  }

  static func join(_ folder: String, _ name: String) -> String { folder.hasSuffix("/") ? folder + name : folder + "/" + name }

  /// Without slashes at its end, except for the root.
  static func withoutTrailingSlashes(_ path: String) -> String {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return String(path)
  }

  /// The name under which `cp` would put it; nil for `.`, `..` and the root, whose contents are meant.
  static func name(of path: String) -> String? {
    let name = PartFile.lastComponent(of: path)
    return name == "." || name == ".." || name == "/" || name.isEmpty ? nil : name
  }

  /// Whether it is the name of a download on its way, ours or another program's of this cluster: never taken for a user's file.
  static func isPart(_ name: String) -> Bool { name.hasPrefix(".") && name.contains(partMark) }

  private static let partMark = ".cairn-part-"
  /// Digits after the mark.
  private static let partDigits = 8

  /// An error of writing a file, told of the file that the user named: the part file beside it is our own affair.
  static func naming(_ destination: String, _ error: any Error) -> CairnError {
    if let error = error as? FileError, error.isNotFound, isPart(PartFile.lastComponent(of: error.path)) {
      return CairnError(.localFile, "\(destination) cannot be made; check that its folder is one that files can be put into.")
    }
    var failure = CairnError(error)
    let folder = Directory.parent(of: destination)
    guard failure.kind == .localFile, let start = failure.message.firstRange(of: folder + "/.")?.lowerBound,
      let mark = failure.message[start...].firstRange(of: partMark)
    else { return failure }
    let end = failure.message.index(mark.upperBound, offsetBy: partDigits, limitedBy: failure.message.endIndex)
    failure.message.replaceSubrange(start..<(end ?? failure.message.endIndex), with: destination)
    return failure
  }
}
