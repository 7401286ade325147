import Foundation
import Platform
import TestSupport

/// A private cluster of real processes, brought up by `cluster/up` in a folder of its own and purged at the end.
final class LocalCluster: Sendable {
  let folder: TemporaryFolder
  private let variables: [String: String]

  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path
  static let bin = root + "/.build/release"

  private init(folder: TemporaryFolder, variables: [String: String]) {
    self.folder = folder
    self.variables = variables
  }

  /// Brings one up, hands it to `body`, and ends every process of it whatever happens.
  /// - Parameter prepare: fills the folder before, with a cluster in `cluster` that is there already for instance.
  static func with(
    _ options: [String] = [], prepare: (TemporaryFolder) async throws -> Void = { _ in }, _ body: (LocalCluster) async throws -> Void
  ) async throws {
    let folder = try TemporaryFolder()
    do {
      try await prepare(folder)
      let cluster = try await up(options, in: folder)
      try await body(cluster)
    } catch {
      await keepLogs(of: folder)
      _ = try? await script("down", ["--purge"], in: folder)
      throw error
    }
    let down = try await script("down", ["--purge"], in: folder)
    guard down.succeeded else { throw CommandFailed(command: "cluster/down", outcome: down) }
  }

  private static func up(_ options: [String], in folder: TemporaryFolder) async throws -> LocalCluster {
    let outcome = try await script("up", options, in: folder)
    guard outcome.succeeded else { throw CommandFailed(command: "cluster/up", outcome: outcome) }
    var variables: [String: String] = [:]
    for line in try text(folder.path("cluster/env")).split(separator: "\n") {
      let pair = line.replacingOccurrences(of: "export ", with: "").split(separator: "=", maxSplits: 1)
      variables[String(pair[0])] = String(pair[1])
    }
    return LocalCluster(folder: folder, variables: variables)
  }

  /// With `CAIRN_KEEP_LOGS` the logs of a failed run are copied there.
  private static func keepLogs(of folder: TemporaryFolder) async {
    guard let keep = Environment.value("CAIRN_KEEP_LOGS") else { return }
    let target = "\(keep)/\(folder.path.split(separator: "/").last ?? "cluster")"
    _ = try? await ProcessRunner.run(
      "/bin/sh", ["-c", "mkdir -p \(target) && cd \(folder.path)/cluster && for f in */log; do cp $f \(target)/$(dirname $f).log; done"])
  }

  /// Runs one of `cluster/`'s commands against the cluster in `folder`.
  static func script(_ name: String, _ arguments: [String], in folder: TemporaryFolder) async throws -> ProcessRunner.Outcome {
    try await ProcessRunner.run("\(root)/cluster/\(name)", arguments, environment: environment(["CAIRN_CLUSTER": folder.path("cluster")]))
  }

  static func environment(_ more: [String: String]) -> [String: String] {
    var all = ["PATH": Environment.value("PATH") ?? "/usr/bin:/bin", "HOME": Environment.value("HOME") ?? "/", "LC_ALL": "C.UTF-8"]
    all.merge(more) { $1 }
    return all
  }

  static func text(_ path: String) throws -> String { String(decoding: try AtomicFile.read(path, limit: 16 << 20) ?? [], as: UTF8.self) }

  var gateway: String { variables["CAIRN_GATEWAY"] ?? "" }
  var authorityFile: String? { variables["CAIRN_CA_FILE"] }

  /// Runs one of `cluster/`'s commands; throws when it fails.
  @discardableResult
  func command(_ name: String, _ arguments: String...) async throws -> String {
    let outcome = try await Self.script(name, arguments, in: folder)
    guard outcome.succeeded else { throw CommandFailed(command: "cluster/\(name) \(arguments.joined(separator: " "))", outcome: outcome) }
    return outcome.output
  }

  /// Runs `cairnctl`; throws when it fails.
  @discardableResult
  func control(_ arguments: String...) async throws -> String {
    let outcome = try await attempt("cairnctl", arguments, as: nil)
    guard outcome.succeeded else { throw CommandFailed(command: "cairnctl \(arguments.joined(separator: " "))", outcome: outcome) }
    return outcome.output
  }

  /// Runs a program of ours against this cluster and answers how it ended.
  func attempt(_ program: String, _ arguments: [String], as user: User?, input: String? = nil) async throws -> ProcessRunner.Outcome {
    try await ProcessRunner.run("\(Self.bin)/\(program)", arguments, environment: environment(of: user), input: input)
  }

  func environment(of user: User?) -> [String: String] {
    var more = variables
    more["XDG_STATE_HOME"] = folder.path("state")
    more["XDG_CONFIG_HOME"] = folder.path("config")
    if let user { more["CAIRN_TOKEN"] = user.token }
    return Self.environment(more)
  }

  /// Signs a user up and logs in.
  func user(_ name: String = "ada") async throws -> User {
    let signUp = try await attempt("cairn", ["signup", name, "--password-stdin"], as: nil, input: "correct horse\n")
    guard signUp.succeeded else { throw CommandFailed(command: "cairn signup", outcome: signUp) }
    return try await logIn(name)
  }

  /// Logs somebody in who is signed up.
  func logIn(_ name: String) async throws -> User {
    let logIn = try await attempt(
      "cairn", ["login", name, "--password-stdin", "--device", "test", "--print-token"], as: nil, input: "correct horse\n")
    guard logIn.succeeded else { throw CommandFailed(command: "cairn login", outcome: logIn) }
    return User(cluster: self, name: name, token: logIn.output.trimmingCharacters(in: .whitespacesAndNewlines))
  }

  /// The process id of a daemon, from the file that `cluster/up` wrote.
  func processID(_ name: String) throws -> Int32 {
    Int32(try Self.text(folder.path("cluster/\(name)/pid")).trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0
  }
}

/// A signed-up user of a local cluster.
struct User: Sendable {
  let cluster: LocalCluster
  let name: String
  let token: String

  /// Runs `cairn`; throws when it fails.
  @discardableResult
  func cairn(_ arguments: String...) async throws -> String {
    let outcome = try await cluster.attempt("cairn", arguments, as: self)
    guard outcome.succeeded else { throw CommandFailed(command: "cairn \(arguments.joined(separator: " "))", outcome: outcome) }
    return outcome.output
  }

  /// Runs `cairn` and answers its exit status.
  func status(_ arguments: String...) async throws -> Int32 {
    guard case .exited(let status) = try await cluster.attempt("cairn", arguments, as: self).ending else { return -1 }
    return status
  }

  /// Starts `cairn` and does not wait for it; what it says goes to `log` in the cluster's folder.
  func start(_ arguments: [String], log: String = "client.log") throws -> ChildProcess {
    var options = ChildProcess.Options()
    options.environment = cluster.environment(of: self)
    options.output = .file(cluster.folder.path(log))
    options.error = .file(cluster.folder.path(log + ".error"))
    return try ChildProcess.start("\(LocalCluster.bin)/cairn", arguments, options)
  }
}

struct CommandFailed: Error, CustomStringConvertible {
  let command: String
  let outcome: ProcessRunner.Outcome
  var description: String { "\(command) ended with \(outcome.ending): \(outcome.error.suffix(2000)) \(outcome.output.suffix(500))" }
}
