import Foundation
import HTTPTransport
import Testing

/// A CA of the test's own with a server's and a client's certificate, made once by the `openssl` command.
struct TestCertificates: Sendable {
  let ca: [UInt8]
  let server: HTTPServer.Configuration.TLS
  let clientCertificate: [UInt8]
  let clientKey: [UInt8]

  private static let one = Result { try TestCertificates(name: "one") }
  private static let two = Result { try TestCertificates(name: "two") }

  /// Two CAs that do not know each other. Made off the cooperative pool, whose few threads the other tests need meanwhile.
  static func shared() async throws -> TestCertificates { try await blocking { try one.get() } }
  static func other() async throws -> TestCertificates { try await blocking { try two.get() } }

  struct Failed: Error { var command: String }

  private init(name: String) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "cairn-tls-\(name)-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    try Self.openssl(
      ["req", "-x509"] + curve + ["-days", "2", "-subj", "/CN=test ca \(name)", "-keyout", "ca.key", "-out", "ca.pem"], folder)
    for (leaf, names) in [("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"), ("client", "subjectAltName=DNS:client")] {
      try Data(names.utf8).write(to: folder.appending(path: "\(leaf).ext"))
      try Self.openssl(["req"] + curve + ["-subj", "/CN=\(leaf)", "-keyout", "\(leaf).key", "-out", "\(leaf).csr"], folder)
      try Self.openssl(
        [
          "x509", "-req", "-in", "\(leaf).csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
          "\(leaf).ext",
          "-out", "\(leaf).pem",
        ], folder)
    }
    func read(_ file: String) throws -> [UInt8] { Array(try Data(contentsOf: folder.appending(path: file))) }
    ca = try read("ca.pem")
    server = HTTPServer.Configuration.TLS(certificatePEM: try read("server.pem"), keyPEM: try read("server.key"))
    clientCertificate = try read("client.pem")
    clientKey = try read("client.key")
  }

  private static func openssl(_ arguments: [String], _ folder: URL) throws {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["openssl"] + arguments
    process.currentDirectoryURL = folder
    process.standardError = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Failed(command: arguments.joined(separator: " ")) }
  }
}
