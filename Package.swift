// swift-tools-version: 6.2
import PackageDescription

/// One set of rules for every Swift target: Swift 6 mode, the upcoming features, and no warning left standing.
let house: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .treatAllWarnings(as: .error),
]

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: house)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: house)
}

func executable(_ name: String, path: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: house)
}

// The arrows go one way, from deciding to doing to serving; `Tests/HouseTests` fails when one is turned round.
let package = Package(
  name: "cairn",
  products: [
    .library(name: "CairnClient", targets: ["CairnClient"]),
    .executable(name: "cairn", targets: ["cairn"]),
    .executable(name: "cairnd", targets: ["cairnd"]),
    .executable(name: "cairnctl", targets: ["cairnctl"]),
    .executable(name: "cairnbench", targets: ["cairnbench"]),
    .executable(name: "cairnchaos", targets: ["cairnchaos"]),
    .executable(name: "cairnsim", targets: ["cairnsim"]),
  ],
  targets: [
    // C libraries: a module map and a shim each, imported by exactly one target.
    .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CMicroHTTPD", pkgConfig: "libmicrohttpd", providers: [.apt(["libmicrohttpd-dev"])]),
    .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .target(name: "CLinux", cSettings: [.define("_GNU_SOURCE")]),

    // Deciding: values without I/O.
    module("BlockModel", []),
    module("ClusterLogic", ["BlockModel"]),
    module("ServiceAPI", ["BlockModel", "ClusterLogic"]),

    // Doing.
    module("Platform", ["BlockModel", "CLinux", "COpenSSL", "CZstd"]),
    module("Credentials", ["BlockModel", "Platform"]),
    module("BlockStore", ["BlockModel", "Platform"]),
    module("Journal", ["BlockModel", "ClusterLogic", "Platform"]),
    module("SQLSession", []),
    module("SQLiteDatabase", ["SQLSession", "CSQLite"]),
    module("PostgreSQLDatabase", ["SQLSession", "Platform", "BlockModel", "CPostgreSQL"]),
    module(
      "MetadataStore",
      ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "SQLSession", "SQLiteDatabase", "PostgreSQLDatabase", "Journal"]),
    module("HTTPTransport", ["BlockModel", "Platform", "CMicroHTTPD", "CCurl"]),
    module("ControlClient", ["BlockModel", "ServiceAPI", "Platform", "HTTPTransport"]),

    // Standing in for machines: a scheduler, disks, and what checks the parts above on them.
    module("Simulator", ["BlockModel", "ClusterLogic", "Platform", "BlockStore"]),

    // Serving.
    module(
      "StorageNode",
      ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "Credentials", "BlockStore", "Journal", "HTTPTransport", "ControlClient"]),
    module(
      "Coordinator", ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "Credentials", "MetadataStore", "Journal", "HTTPTransport"]),
    module("Gateway", ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "Credentials", "HTTPTransport", "ControlClient"]),
    module("CairnClient", ["BlockModel", "ServiceAPI", "Platform", "HTTPTransport"]),
    module("SyncAgent", ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "SQLSession", "SQLiteDatabase", "CairnClient"]),
    module("CommandLineKit", ["Platform"]),

    // Pictures of figures, for reports.
    module("Charts", []),

    // Breaking real clusters.
    module("Chaos", ["BlockModel", "Platform", "Charts", "HTTPTransport"]),
    executable("cairnchaos", path: "Sources/Executables/cairnchaos", ["Chaos", "CommandLineKit", "Platform", "BlockModel"]),

    executable(
      "cairn", path: "Sources/Executables/cairn", ["CairnClient", "SyncAgent", "CommandLineKit", "Platform", "BlockModel"]),
    // What a program needs that uses the SDK.
    executable("cairn-snapshot", path: "Examples/Snapshot", ["CairnClient"]),
    executable(
      "cairnd", path: "Sources/Executables/cairnd",
      [
        "StorageNode", "Coordinator", "Gateway", "CommandLineKit", "Platform", "BlockModel", "Credentials", "HTTPTransport",
        "BlockStore", "MetadataStore", "PostgreSQLDatabase", "Journal", "ServiceAPI", "ClusterLogic", "ControlClient",
      ]),
    executable(
      "cairnctl", path: "Sources/Executables/cairnctl",
      ["CommandLineKit", "Platform", "BlockModel", "Credentials", "HTTPTransport", "ServiceAPI", "ClusterLogic", "ControlClient"]),

    executable(
      "cairnbench", path: "Sources/Executables/cairnbench",
      [
        "CairnClient", "CommandLineKit", "ControlClient", "HTTPTransport", "Credentials", "ServiceAPI", "ClusterLogic", "BlockStore",
        "Coordinator", "MetadataStore", "Charts", "Platform", "BlockModel",
      ]),

    executable("cairnsim", path: "Sources/Executables/cairnsim", ["Simulator", "CommandLineKit", "Platform", "BlockModel"]),

    // Tests.
    .target(name: "TestSupport", dependencies: ["Platform", "BlockModel"], path: "Tests/TestSupport", swiftSettings: house),
    tests("HouseTests", []),
    tests("BlockModelTests", ["BlockModel", "TestSupport"]),
    tests("ClusterLogicTests", ["ClusterLogic", "BlockModel", "TestSupport"]),
    tests("PlatformTests", ["Platform", "BlockModel", "TestSupport"]),
    tests("CredentialsTests", ["Credentials", "Platform", "BlockModel", "TestSupport"]),
    tests("BlockStoreTests", ["BlockStore", "Platform", "BlockModel", "TestSupport"]),
    tests("JournalTests", ["Journal", "Simulator", "ClusterLogic", "Platform", "BlockModel", "TestSupport"]),
    // A process that writes to a store until something stops it: what the tests on real disks kill.
    .executableTarget(
      name: "storewriter", dependencies: ["Simulator", "BlockStore", "Platform", "BlockModel"], path: "Tests/StoreWriter",
      swiftSettings: house),
    tests("SimulatorTests", ["Simulator", "BlockStore", "Platform", "BlockModel", "TestSupport", "storewriter"]),
    tests(
      "MetadataStoreTests",
      [
        "MetadataStore", "Journal", "SQLSession", "SQLiteDatabase", "PostgreSQLDatabase", "ServiceAPI", "ClusterLogic", "Platform",
        "BlockModel", "TestSupport",
      ]),
    tests("HTTPTransportTests", ["HTTPTransport", "Platform", "BlockModel", "TestSupport"]),
    tests(
      "StorageNodeTests",
      [
        "StorageNode", "BlockStore", "Journal", "HTTPTransport", "Credentials", "ServiceAPI", "ClusterLogic", "Platform", "BlockModel",
        "TestSupport",
      ]),
    tests(
      "CoordinatorTests",
      [
        "Coordinator", "MetadataStore", "Journal", "ControlClient", "HTTPTransport", "Credentials", "ServiceAPI", "ClusterLogic",
        "Platform", "BlockModel", "TestSupport",
      ]),
    tests(
      "GatewayTests", ["Gateway", "HTTPTransport", "Credentials", "ServiceAPI", "ClusterLogic", "Platform", "BlockModel", "TestSupport"]),
    tests(
      "TrustTests",
      [
        "Gateway", "Coordinator", "MetadataStore", "ControlClient", "BlockStore", "HTTPTransport", "Credentials", "ServiceAPI",
        "ClusterLogic",
        "Platform", "BlockModel", "TestSupport",
      ], exclude: ["Fuzz/Corpus"]),
    tests("CairnClientTests", ["CairnClient", "ServiceAPI", "HTTPTransport", "Platform", "BlockModel", "TestSupport"]),
    tests("ChaosTests", ["Chaos", "HTTPTransport", "Platform", "BlockModel", "TestSupport"]),
    tests("ChartsTests", ["Charts"]),
    tests("SyncAgentTests", ["SyncAgent", "ClusterLogic", "Platform", "BlockModel", "TestSupport"]),
    tests("CommandLineKitTests", ["CommandLineKit", "Platform", "TestSupport"]),
    tests(
      "IntegrationTests", ["CairnClient", "ServiceAPI", "Credentials", "HTTPTransport", "Platform", "BlockModel", "TestSupport"],
      exclude: ["Fixtures"]),
  ]
)

// CAIRN_ONLY=BlockStoreTests,PlatformTests builds these targets and what they import, nothing else: the inner loop on a small machine.
if let only = Context.environment["CAIRN_ONLY"] {
  let targets = Dictionary(uniqueKeysWithValues: package.targets.map { ($0.name, $0) })
  var wanted: Set<String> = []
  var left = only.split(separator: ",").map(String.init)
  while let name = left.popLast() {
    guard wanted.insert(name).inserted, let target = targets[name] else { continue }
    for case .byNameItem(let dependency, _) in target.dependencies { left.append(dependency) }
  }
  package.targets.removeAll { !wanted.contains($0.name) }
  package.products.removeAll { ($0 as? Product.Executable)?.targets.allSatisfy(wanted.contains) != true }
}
