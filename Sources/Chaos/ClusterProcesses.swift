internal import BlockModel
internal import Glibc
package import Platform

/// A private local cluster under a chaos run: `cluster/`'s commands, where its files are, and the ways to get at its processes.
package struct ClusterProcesses: Sendable {
  package struct Failed: Error, CustomStringConvertible {
    package var command: String
    package var ending: ChildProcess.Ending
    package var text: String
    package var description: String { "\(command): \(ending) \(text)" }
  }

  /// The repository.
  let root: String
  /// `CAIRN_CLUSTER`.
  let folder: String
  /// What all links pass through, when the scenario breaks them.
  private(set) var links: LinkProxy?
  private var diskBytes: Int64?
  private var hasClocks = false
  private(set) var variables: [String: String] = [:]

  init(root: String, folder: String) {
    self.root = root
    self.folder = folder
  }

  /// Brings up what a scenario is told to, with links, disks and clocks that can be broken as far as it breaks them.
  mutating func up(_ scenario: Scenario, seed: UInt64) async throws {
    (diskBytes, hasClocks) = (scenario.diskBytes, scenario.hasClocks)
    var arguments = scenario.cluster
    if scenario.hasLinks {
      let (proxy, ports) = try LinkProxy.standing(before: scenario.cluster, seed: seed)
      links = proxy
      arguments += ports
    }
    try await up(arguments)
  }

  mutating func up(_ arguments: [String]) async throws {
    try await run(root + "/cluster/up", arguments)
    let text = String(decoding: try AtomicFile.read(folder + "/env", limit: 1 << 20) ?? [], as: UTF8.self)
    for line in text.split(separator: "\n") {
      let pair = line.drop { $0 != " " }.dropFirst().split(separator: "=", maxSplits: 1)
      if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
    }
  }

  func down() async throws {
    if diskBytes != nil {
      try await run(root + "/cluster/down", [])
      for node in try names("node") { try? await unmount(disk(of: node)) }
    }
    if hasClocks {
      let text = String(decoding: try AtomicFile.read(folder + "/clocks/memory", limit: 1 << 20) ?? [], as: UTF8.self)
      for path in Set(text.split(separator: "\n")) { try? Directory.remove(String(path)) }
    }
    try await run(root + "/cluster/down", ["--purge"])
    links?.stop()
  }

  /// Keeps what can say later why a run ended badly: every process's log, and what the coordinator says now.
  func keepWitnesses(in folder: String) async {
    try? Directory.create(folder)
    let status = try? await control(["status"])
    try? AtomicFile.write(folder + "/status", Array((status ?? "The coordinator does not answer.\n").utf8))
    for name in (try? Directory.list(self.folder)) ?? [] {
      // Its process goes on writing to it, whatever its name. What has no log is no process.
      try? Directory.rename("\(self.folder)/\(name)/log", to: "\(folder)/\(name).log")
    }
  }

  func command(_ name: String, _ arguments: [String]) async throws { try await run("\(root)/cluster/\(name)", arguments) }

  /// Runs `cairnctl`; answers what it printed.
  @discardableResult
  func control(_ arguments: [String]) async throws -> String { try await run("\(root)/.build/release/cairnctl", arguments) }

  /// Commits a layout in which the node has another weight.
  func weigh(_ node: String, zone: String, weight: Double) async throws {
    try await control(["layout", "assign", node, "--zone", zone, "--weight", "\(weight)"])
    let plan = try await control(["layout", "plan", "--json"])
    guard let version = JSONText.number("version", in: plan) else { return }
    try await control(["layout", "apply", "--version", "\(version)"])
  }

  /// Makes the empty folder a new disk of a node that is down.
  func replaceDisk(_ disk: String, of node: String) async throws {
    try await run("\(root)/.build/release/cairnd", ["disk", "replace", disk, "--config", "\(folder)/\(node)/\(node).conf"])
  }

  /// The folder of a node's first disk.
  func disk(of node: String) -> String { "\(folder)/\(node)/disk-1" }

  /// Takes away what is in a folder and leaves the folder, which something is mounted on.
  func emptyFolder(_ path: String) async throws { try await run("/usr/bin/find", [path, "-mindepth", "1", "-delete"]) }

  /// Nothing reaches a file system's device any more, what its journal holds in memory neither; then it is unmounted. The process on it has
  /// to be dead, and whoever starts the process again mounts it.
  func losePower(_ path: String) async throws {
    try shutDown(path)
    try await unmount(path)
  }

  private func shutDown(_ path: String) throws {
    let file = try File(path, .read)
    // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32), with EXT4_GOING_FLAGS_NOLOGFLUSH.
    var flags: UInt32 = 2
    guard file.withDescriptor({ ioctl($0, 0x8004_587D, &flags) }) == 0 else {
      throw Failed(command: "shut down \(path)", ending: .exited(status: 1), text: "errno \(errno)")
    }
  }

  private func unmount(_ path: String) async throws { try await run("/usr/bin/umount", [path]) }

  /// Hangs a tracer on a process that makes these system calls do something else: strace's words for it.
  func trace(_ name: String, _ calls: [String], _ injection: String) throws -> ChildProcess {
    guard let id = try processID(name) else { throw Failed(command: "trace \(name)", ending: .exited(status: 1), text: "it does not run") }
    var options = ChildProcess.Options()
    options.environment = environment()
    options.output = .null
    options.error = .null
    let list = calls.joined(separator: ",")
    let arguments = [
      "-f", "-p", "\(id)", "-e", "signal=none", "-e", "trace=\(list)", "-e", "inject=\(list):\(injection)", "-o", "/dev/null",
    ]
    return try ChildProcess.start("strace", arguments, options)
  }

  func turnClock(of name: String, bySeconds seconds: Int) throws {
    try AtomicFile.write("\(folder)/clocks/\(name)", Array((seconds < 0 ? "\(seconds)\n" : "+\(seconds)\n").utf8))
  }

  func environment(_ more: [String: String] = [:]) -> [String: String] {
    var all = ["PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/", "LC_ALL": "C.UTF-8", "CAIRN_CLUSTER": folder]
    if diskBytes != nil || hasClocks { all["CAIRN_LAUNCHER"] = root + "/chaos/launcher" }
    if let diskBytes { all["CAIRN_CHAOS_DISK_BYTES"] = "\(diskBytes)" }
    if hasClocks { all["CAIRN_CHAOS_CLOCKS"] = "yes" }
    all.merge(variables) { $1 }
    all.merge(more) { $1 }
    return all
  }

  /// Process names with this beginning, in order.
  func names(_ prefix: String) throws -> [String] {
    try Directory.list(folder).filter { $0.hasPrefix(prefix + "-") }.sorted { ($0.count, $0) < ($1.count, $1) }
  }

  /// The zone that a node's configuration gives it.
  func zone(of node: String) throws -> String {
    let text = String(decoding: try AtomicFile.read("\(folder)/\(node)/\(node).conf", limit: 1 << 20) ?? [], as: UTF8.self)
    let line = text.split(separator: "\n").first { $0.hasPrefix("zone = ") }
    return line.map { String($0.dropFirst(7)) } ?? ""
  }

  func processID(_ name: String) throws -> Int32? {
    let text = String(decoding: try AtomicFile.read("\(folder)/\(name)/pid", limit: 64) ?? [], as: UTF8.self)
    return Int32(text.trimmed)
  }

  /// Whether the process that was started under the name lives.
  func isRunning(_ name: String) throws -> Bool { try processID(name).map { kill($0, 0) == 0 } ?? false }

  @discardableResult
  private func run(_ program: String, _ arguments: [String]) async throws -> String {
    let output = try Directory.makeUnique(in: "/tmp", prefix: "cairn-chaos-output")
    defer { try? Directory.removeTree(output) }
    var options = ChildProcess.Options()
    options.environment = environment()
    options.output = .file(output + "/text")
    options.error = .file(output + "/text")
    let ending = try await ChildProcess.start(program, arguments, options).wait()
    let text = String(decoding: try AtomicFile.read(output + "/text", limit: 16 << 20) ?? [], as: UTF8.self)
    guard ending == .exited(status: 0) else {
      let name = program.split(separator: "/").suffix(2).joined(separator: "/")
      throw Failed(command: ([name] + arguments).joined(separator: " "), ending: ending, text: String(text.suffix(2000)))
    }
    return text
  }
}

/// As much of JSON as is needed of our own commands' answers.
enum JSONText {
  /// The first number that is called so.
  static func number(_ member: String, in json: String) -> Int? {
    let rest = json.split(separator: "\"\(member)\"", maxSplits: 1).dropFirst().first
    return rest.flatMap { Int($0.drop { !$0.isNumber }.prefix { $0.isNumber }) }
  }
}
