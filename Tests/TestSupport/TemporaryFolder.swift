internal import Glibc
internal import Platform

/// A folder of its own for one test, removed with all that is in it when the last reference goes.
package final class TemporaryFolder: Sendable {
  package let path: String

  /// - Parameter parent: where it is made; `CAIRN_TEST_FOLDER`, else `TMPDIR`, else `/tmp`.
  package init(in parent: String? = nil) throws {
    let parent = parent ?? Environment.value("CAIRN_TEST_FOLDER") ?? Environment.value("TMPDIR") ?? "/tmp"
    path = try Directory.makeUnique(in: parent, prefix: "cairn-test")
  }

  deinit { try? Directory.removeTree(path) }

  /// The path of `name` in the folder.
  package func path(_ name: String) -> String { path + "/" + name }
}

package enum Environment {
  package static func value(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
