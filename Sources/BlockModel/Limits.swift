/// The numbers that the formats and protocols fix. Changing one changes a format.
package enum Limits {
  /// Plain bytes of the largest block: 4 MiB.
  package static let blockBytes = 4 << 20
  /// Payload bytes of one sealed frame: 64 KiB.
  package static let frameBytes = 64 << 10
  /// Bytes of a frame's tag (AES-GCM), or of what takes its place with encryption off.
  package static let frameTagBytes = 16
  /// Block ids on one page of a version.
  package static let blocksPerPage = 1024
  /// Entries of one page of `blocks` or `missing` in the gateway's API.
  package static let blocksPerRequest = 1000
  /// UTF-8 bytes of a file's or folder's name.
  package static let nameBytes = 255
  /// UTF-8 bytes of a whole path.
  package static let pathBytes = 4096
  /// Components of a path.
  package static let pathDepth = 64
  /// Characters of a receipt.
  package static let receiptCharacters = 512
  /// Characters of a signed URL.
  package static let capabilityCharacters = 2048
  /// Replicas and spares that a forward list may name.
  package static let forwards = 8
  /// Bytes of the largest file: 2^52, far above what a client can hash in a year, far below where arithmetic could overflow.
  package static let fileBytes: Int64 = 1 << 52
}
