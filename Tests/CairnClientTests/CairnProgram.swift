import Glibc
import Platform
import TestSupport
import Testing

/// The program `cairn` itself, beside this test program, as a process of its own.
enum CairnProgram {
  static let path: String? = {
    let buffer = UnsafeMutableBufferPointer<CChar>.allocate(capacity: 4096)
    defer { buffer.deallocate() }
    let count = readlink("/proc/self/exe", buffer.baseAddress!, 4096)
    guard count > 0 else { return nil }
    let path = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let program = Directory.parent(of: path) + "/cairn"
    return access(program, X_OK) == 0 ? program : nil
  }()
}

extension TestCluster {
  /// Runs `cairn` against this cluster, in the folder for local files, logged in as somebody.
  func cairn(
    _ arguments: [String], input: String? = nil, environment extra: [String: String] = [:]
  ) async throws -> ProcessRunner.Outcome {
    let program = try #require(CairnProgram.path, "the program is built with the tests")
    return try await ProcessRunner.run(
      program, arguments, environment: environment(extra), input: input, workingDirectory: folder.path)
  }

  func cairn(_ arguments: String...) async throws -> ProcessRunner.Outcome { try await cairn(arguments) }

  /// Runs a line of shell, in which `$cairn` is the program.
  func shell(_ line: String) async throws -> ProcessRunner.Outcome {
    let program = try #require(CairnProgram.path, "the program is built with the tests")
    return try await ProcessRunner.run(
      "/bin/sh", ["-c", line], environment: environment(["cairn": program]), workingDirectory: folder.path)
  }

  private func environment(_ extra: [String: String]) -> [String: String] {
    let own = ["CAIRN_GATEWAY": gateway.address, "CAIRN_TOKEN": "token", "HOME": folder.path("home"), "PATH": "/usr/bin:/bin"]
    return own.merging(extra) { _, new in new }
  }
}

extension ProcessRunner.Outcome {
  /// Nil for a process that a signal ended.
  var status: Int32? {
    guard case .exited(let status) = ending else { return nil }
    return status
  }
}
