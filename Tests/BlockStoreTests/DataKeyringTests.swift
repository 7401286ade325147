import BlockModel
import BlockStore
import Platform
import Testing

@Suite struct DataKeyringTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = try Directory.makeUnique(in: "/tmp", prefix: "cairn-keys")
    defer { try? Directory.removeTree(folder) }
    try body(folder)
  }

  private func master(_ byte: UInt8) throws -> MasterKey { try MasterKey(SecretBytes([UInt8](repeating: byte, count: 32))) }

  @Test("data keys survive a restart, and only under the master key that wrapped them")
  func persistence() throws {
    try withFolder { folder in
      let path = folder + "/keys"
      let ring = try DataKeyring.open(path: path, master: master(1))
      #expect(ring.current == nil)
      let key = SecretBytes(randomCount: 32)
      try ring.add(epoch: 2, key: SecretBytes(randomCount: 32))
      try ring.add(epoch: 1, key: key)
      let again = try DataKeyring.open(path: path, master: master(1))
      #expect(again.epochs == [1, 2])
      #expect(again.current?.epoch == 2)
      #expect(again.key(1)?.exposed == key.exposed)
      #expect(again.checkValue(2) == ring.checkValue(2))
      #expect(again.checkValue(1) != ring.checkValue(2))
      #expect(BlockStoreError.Code.thrown { _ = try DataKeyring.open(path: path, master: master(2)) } == .wrongKey)
      try again.changeMaster(to: master(2))
      #expect(try DataKeyring.open(path: path, master: master(2)).epochs == [1, 2])
      let raw = try #require(try AtomicFile.read(path, limit: 4096))
      #expect(!String(decoding: raw, as: UTF8.self).contains(HexDigits.encode(key.exposed)))
    }
  }

  @Test("new records come under the epoch that was named, and under the highest before any was")
  func named() throws {
    let ring = Fixtures.ring(1, 2)
    #expect(ring.current?.epoch == 2)
    ring.use(1)
    #expect(ring.current?.epoch == 1)
    try ring.add(epoch: 3, key: SecretBytes(randomCount: 32))
    #expect(try ring.current?.epoch == 1 && Fixtures.record([1, 2], keys: ring).header.keyEpoch == 1)
    ring.use(9)
    #expect(ring.current?.epoch == 1, "a key that is not here cannot be used")
    ring.use(3)
    #expect(try Fixtures.record([1, 2], keys: ring).header.keyEpoch == 3)
  }

  @Test("an epoch never means two keys")
  func conflict() throws {
    let ring = Fixtures.ring(1)
    try ring.add(epoch: 1, key: SecretBytes([UInt8](repeating: 1, count: 32)))
    #expect(BlockStoreError.Code.thrown { try ring.add(epoch: 1, key: SecretBytes([UInt8](repeating: 2, count: 32))) } == .wrongKey)
    #expect(BlockStoreError.Code.thrown { try ring.add(epoch: 0, key: SecretBytes([UInt8](repeating: 2, count: 32))) } == .malformed)
    #expect(BlockStoreError.Code.thrown { try ring.add(epoch: 5, key: SecretBytes([1])) } == .malformed)
  }

  @Test("a damaged file of data keys is refused")
  func damage() throws {
    try withFolder { folder in
      let path = folder + "/keys"
      try DataKeyring.open(path: path, master: master(1)).add(epoch: 1, key: SecretBytes(randomCount: 32))
      let bytes = try #require(try AtomicFile.read(path, limit: 4096))
      for index in bytes.indices {
        var damaged = bytes
        damaged[index] ^= 1
        try AtomicFile.write(path, damaged)
        #expect(BlockStoreError.Code.thrown { _ = try DataKeyring.open(path: path, master: master(1)) } == .malformed, "byte \(index)")
      }
      try AtomicFile.write(path, [])
      #expect(BlockStoreError.Code.thrown { _ = try DataKeyring.open(path: path, master: master(1)) } == .malformed)
    }
  }

  @Test("a master key comes from a file that only its owner may read, or from a command")
  func masterKeySources() throws {
    try withFolder { folder in
      let path = folder + "/master"
      let digits = String(repeating: "0a", count: 32)
      try AtomicFile.write(path, Array((digits + "\n").utf8), mode: 0o400)
      #expect(try MasterKey.load(file: path).bytes.exposed == [UInt8](repeating: 10, count: 32))
      try AtomicFile.write(path, [UInt8](repeating: 3, count: 32), mode: 0o600)
      #expect(try MasterKey.load(file: path).bytes.exposed == [UInt8](repeating: 3, count: 32))
      try File(path, .read).setMode(0o640)
      #expect(BlockStoreError.Code.thrown { _ = try MasterKey.load(file: path) } == .wrongKey)
      #expect(BlockStoreError.Code.thrown { _ = try MasterKey.load(file: folder + "/none") } == .wrongKey)
      #expect(BlockStoreError.Code.thrown { _ = try MasterKey.load(file: folder) } == .wrongKey)
      try AtomicFile.write(path, Array("secret".utf8))
      #expect(BlockStoreError.Code.thrown { _ = try MasterKey.load(file: path) } == .wrongKey)
      #expect(try MasterKey.load(command: "echo \(digits)").bytes.exposed == [UInt8](repeating: 10, count: 32))
      #expect(BlockStoreError.Code.thrown { _ = try MasterKey.load(command: "echo \(digits); exit 1") } == .wrongKey)
      #expect(BlockStoreError.Code.thrown { _ = try MasterKey.load(command: "true") } == .wrongKey)
    }
  }
}
