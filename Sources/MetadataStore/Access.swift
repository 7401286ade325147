package import ServiceAPI

/// What somebody may want to do with an entry. `least` is the one place that says who may.
package enum FileOperation: Sendable, CaseIterable {
  case stat, list, download, listVersions, copyFrom
  case upload, createIn, update, moveFrom, delete, revert, restore
  case deleteForever, rewind, share, listShares, link

  /// The least role that the operation needs.
  package var least: Role {
    switch self {
    case .stat, .list, .download, .listVersions, .copyFrom: .read
    case .upload, .createIn, .update, .moveFrom, .delete, .revert, .restore: .write
    case .deleteForever, .rewind, .share, .listShares, .link: .admin
    }
  }

  /// For the sentence of a refusal: “may not … it”.
  var verb: String {
    switch self {
    case .stat, .list, .download, .listVersions, .copyFrom: "read"
    case .upload, .createIn, .update, .moveFrom, .delete, .revert, .restore: "change"
    case .deleteForever: "delete for good"
    case .rewind: "rewind"
    case .share, .listShares: "share"
    case .link: "make links of"
    }
  }

  /// - Throws: `.notFound` for somebody who may not even know of it, `.forbidden`.
  func check(_ role: Role?, _ path: String) throws(Problem) {
    guard let role else { throw Problem.noSuchEntry }
    guard role >= least else {
      throw Problem(
        .forbidden, "You may not \(verb) \(path): that takes the role \(least.rawValue), and yours is \(role.rawValue). Ask its owner.")
    }
  }
}
