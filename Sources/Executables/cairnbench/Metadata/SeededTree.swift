/// The tree that `scripts/lib/seed-metadata.sh` writes, as paths: what is changed here is changed there.
struct SeededTree {
  /// Folders whose only folders below them lead down to one folder of files each.
  static let leaves = 1000
  /// A folder with nothing but files, and how many.
  static let wide = "/wide"
  static let wideFiles = 100_000
  /// One of five folders, with a fifth of all files below it.
  static let top = "/t0"
  /// Members that the files are shared with, each with one of them, in turn.
  static let members = 500

  /// Files in each folder at the end; 4,900 make five million in all.
  let filesPerLeaf: Int

  var files: Int { SeededTree.leaves * filesPerLeaf + SeededTree.wideFiles }
  var sharesOfMember: Int { files / SeededTree.members }

  /// For tables: 5,000,000.
  static func text(_ number: Int) -> String {
    let digits = String(number)
    return digits.enumerated().map { ($0 > 0 && (digits.count - $0) % 3 == 0 ? "," : "") + String($1) }.joined()
  }

  /// A file ten names deep.
  static func deepPath(leaf: Int, file: Int) -> String {
    let digits = String(file)
    let name = "f" + String(repeating: "0", count: 4 - digits.count) + digits
    return "/t\(leaf / 200)/u\(leaf / 20 % 10)/v\(leaf % 20)/w/x/y/z/p/q/\(name)"
  }
}
