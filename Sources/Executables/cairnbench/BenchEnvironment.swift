import CairnClient
import CommandLineKit
import Glibc
import Platform

/// The cluster to load, from the variables that `cluster/up` writes.
struct BenchEnvironment {
  let coordinator: String
  let operatorToken: String
  let authorityPEM: [UInt8]?

  init() throws {
    coordinator = try Self.required("CAIRN_COORDINATOR")
    operatorToken = try Self.required("CAIRN_OPERATOR_TOKEN")
    authorityPEM = try Self.optional("CAIRN_CA_FILE").flatMap { try AtomicFile.read($0, limit: 1 << 20) }
  }

  static func optional(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  static func required(_ name: String) throws -> String {
    guard let value = optional(name) else { throw CommandFailure(.usage, "\(name) is not set: source the cluster's env file.") }
    return value
  }
}

extension BenchEnvironment {
  /// The user that `CAIRN_TOKEN` is of, at the gateway that `CAIRN_GATEWAY` names.
  static func client() throws -> CairnClient {
    try CairnClient(
      Configuration(gateway: try required("CAIRN_GATEWAY"), token: try required("CAIRN_TOKEN"), caFile: optional("CAIRN_CA_FILE")))
  }
}

/// How long an upload stood still.
enum LongestStall {
  /// Watches the bytes that are acknowledged while a file is uploaded by the SDK.
  static func ofUpload(_ path: String, to remotePath: String) async throws -> Duration {
    let client = try BenchEnvironment.client()
    let progress = TransferProgress()
    let watch = Task { await longest(of: progress) }
    _ = try await client.upload(path, to: remotePath, progress: progress)
    watch.cancel()
    return await watch.value
  }

  private static func longest(of progress: TransferProgress) async -> Duration {
    let clock = ContinuousClock()
    var longest = Duration.zero
    var last = (bytes: Int64(0), at: clock.now)
    for await snapshot in progress.updates(every: .milliseconds(10)) {
      if snapshot.bytes != last.bytes { last = (snapshot.bytes, clock.now) }
      longest = max(longest, clock.now - last.at)
    }
    return longest
  }
}
