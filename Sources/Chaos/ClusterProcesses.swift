internal import BlockModel
package import Platform

/// A private local cluster under a chaos run: `cluster/`'s commands, and where its files are.
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
  private(set) var variables: [String: String] = [:]

  init(root: String, folder: String) {
    self.root = root
    self.folder = folder
  }

  mutating func up(_ arguments: [String]) async throws {
    try await run(root + "/cluster/up", arguments)
    let text = String(decoding: try AtomicFile.read(folder + "/env", limit: 1 << 20) ?? [], as: UTF8.self)
    for line in text.split(separator: "\n") {
      let pair = line.drop { $0 != " " }.dropFirst().split(separator: "=", maxSplits: 1)
      if pair.count == 2 { variables[String(pair[0])] = String(pair[1]) }
    }
  }

  func down() async throws { try await run(root + "/cluster/down", ["--purge"]) }
  func command(_ name: String, _ arguments: [String]) async throws { try await run("\(root)/cluster/\(name)", arguments) }

  /// Runs `cairnctl`; answers what it printed.
  @discardableResult
  func control(_ arguments: [String]) async throws -> String { try await run("\(root)/.build/release/cairnctl", arguments) }

  /// Makes the empty folder a new disk of a node that is down.
  func replaceDisk(_ disk: String, of node: String) async throws {
    try await run("\(root)/.build/release/cairnd", ["disk", "replace", disk, "--config", "\(folder)/\(node)/\(node).conf"])
  }

  func environment(_ more: [String: String] = [:]) -> [String: String] {
    var all = ["PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/", "LC_ALL": "C.UTF-8", "CAIRN_CLUSTER": folder]
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
