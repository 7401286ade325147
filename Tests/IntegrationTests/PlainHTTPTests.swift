import BlockModel
import Foundation
import Platform
import TestSupport
import Testing

/// What the interfaces promise to somebody who has `curl` and nothing of ours.
@Suite("Plain HTTP, on real processes", .serialized)
struct PlainHTTPTests {
  @Test("curl opens an upload, puts the block to the signed URL, completes, and reads it back, whole and in part")
  func curl() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      var random = Seeds.random()
      let bytes = random.bytes(100_000)
      let source = cluster.folder.path("source")
      try AtomicFile.write(source, bytes)
      let id = HexDigits.encode(SHA256Hasher.hash(bytes))
      let opened = try await user.json(
        "POST", "/v1/uploads", "{\"path\":\"/by-curl\",\"blocks\":[{\"id\":\"\(id)\",\"size\":\(bytes.count)}]}")
      let upload = try #require(opened["upload_id"] as? String)
      let missing = try #require(opened["missing"] as? [[String: Any]])
      let targets = try #require(missing.first?["put"] as? [[String: Any]])
      let url = try #require(targets.first?["url"] as? String)

      let stored = try await curl("-X", "PUT", "--data-binary", "@\(source)", "-H", "Content-Type:", url)
      let receipts = try #require(try object(stored)["receipts"] as? [String])
      #expect(receipts.count >= 2, "one for each durable copy")
      #expect(try await curl("-o", "/dev/null", "-w", "%{http_code}", "-X", "GET", url) == "403", "it is signed for a PUT")

      let list = receipts.map { "\"\($0)\"" }.joined(separator: ",")
      let file = try await user.json("POST", "/v1/uploads/\(upload)/complete", "{\"receipts\":[\(list)]}")
      #expect(file["path"] as? String == "/by-curl" && file["version"] as? Int == 1)
      let entry = try #require(file["id"] as? String)
      let raw = "\(cluster.gateway)/v1/files/\(entry)/raw"
      let copy = cluster.folder.path("copy")
      _ = try await curl("-f", "-H", "Authorization: Bearer \(user.token)", "-o", copy, raw)
      #expect(try AtomicFile.read(copy, limit: 1 << 20) == bytes)
      _ = try await curl("-f", "-H", "Authorization: Bearer \(user.token)", "-r", "70000-70009", "-o", copy, raw)
      #expect(try AtomicFile.read(copy, limit: 1 << 20) == Array(bytes[70_000...70_009]))

      let late = try await curl(
        "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", "-H", "Authorization: Bearer \(user.token)", "-H", "If-Match: \"7\"", "-d",
        "{}",
        "\(cluster.gateway)/v1/uploads/\(upload)/complete")
      #expect(late == "201", "a repeated completion answers what the first one made")
    }
  }

  @Test("a password is changed by the command, and other devices are logged out")
  func password() async throws {
    try await LocalCluster.with(["--nodes", "3"]) { cluster in
      let user = try await cluster.user()
      let other = try await cluster.attempt(
        "cairn", ["login", user.name, "--password-stdin", "--device", "phone", "--print-token"], as: nil, input: "correct horse\n")
      let phone = User(cluster: cluster, name: user.name, token: other.output.trimmingCharacters(in: .whitespacesAndNewlines))
      #expect(try await phone.status("whoami") == 0)
      let wrong = try await cluster.attempt("cairn", ["passwd", "--password-stdin"], as: user, input: "wrong horse\nbattery staple\n")
      #expect(wrong.ending == .exited(status: 5))
      let right = try await cluster.attempt("cairn", ["passwd", "--password-stdin"], as: user, input: "correct horse\nbattery staple\n")
      #expect(right.succeeded, "\(right.error)")
      #expect(try await user.status("whoami") == 0)
      #expect(try await phone.status("whoami") == 5)
    }
  }

  private func curl(_ arguments: String...) async throws -> String {
    let outcome = try await ProcessRunner.run("/usr/bin/curl", ["-sS"] + arguments, environment: LocalCluster.environment([:]))
    guard outcome.succeeded else { throw CommandFailed(command: "curl", outcome: outcome) }
    return outcome.output
  }
}

private func object(_ text: String) throws -> [String: Any] {
  try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
}

extension User {
  /// The document that the gateway answers.
  func json(_ method: String, _ path: String, _ body: String) async throws -> [String: Any] {
    let outcome = try await ProcessRunner.run(
      "/usr/bin/curl",
      [
        "-sS", "-X", method, "-H", "Authorization: Bearer \(token)", "-H", "Content-Type: application/json", "-d", body,
        cluster.gateway + path,
      ],
      environment: LocalCluster.environment([:]))
    guard outcome.succeeded else { throw CommandFailed(command: "curl", outcome: outcome) }
    return try object(outcome.output)
  }
}
