import BlockModel
import Platform
import StorageNode
import Testing

@Suite("A node's configuration") struct ConfigurationTests {
  private static let good = """
    name = node-1
    zone = a
    listen = 127.0.0.1:7001
    advertise = http://127.0.0.1:7001
    data = /srv/node-1
    disks = /srv/node-1/disk-1, /srv/node-1/disk-2
    keys = /srv/keys/node-1.keys
    master-key-file = /srv/keys/node-1.master
    coordinators = http://127.0.0.1:7000

    """

  private func parse(_ text: String) throws -> NodeConfiguration {
    try NodeConfiguration(ConfigurationFile(text: text, source: "node.conf", knownKeys: NodeConfiguration.keys))
  }

  @Test("every setting is read")
  func reads() throws {
    let configuration = try parse(Self.good + "durability = relaxed\ndisk-bytes = 1GiB\nclient-buffers = 5\nweight = 2.5\n")
    #expect(configuration.node == NodeID("node-1") && configuration.listenPort == 7001 && configuration.diskFolders.count == 2)
    #expect(configuration.durability == .relaxed && configuration.diskBytes == 1 << 30 && configuration.limits.clientBuffers == 5)
    #expect(configuration.weight == 2.5 && configuration.encryption && configuration.tls == nil)
  }

  @Test("the master key may come from a command; how fast the scrub goes is set")
  func commands() throws {
    let text = Self.good.replacing(
      "master-key-file = /srv/keys/node-1.master", with: "master-key-command = vault read -field=key cairn/node-1")
    let configuration = try parse(text + "scrub-bytes-per-second = 10MiB\nscrub-interval-hours = 48\n")
    #expect(configuration.masterKeyCommand == "vault read -field=key cairn/node-1" && configuration.masterKeyFile == nil)
    #expect(configuration.scrub.fastestBytes == 10 * 1_048_576 && configuration.scrub.passInterval == .seconds(48 * 3600))
  }

  @Test(
    "a typing mistake is an error that names it",
    arguments: [
      ("zone = a", "zone = A B"), ("listen = 127.0.0.1:7001", "listen = 127.0.0.1"),
      ("listen = 127.0.0.1:7001", "listen = 127.0.0.1:70001"),
      ("disks = /srv/node-1/disk-1, /srv/node-1/disk-2", "disks = /a,/a"), ("keys = /srv/keys/node-1.keys\n", ""),
      ("master-key-file = /srv/keys/node-1.master\n", ""), ("coordinators = http://127.0.0.1:7000", "coordinators = 127.0.0.1:7000"),
      ("name = node-1", "nmae = node-1"), ("zone = a", "zone = a\ndurability = sometimes"), ("zone = a", "zone = a\ntls-key = /k"),
      ("zone = a", "zone = a\nmaster-key-command = vault read"),
      ("zone = a", "zone = a\nscrub-interval-hours = 0"), ("zone = a", "zone = a\nweight = 30"),
      ("zone = a", "zone = a\nencryption = maybe"),
    ])
  func mistakes(old: String, new: String) {
    #expect(throws: ConfigurationError.self) { try parse(Self.good.replacing(old, with: new)) }
  }
}
