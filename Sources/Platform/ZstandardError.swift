/// Why stored bytes are not the one zstd frame that they should be.
package enum ZstandardError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The first bytes are not a zstd frame's, or a field in them has an impossible value.
  case notAFrame
  /// The frame does not say how long its contents are, or says another length than was declared.
  case contentSizeMismatch
  /// The frame wants more than 4 MiB of window.
  case windowTooLarge
  /// The frame needs a dictionary.
  case dictionary
  /// The stored form is not smaller than the plain one.
  case notSmaller
  /// The frame ends before the bytes do.
  case trailingBytes
  /// The bytes end before the frame does.
  case incomplete
  /// The decoder found the frame damaged; the text is the library's.
  case damaged(String)
  /// The library failed for a reason of its own, such as lack of memory.
  case library(String)

  package var description: String {
    switch self {
    case .notAFrame: return "The bytes are not a zstd frame."
    case .contentSizeMismatch: return "The zstd frame does not declare the expected content size."
    case .windowTooLarge: return "The zstd frame needs a window over 4 MiB."
    case .dictionary: return "The zstd frame needs a dictionary."
    case .notSmaller: return "The compressed form is not smaller than the plain bytes."
    case .trailingBytes: return "Bytes follow after the zstd frame."
    case .incomplete: return "The zstd frame is incomplete."
    case .damaged(let words): return "The zstd frame is damaged: \(words)."
    case .library(let words): return "The compression library failed: \(words)."
    }
  }
}
