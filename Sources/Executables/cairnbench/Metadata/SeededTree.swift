/// The tree that `scripts/lib/seed-metadata.sh` writes, as paths: what is changed here is changed there.
enum SeededTree {
  /// Folders whose only folders below them lead down to one folder of files each.
  static let leaves = 1000
  static let filesPerLeaf = 4900
  /// A folder with nothing but files, and how many.
  static let wide = "/wide"
  static let wideFiles = 100_000
  /// One of five folders, with a fifth of all files below it.
  static let top = "/t0"

  /// A file ten names deep.
  static func deepPath(leaf: Int, file: Int) -> String {
    let digits = String(file)
    let name = "f" + String(repeating: "0", count: 4 - digits.count) + digits
    return "/t\(leaf / 200)/u\(leaf / 20 % 10)/v\(leaf % 20)/w/x/y/z/p/q/\(name)"
  }
}
