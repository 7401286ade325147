internal import BlockModel
internal import ClusterLogic

/// Which things in a folder are synced, and what a person should know about them.
///
/// It depends on what the folder holds and on what is left out there and on nothing else, so it is kept until one of them changes.
struct FolderJudgement {
  /// Of each thing: what the user says leaves it out. Empty where nothing does.
  let leftOut: [Bool]
  /// Of each thing: it is synced.
  private(set) var isTaken: [Bool] = []
  private(set) var issues: [SyncIssue] = []

  /// - Parameters:
  ///   - path: of the folder.
  ///   - depth: folders from the root down to it, which has 0.
  init(_ items: [FolderItem], in path: String, depth: Int, leftOut: [Bool]) {
    self.leftOut = leftOut
    var spellings: Set<String> = []
    var folded: [String: String] = [:]
    spellings.reserveCapacity(items.count)
    folded.reserveCapacity(items.count)
    isTaken.reserveCapacity(items.count)
    for (place, item) in items.enumerated() {
      let isLeftOut = !leftOut.isEmpty && leftOut[place]
      isTaken.append(!isLeftOut && take(item, FolderScanner.join(path, item.name), depth, &spellings, &folded))
    }
  }

  /// Says why not where a person should know.
  private mutating func take(
    _ item: FolderItem, _ path: String, _ depth: Int, _ spellings: inout Set<String>, _ folded: inout [String: String]
  ) -> Bool {
    guard item.kind != .special else {
      issues.append(SyncIssue(.special, path, "\(path) is a socket, pipe or device and is not synced."))
      return false
    }
    guard item.kind != .misnamed else {
      issues.append(SyncIssue(.name, path, "\(path) has a name that is not UTF-8 and is not synced; rename it."))
      return false
    }
    do { _ = try EntryName(item.name) } catch {
      issues.append(SyncIssue(.name, path, "\(path) cannot be synced: \(error.description); rename it."))
      return false
    }
    guard depth < Limits.pathDepth else {
      issues.append(SyncIssue(.name, path, "\(path) lies deeper than \(Limits.pathDepth) folders; move it up."))
      return false
    }
    guard spellings.insert(item.name).inserted else {
      issues.append(
        SyncIssue(.ignoredCopy, path, "\(path) has the same name as another file in its folder, spelled in other code points; rename it."))
      return false
    }
    if let other = folded.updateValue(item.name, forKey: item.name.lowercased()) {
      issues.append(
        SyncIssue(.caseClash, path, "\(path) and \(other) differ in upper and lower case alone; some devices cannot hold both."))
    }
    if let reason = PortableName.complaint(item.name) { issues.append(SyncIssue(.name, path, "\(path) \(reason).")) }
    return true
  }
}

/// Names that are fine here and that some other systems refuse.
enum PortableName {
  private static let devices: Set<String> = Set(
    ["con", "prn", "aux", "nul"] + (1...9).flatMap { ["com\($0)", "lpt\($0)"] })
  private static let refused = Set("<>:\"\\|?*".utf8)

  /// What is wrong with it; nil when nothing is.
  static func complaint(_ name: String) -> String? {
    if name.utf8.contains(where: refused.contains) { return "has a character that Windows does not allow in names" }
    if let last = name.utf8.last, last == UInt8(ascii: " ") || last == UInt8(ascii: ".") {
      return "ends with a space or a point, which Windows drops"
    }
    let base = name.utf8.prefix { $0 != UInt8(ascii: ".") }
    guard base.count == 3 || base.count == 4, devices.contains(String(Substring(base)).lowercased()) else { return nil }
    return "is the name of a device on Windows"
  }
}
