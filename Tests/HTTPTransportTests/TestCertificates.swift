import HTTPTransport
import Platform
import TestSupport

/// A CA of the test's own with a server's and a client's certificate, made once by the `openssl` command.
struct TestCertificates: Sendable {
  let ca: [UInt8]
  let server: HTTPServer.Configuration.TLS
  let clientCertificate: [UInt8]
  let clientKey: [UInt8]

  private static let one = Task { try await TestCertificates(name: "one") }
  private static let two = Task { try await TestCertificates(name: "two") }

  /// Two CAs that do not know each other.
  static func shared() async throws -> TestCertificates { try await one.value }
  static func other() async throws -> TestCertificates { try await two.value }

  struct Failed: Error { var what: String }

  private init(name: String) async throws {
    let folder = try TemporaryFolder()
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    try await Self.openssl(
      ["req", "-x509"] + curve + ["-days", "2", "-subj", "/CN=test ca \(name)", "-keyout", "ca.key", "-out", "ca.pem"], folder)
    for (leaf, names) in [("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("client", "subjectAltName=DNS:client")] {
      try AtomicFile.write(folder.path("\(leaf).ext"), Array(names.utf8))
      try await Self.openssl(["req"] + curve + ["-subj", "/CN=\(leaf)", "-keyout", "\(leaf).key", "-out", "\(leaf).csr"], folder)
      try await Self.openssl(
        ["x509", "-req", "-in", "\(leaf).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2"]
          + ["-extfile", "\(leaf).ext", "-out", "\(leaf).pem"], folder)
    }
    ca = try Self.read("ca.pem", folder)
    server = HTTPServer.Configuration.TLS(
      certificatePEM: try Self.read("server.pem", folder), keyPEM: try Self.read("server.key", folder))
    clientCertificate = try Self.read("client.pem", folder)
    clientKey = try Self.read("client.key", folder)
  }

  private static func read(_ name: String, _ folder: TemporaryFolder) throws -> [UInt8] {
    guard let bytes = try AtomicFile.read(folder.path(name), limit: 1 << 20) else { throw Failed(what: name) }
    return bytes
  }

  private static func openssl(_ arguments: [String], _ folder: TemporaryFolder) async throws {
    let outcome = try await ProcessRunner.run("/usr/bin/openssl", arguments, workingDirectory: folder.path)
    guard outcome.succeeded else { throw Failed(what: outcome.error) }
  }
}
