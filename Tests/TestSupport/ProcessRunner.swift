package import Platform

/// Runs a program to its end and keeps what it said.
package enum ProcessRunner {
  package struct Outcome: Sendable {
    package var ending: ChildProcess.Ending
    package var output: String
    package var error: String
    package var succeeded: Bool { ending == .exited(status: 0) }
  }

  /// - Parameter environment: replaces this process's when given.
  package static func run(
    _ executable: String, _ arguments: [String] = [], environment: [String: String]? = nil, input: String? = nil,
    workingDirectory: String? = nil
  ) async throws -> Outcome {
    let folder = try TemporaryFolder()
    var options = ChildProcess.Options()
    options.environment = environment
    options.workingDirectory = workingDirectory
    options.output = .file(folder.path("output"))
    options.error = .file(folder.path("error"))
    if let input {
      try AtomicFile.write(folder.path("input"), Array(input.utf8))
      options.input = .file(folder.path("input"))
    }
    let child = try ChildProcess.start(executable, arguments, options)
    let ending = await child.wait()
    return Outcome(ending: ending, output: try text(of: folder.path("output")), error: try text(of: folder.path("error")))
  }

  private static func text(of path: String) throws -> String {
    String(decoding: try AtomicFile.read(path, limit: 64 << 20) ?? [], as: UTF8.self)
  }
}
