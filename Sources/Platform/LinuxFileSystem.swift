/// The machine's own disks.
package struct LinuxFileSystem: FileSystem {
  package init() {}

  package func open(_ path: String, _ options: FileOpenOptions, mode: UInt32) throws(FileError) -> any OpenFile {
    try File(path, options, mode: mode)
  }

  package func rename(_ source: String, to destination: String) throws(FileError) { try Directory.rename(source, to: destination) }
  package func remove(_ path: String) throws(FileError) { try Directory.remove(path) }
  package func list(_ directory: String) throws(FileError) -> [String] { try Directory.list(directory) }
  package func createDirectory(_ path: String, mode: UInt32) throws(FileError) { try Directory.create(path, mode: mode) }
  package func syncDirectory(_ path: String) throws(FileError) { try Directory.sync(path) }
  package func space(_ path: String) throws(FileError) -> FileSystemSpace { try Directory.space(path) }
  package func attributes(_ path: String) throws(FileError) -> FileAttributes? { try Directory.attributes(path) }
}
