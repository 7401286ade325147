internal import CLinux
internal import Glibc

/// Renames that never overwrite what the caller has not seen. All of them block.
extension Directory {
  /// - Throws: `FileError` that `alreadyExists` when something has the name.
  package static func renameExclusively(_ source: String, to destination: String) throws(FileError) {
    do {
      try SystemCall.retrying("rename to \(destination)", source) { cairn_rename_exclusive(source, destination) }
    } catch {
      // Some file systems do not know the flag; there a look before must do.
      guard error.errno == EINVAL || error.errno == ENOSYS else { throw error }
      guard try attributes(destination) == nil else {
        throw FileError(operation: "rename to \(destination)", path: source, errno: EEXIST)
      }
      try rename(source, to: destination)
    }
  }

  /// What is at the two names changes places at one stroke.
  ///
  /// - Returns: false where the file system cannot do that.
  package static func exchange(_ a: String, _ b: String) throws(FileError) -> Bool {
    do {
      try SystemCall.retrying("exchange with \(b)", a) { cairn_rename_exchange(a, b) }
      return true
    } catch {
      guard error.errno == EINVAL || error.errno == ENOSYS else { throw error }
      return false
    }
  }
}
