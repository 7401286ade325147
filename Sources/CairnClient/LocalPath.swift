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
}
