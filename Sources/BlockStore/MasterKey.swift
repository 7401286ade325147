internal import BlockModel
internal import Glibc
package import Platform

/// The key that wraps a node's data keys at rest. It comes from outside the node's disks: a file that only this user may read, or a
/// command that asks a key service.
package struct MasterKey: Sendable {
  package let bytes: SecretBytes

  package init(_ bytes: SecretBytes) throws(BlockStoreError) {
    guard bytes.count == KeyWrap.keySize else { throw BlockStoreError(.wrongKey, "A master key has 32 bytes, not \(bytes.count).") }
    self.bytes = bytes
  }

  private static let textLimit = 256

  /// Reads the key from a file: 32 bytes, or 64 hexadecimal digits and at most one line end. Blocks.
  ///
  /// - Throws: `.wrongKey` when there is no such file, others may read it, or it holds something else.
  package static func load(file path: String) throws(BlockStoreError) -> MasterKey {
    var status = stat()
    guard stat(path, &status) == 0 else { throw BlockStoreError(.wrongKey, "The master key file \(path) cannot be found.") }
    guard status.st_mode & S_IFMT == S_IFREG else { throw BlockStoreError(.wrongKey, "The master key \(path) is not a regular file.") }
    guard status.st_mode & 0o077 == 0 else {
      throw BlockStoreError(.wrongKey, "Others than its owner may use the master key file \(path): run chmod 600 on it.")
    }
    let read: [UInt8]?
    do { read = try AtomicFile.read(path, limit: textLimit) } catch {
      throw BlockStoreError(.wrongKey, "The master key cannot be read: \(error)")
    }
    return try parse(read ?? [], source: path)
  }

  /// Runs `command` by `/bin/sh` and takes what it prints as `load(file:)` takes a file. Blocks as long as the command does.
  ///
  /// - Throws: `.wrongKey` when it cannot be run, fails, or prints something else.
  package static func load(command: String) throws(BlockStoreError) -> MasterKey {
    guard let pipe = popen(command, "re") else { throw BlockStoreError(.wrongKey, "The master key's command could not be started.") }
    var output = [UInt8](repeating: 0, count: textLimit)
    let count = fread(&output, 1, output.count, pipe)
    guard pclose(pipe) == 0 else { throw BlockStoreError(.wrongKey, "The master key's command failed.") }
    return try parse(Array(output.prefix(count)), source: "the master key's command")
  }

  /// What the bytes were is never said: they may be a key with a typing error.
  private static func parse(_ bytes: [UInt8], source: String) throws(BlockStoreError) -> MasterKey {
    if bytes.count == KeyWrap.keySize { return try MasterKey(SecretBytes(bytes)) }
    let digits = bytes.last == UInt8(ascii: "\n") ? bytes.dropLast() : bytes[...]
    guard let key = HexDigits.decode(String(decoding: digits, as: UTF8.self)), key.count == KeyWrap.keySize else {
      throw BlockStoreError(.wrongKey, "A master key is 32 bytes or 64 hexadecimal digits; \(source) gave something else.")
    }
    return try MasterKey(SecretBytes(key))
  }
}
