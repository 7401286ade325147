internal import CLinux

/// CRC-32C (Castagnoli; RFC 3720, appendix B.4): finds accidents, not attacks.
package enum CRC32C {
  /// - Parameter previous: the checksum of the bytes before these; 0 at the start.
  package static func checksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
    cairn_crc32c(previous, bytes.baseAddress, bytes.count)
  }

  package static func checksum(_ bytes: [UInt8], continuing previous: UInt32 = 0) -> UInt32 {
    bytes.withUnsafeBytes { checksum($0, continuing: previous) }
  }

  /// The table version that processors without the instruction use; the tests hold the two against each other.
  package static func portableChecksum(_ bytes: UnsafeRawBufferPointer, continuing previous: UInt32 = 0) -> UInt32 {
    cairn_crc32c_portable(previous, bytes.baseAddress, bytes.count)
  }
}
