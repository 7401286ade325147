import BlockModel
import CairnClient
import Platform
import TestSupport
import Testing

extension ClientTests {
  @Test("with a limit, blocks take as long as they may, up and down together", .timeLimit(.minutes(2)))
  func pace() async throws {
    try await withCluster { cluster in
      var random = Seeds.random()
      let bytes = random.bytes(3 * Limits.blockBytes)
      let client = try CairnClient(
        Configuration(
          gateway: cluster.gateway.address, token: "token", compress: false, bytesPerSecond: Int64(8 * Limits.blockBytes)))
      let clock = ContinuousClock()
      let began = clock.now
      try await client.upload(try cluster.write("source", bytes), to: "/f")
      cluster.replicate()
      try await client.download("/f", to: cluster.folder.path("copy"))
      // Six blocks at eight a second; the first begins at once. What is slower than asked for is no fault.
      #expect(clock.now - began >= .milliseconds(620))
      #expect(try cluster.read(cluster.folder.path("copy")) == bytes)
    }
  }
}
