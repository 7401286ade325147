import CommandLineKit
import Platform

/// `cairnctl tls`: the cluster's own authority, and the certificates of its daemons. It works on files and talks to nobody.
enum CertificateCommands {
  static let command = Command(
    "tls", summary: "make the cluster's authority and the certificates of its daemons",
    discussion: """
      FOLDER holds ca.pem, which everybody gets, ca.key, which stays here, and a certificate and key for each daemon. To renew a \
      certificate, issue it again, put it where the daemon reads it, and send the daemon SIGHUP: open connections go on, new ones see \
      the new one. To replace the authority: “tls authority” on the same FOLDER adds a new one beside the old; give ca.pem to everybody, \
      issue all certificates again, then “tls forget-old”.
      """,
    subcommands: [authority, issue, forgetOld])

  private static let folder = CommandOption(
    "folder", value: "FOLDER", help: "where the authority and the certificates lie", isRequired: true)
  private static let limit = 1 << 20

  private static let authority = Command(
    "authority", summary: "make an authority; one that is there already stays trusted", options: [folder, days("3650")],
    examples: ["cairnctl tls authority --folder tls"]
  ) { invocation in
    let folder = invocation.option("folder") ?? ""
    try Directory.create(folder)
    let old = try AtomicFile.read(folder + "/ca.pem", limit: limit) ?? []
    let made = try explaining { try Certificates.makeAuthority(name: "cluster authority", days: invocation.int("days") ?? 3650) }
    // The newest first: it is the one that issues.
    try AtomicFile.write(folder + "/ca.pem", made.certificatePEM + old, mode: 0o644)
    try AtomicFile.write(folder + "/ca.key", made.keyPEM, mode: 0o600)
    try invocation.console.result(["authority": folder + "/ca.pem"]) { folder + "/ca.pem" }
  }

  private static let issue = Command(
    "issue", summary: "make a daemon's certificate",
    arguments: [
      CommandArgument("KIND", help: "node, coordinator or gateway"), CommandArgument("NAME", help: "the daemon's name"),
    ],
    options: [
      folder, days("825"),
      CommandOption("hosts", value: "LIST", help: "addresses and names that it is reached under, with commas between", isRequired: true),
    ], examples: ["cairnctl tls issue node node-1 --hosts 10.0.0.5,node-1.example --folder tls"]
  ) { invocation in
    let (kind, name, folder) = (invocation.argument("KIND"), invocation.argument("NAME"), invocation.option("folder") ?? "")
    guard ["node", "coordinator", "gateway"].contains(kind) else { throw CommandFailure(.usage, "KIND is node, coordinator or gateway.") }
    guard !name.isEmpty, name.utf8.count <= 63, !name.contains("/") else { throw CommandFailure(.usage, "“\(name)” is no daemon's name.") }
    guard let certificate = try AtomicFile.read(folder + "/ca.pem", limit: limit),
      let key = try AtomicFile.read(folder + "/ca.key", limit: limit)
    else { throw CommandFailure(.notFound, "\(folder) has no authority: make one with cairnctl tls authority.") }
    let hosts = (invocation.option("hosts") ?? "").split(separator: ",").map(String.init)
    let made = try explaining {
      try Certificates.issue(
        kind: kind, name: name, hosts: hosts, days: invocation.int("days") ?? 825,
        authority: CertificatePair(certificatePEM: certificate, keyPEM: key))
    }
    try AtomicFile.write("\(folder)/\(name).key", made.keyPEM, mode: 0o600)
    try AtomicFile.write("\(folder)/\(name).pem", made.certificatePEM, mode: 0o644)
    try invocation.console.result(["certificate": "\(folder)/\(name).pem"]) { "\(folder)/\(name).pem" }
  }

  private static let forgetOld = Command(
    "forget-old", summary: "keep the newest authority alone", options: [folder], examples: ["cairnctl tls forget-old --folder tls"]
  ) { invocation in
    let path = (invocation.option("folder") ?? "") + "/ca.pem"
    let text = String(decoding: try AtomicFile.read(path, limit: limit) ?? [], as: UTF8.self)
    let end = "-----END CERTIFICATE-----\n"
    guard let range = text.firstRange(of: end) else { throw CommandFailure(.notFound, "There is no authority in \(path).") }
    try AtomicFile.write(path, Array(text[..<range.upperBound].utf8), mode: 0o644)
    try invocation.console.result(["authority": path]) { path }
  }

  private static func days(_ standard: String) -> CommandOption {
    CommandOption("days", value: "N", help: "how long it is good for", kind: .integer(1...36_500), default: standard)
  }

  private static func explaining<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as CryptoError { throw CommandFailure(.failed, error.description) }
  }
}
