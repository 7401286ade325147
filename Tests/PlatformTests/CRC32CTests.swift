internal import BlockModel
internal import Platform
internal import TestSupport
internal import Testing

@Suite("CRC-32C")
struct CRC32CTests {
  /// RFC 3720, appendix B.4, and the usual check value.
  static let vectors: [(bytes: [UInt8], checksum: UInt32)] = [
    ([UInt8](repeating: 0, count: 32), 0x8a91_36aa),
    ([UInt8](repeating: 0xff, count: 32), 0x62a8_ab43),
    (Array(0...31), 0x46dd_794e),
    ((0...31).reversed(), 0x113f_db5c),
    (Array("123456789".utf8), 0xe306_9283),
    ([], 0),
  ]

  @Test("gives the published checksums", arguments: vectors)
  func published(bytes: [UInt8], checksum: UInt32) {
    #expect(CRC32C.checksum(bytes) == checksum)
    #expect(bytes.withUnsafeBytes { CRC32C.portableChecksum($0) } == checksum)
  }

  @Test("instruction and table agree, at every alignment and across any cut")
  func agreement() {
    var random = Seeds.random()
    for _ in 0..<300 {
      let bytes = random.bytes(Int.random(in: 0...300, using: &random))
      let start = Int.random(in: 0...bytes.count, using: &random)
      bytes.withUnsafeBytes { bytes in
        let (head, tail) = (UnsafeRawBufferPointer(rebasing: bytes[..<start]), UnsafeRawBufferPointer(rebasing: bytes[start...]))
        let whole = CRC32C.checksum(bytes)
        #expect(CRC32C.checksum(tail, continuing: CRC32C.checksum(head)) == whole)
        #expect(CRC32C.portableChecksum(tail, continuing: CRC32C.portableChecksum(head)) == whole)
        #expect(CRC32C.checksum(tail) == CRC32C.portableChecksum(tail))
      }
    }
  }
}
