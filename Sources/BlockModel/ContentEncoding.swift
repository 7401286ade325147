/// How a block's bytes are encoded between client and disk. The name is of the plain bytes either way.
package enum ContentEncoding: UInt8, Sendable, Codable {
  case plain = 0
  /// One zstd frame with its exact content size, a window of at most 4 MiB, no dictionary, and smaller than the plain bytes.
  case zstd = 1
}
