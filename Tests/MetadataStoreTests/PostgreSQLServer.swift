import Glibc
import MetadataStore
import Platform
import PostgreSQLDatabase
import TestSupport

/// A private PostgreSQL server in a folder of its own on a free port of the loopback address. It ends, and its folder goes, soon after this
/// process has ended, however that was.
///
/// It does not sync: tests kill processes, not machines, and what a process wrote the kernel keeps.
final class PostgreSQLServer: Sendable {
  private static let programs = "/usr/lib/postgresql/15/bin"

  /// Nil where the programs are; else why the tests over PostgreSQL are left out.
  static let missing: String? =
    access(programs + "/postgres", X_OK) == 0 ? nil : "PostgreSQL is not installed (\(programs)/postgres): its tests are left out"

  /// The one that most tests share, each with a database of its own.
  private static let shared = Task { try await PostgreSQLServer() }
  static func common() async throws -> PostgreSQLServer { try await shared.value }

  private static let slow = BlockingPool(name: "test-database", threads: 2)

  private let folder: String
  private let port: Int
  private let process: ChildProcess

  /// Starts a server that is started again whenever it ends.
  init() async throws {
    port = FreePort.next()
    folder = "/tmp/cairn-postgres-\(getpid())-\(port)"
    let script = """
      export PATH=\(Self.programs):/usr/bin:/bin LANG=C.UTF-8 LC_ALL=C.UTF-8 HOME=/tmp
      mkdir -m 700 \(folder) && cd \(folder) || exit 1
      initdb -D data -U cairn -A trust -E UTF8 --locale=C.UTF-8 --no-sync >initdb.log 2>&1 || exit 1
      while [ -d /proc/\(getpid()) ] && [ ! -e stop ]; do
        postgres -D data -p \(port) -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=900 \\
          -c shared_buffers=64MB -c autovacuum_naptime=10s >>server.log 2>&1 &
        server=$!
        while [ -d /proc/\(getpid()) ] && [ ! -e stop ] && [ -d /proc/$server ]; do sleep 0.1; done
        kill -QUIT $server 2>/dev/null
        wait $server
      done
      cd /tmp && rm -rf \(folder)
      """
    var options = ChildProcess.Options()
    options.output = .null
    options.error = .null
    options.ownGroup = true
    // The server refuses to run as root.
    let asUser = getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"] : []
    let command = asUser + ["bash", "-c", script]
    process = try ChildProcess.start(command[0], Array(command.dropFirst()), options)
    let connection = self.connection(to: "postgres")
    try await eventually(within: .seconds(60), "The PostgreSQL server") {
      (try? await Self.slow.run { _ = try PostgreSQLConnection(connection) }) != nil
    }
  }

  deinit { _ = creat(folder + "/stop", 0o644) }

  func connection(to database: String) -> PostgreSQLOptions {
    var options = PostgreSQLOptions(connection: "host=127.0.0.1 port=\(port) user=cairn dbname=\(database)")
    options.requiresSync = false
    options.patience = .seconds(60)
    options.answerLimit = .seconds(120)
    return options
  }

  /// Makes an empty database.
  func database() async throws -> PostgreSQLOptions {
    let name = "t\(SecureRandom.bytes(8).map { String($0) }.joined())"
    let administration = connection(to: "postgres")
    try await Self.slow.run { try PostgreSQLConnection(administration).runScript("CREATE DATABASE \(name)") }
    return connection(to: name)
  }

  /// Runs a script on a database.
  static func execute(_ script: String, on database: PostgreSQLOptions) async throws {
    try await slow.run { try PostgreSQLConnection(database).runScript(script) }
  }

  /// Blocking work on a connection of its own.
  static func with<T: Sendable>(_ database: PostgreSQLOptions, _ body: @escaping @Sendable (PostgreSQLConnection) throws -> T) async throws
    -> T
  {
    try await slow.run { try body(PostgreSQLConnection(database)) }
  }

  /// Ends the server as a crash would; it is started again at once.
  func kill() throws {
    let text = String(decoding: try AtomicFile.read(folder + "/data/postmaster.pid", limit: 4096) ?? [], as: UTF8.self)
    guard let number = text.split(separator: "\n").first.flatMap({ Int32($0) }) else { return }
    Glibc.kill(number, SIGKILL)
  }
}
