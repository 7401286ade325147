import Foundation
import Testing

/// The arrows of the house: who may import whom. `Package.swift` says the same; this table is what a change of it is held against.
private let allowedImports: [String: Set<String>] = [
  "BlockModel": [],
  "ClusterLogic": ["BlockModel"],
  "ServiceAPI": ["BlockModel", "ClusterLogic"],
  "Platform": ["BlockModel", "CLinux", "COpenSSL", "CZstd"],
  "Credentials": ["BlockModel", "Platform"],
  "BlockStore": ["BlockModel", "Platform"],
  "Simulator": ["BlockModel", "ClusterLogic", "Platform", "BlockStore"],
  "SQLSession": [],
  "SQLiteDatabase": ["SQLSession", "CSQLite"],
  "PostgreSQLDatabase": ["SQLSession", "Platform", "BlockModel", "CPostgreSQL"],
  "MetadataStore": [
    "BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "SQLSession", "SQLiteDatabase", "PostgreSQLDatabase",
  ],
  "HTTPTransport": ["BlockModel", "Platform", "CMicroHTTPD", "CCurl"],
  "ControlClient": ["BlockModel", "ServiceAPI", "Platform", "HTTPTransport"],
  "StorageNode": [
    "BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "Credentials", "BlockStore", "HTTPTransport", "ControlClient",
  ],
  "Coordinator": ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "Credentials", "MetadataStore", "HTTPTransport"],
  "Gateway": ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "Credentials", "HTTPTransport", "ControlClient"],
  "CairnClient": ["BlockModel", "ServiceAPI", "Platform", "HTTPTransport"],
  "SyncAgent": ["BlockModel", "ClusterLogic", "ServiceAPI", "Platform", "SQLSession", "SQLiteDatabase", "CairnClient"],
  "CommandLineKit": ["Platform"],
  "Charts": [],
  "Chaos": ["BlockModel", "Platform", "Charts", "HTTPTransport"],
  "cairnchaos": ["Chaos", "CommandLineKit", "Platform", "BlockModel"],
  "cairn": ["CairnClient", "SyncAgent", "CommandLineKit", "Platform", "BlockModel"],
  "cairnd": [
    "StorageNode", "Coordinator", "Gateway", "CommandLineKit", "Platform", "BlockModel", "Credentials", "HTTPTransport", "BlockStore",
    "MetadataStore", "PostgreSQLDatabase", "ServiceAPI", "ClusterLogic", "ControlClient",
  ],
  "cairnbench": [
    "CairnClient", "CommandLineKit", "ControlClient", "HTTPTransport", "Credentials", "ServiceAPI", "ClusterLogic", "BlockStore",
    "Coordinator", "MetadataStore", "Charts", "Platform", "BlockModel",
  ],
  "cairnsim": ["Simulator", "CommandLineKit", "Platform", "BlockModel"],
  "cairnctl": [
    "CommandLineKit", "Platform", "BlockModel", "Credentials", "HTTPTransport", "ServiceAPI", "ClusterLogic", "ControlClient",
  ],
]

/// Modules that are not ours.
private let toolchainModules: Set<String> = ["Glibc", "Foundation", "Synchronization", "FoundationEssentials", "Dispatch"]

/// Modules that decide: values without I/O, clocks, randomness of their own, or tasks.
private let decidingModules: Set<String> = ["BlockModel", "ClusterLogic", "ServiceAPI"]

@Suite("The house")
struct LayeringTests {
  @Test("no arrow points the wrong way")
  func importsFollowTheArrows() throws {
    for file in try SourceTree.files(below: "Sources") {
      let allowed = try #require(allowedImports[file.target], "\(file.path) is in a target that the table of arrows does not know")
      for name in file.imports where !toolchainModules.contains(name) {
        #expect(allowed.contains(name), "\(file.path) imports \(name)")
      }
    }
  }

  @Test("each C library is imported by one target only")
  func oneImporterPerLibrary() throws {
    var importers: [String: Set<String>] = [:]
    for file in try SourceTree.files(below: "Sources") {
      for name in file.imports
      where name.hasPrefix("C") && ["CSQLite", "CPostgreSQL", "COpenSSL", "CZstd", "CMicroHTTPD", "CCurl", "CLinux"].contains(name) {
        importers[name, default: []].insert(file.target)
      }
    }
    #expect(importers.count == 7, "the check saw only \(importers.keys.sorted())")
    for (library, targets) in importers { #expect(targets.count == 1, "\(library) is imported by \(targets.sorted())") }
  }

  @Test("deciding modules do no I/O, read no clock, roll no dice, start no task")
  func decidingModulesArePure() throws {
    let banned = [
      "Date()", "ContinuousClock", "SuspendingClock", "Task {", "Task.", "async let", "FileManager", "FileHandle", "ProcessInfo", "getenv",
      "Thread", "DispatchQueue", "print(", "Mutex<", "Int.random(in: 0", "UUID()", ".shuffled()", ".randomElement()",
    ]
    for file in try SourceTree.files(below: "Sources") where decidingModules.contains(file.target) {
      #expect(!file.imports.contains("Glibc"), "\(file.path) imports Glibc")
      for (number, text) in file.code {
        for call in banned where text.contains(call) { Issue.record("\(file.path):\(number) has \(call)") }
        if file.target == "ClusterLogic", text.contains("SystemRandomNumberGenerator") || text.contains("import Foundation") {
          Issue.record("\(file.path):\(number) is not deterministic")
        }
      }
    }
  }

  @Test("what decides never iterates a Dictionary or a Set", arguments: ["ClusterLogic"])
  func noUnorderedIteration(module: String) throws {
    for file in try SourceTree.files(below: "Sources/\(module)") {
      for finding in UnorderedIteration.findings(in: file) { Issue.record("\(file.path): \(finding)") }
    }
  }

  @Test("the check for unordered iteration sees what it is for")
  func unorderedIterationIsSeen() {
    let bad = SourceTree.File(
      path: "Sources/X/X.swift", lines: ["var counts: [NodeID: Int] = [:]", "for (node, count) in counts {", "let a = counts.map { $0 }"])
    #expect(UnorderedIteration.findings(in: bad).count == 2)
    let good = SourceTree.File(
      path: "Sources/X/X.swift", lines: ["var counts: [NodeID: Int] = [:]", "for node in counts.keys.sorted() {", "counts[node] = 1"])
    #expect(UnorderedIteration.findings(in: good).isEmpty)
  }
}

/// Finds loops over names that the same file declares as Dictionary or Set, unless what is looped over is sorted first.
enum UnorderedIteration {
  static func findings(in file: SourceTree.File) -> [String] {
    let names = declaredNames(in: file)
    var findings: [String] = []
    for (number, text) in file.code {
      for name in names where iterates(text, name) && !text.contains("sorted") && !text.contains("order does not matter") {
        findings.append("line \(number) iterates \(name)")
      }
    }
    return findings
  }

  private static func declaredNames(in file: SourceTree.File) -> Set<String> {
    var names: Set<String> = []
    for (_, text) in file.code {
      guard
        let range = text.range(
          of: #"(var|let) [A-Za-z_]+( *: *(\[[A-Za-z.<>]+ *: |Set<)| *= *(\[[A-Za-z.]+ *: *[A-Za-z.\[\]]+\]\(\)|Set<|Set\())"#,
          options: .regularExpression)
      else { continue }
      let declaration = text[range].drop { $0 != " " }.dropFirst()
      names.insert(String(declaration.prefix { $0.isLetter || $0 == "_" }))
    }
    return names
  }

  private static func iterates(_ text: String, _ name: String) -> Bool {
    let unordered = ["map", "forEach", "filter", "flatMap", "compactMap", "reduce", "first", "min", "max", "allSatisfy", "contains(where"]
    if text.range(of: "in (self\\.|state\\.)?\(name)(\\.keys|\\.values)? *(\\{|where)", options: .regularExpression) != nil { return true }
    // Reductions whose result does not depend on the order are marked where they stand.
    return unordered.prefix(5).contains {
      text.range(of: "\\b\(name)(\\.keys|\\.values)?\\.\($0) *[({]", options: .regularExpression) != nil
    }
  }
}
